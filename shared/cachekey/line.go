package cachekey

// A line is a line of a definition, and what it belongs to.
type line struct {
	fields []string
	// of is the subject of the line that this one says more about: the mount, remote
	// or sources that it follows, or the file of an attribute; empty for one of the
	// step.
	of string
	// head is the word of the mount, remote or sources, and name what people know it
	// or the file by.
	head, name string
	as         string // what the step knows a file by, if that is not its path
}

// parse is the definition's lines; the first is that of the version.
func parse(d Definition) ([]line, error) {
	all := []line{{fields: []string{"version", version}}}
	var head, file line // what the next may belong to, as it has it
	for fields, err := range d.Lines() {
		if err != nil {
			return nil, err
		}
		l := line{fields: fields, of: head.of, head: head.head, name: head.name}
		switch word := fields[0]; {
		case isHead(word):
			l = line{fields: fields}
			head = line{of: l.subject(), head: word, name: headName(fields)}
		case word == "from" && l.value() == "files":
			head.of = l.files()
		case isOwn(word):
			l, head = line{fields: fields}, line{}
		case l.isFile():
			last := &all[len(all)-1]
			if last.fields[0] == "as" {
				l.as = last.value()
			}
			file = line{of: l.subject(), head: l.head, name: l.file().name}
			if last.fields[0] == "as" {
				last.of = file.of
			}
		case word == "xattr":
			l.of, l.head, l.name = file.of, file.head, file.name
		}
		all = append(all, l)
	}
	return all, nil
}

// isHead tells the words after whose line others say more about the same thing.
func isHead(word string) bool { return word == "mount" || word == "remote" || word == "sources" }

// isOwn tells the words that say something of the step after lines of a head.
func isOwn(word string) bool {
	return word == "inline" || word == "clamp" || word == "compression" || word == "ignored"
}

// headName is what people know a mount, a remote or sources by.
func headName(fields []string) string {
	switch {
	case fields[0] == "mount" && len(fields) > 2:
		return fields[2]
	case fields[0] == "remote" && len(fields) > 1:
		return fields[1]
	}
	return ""
}

// isFile tells the lines that end in a file's path.
func (l line) isFile() bool {
	switch l.fields[0] {
	case "file", "directory", "symlink", "special", "hard":
		return len(l.fields) > 1
	}
	return false
}

// op is the line that says what the step does; nil if none does.
func op(lines []line) *line {
	for i, l := range lines {
		switch l.fields[0] {
		case "run", "copy", "dir":
			return &lines[i]
		}
	}
	return nil
}

// value is the field after the word, which is the name of what many lines are about.
func (l line) value() string {
	if len(l.fields) > 1 {
		return l.fields[1]
	}
	return ""
}

// files is what the files belong to that a line says are next.
func (l line) files() string { return l.subject() + "\x00files" }

// subject is the same for lines that say something about the same thing.
func (l line) subject() string {
	word := l.fields[0]
	about := word
	switch {
	case l.isFile():
		about = "file\x00" + l.fields[len(l.fields)-1] + "\x00" + l.as
	case word == "mount":
		about += "\x00" + headName(l.fields)
	case word == "env" || word == "xattr" || word == "script" || word == "inline" || word == "exclude" || word == "remote" || word == "ignored":
		about += "\x00" + l.value()
	}
	return l.of + "\x00" + about
}

// A couple is what two definitions say about the same thing; before or after is nil
// if only the other says something.
type couple struct{ before, after *line }

// couples are the lines of a and b that differ, those that are gone or changed first.
// What goes or comes with the thing that it belongs to is not among them.
func couples(a, b []line) []couple {
	inA, inB := subjects(a), subjects(b)
	var all []couple
	open := map[string][]int{} // places in all, by subject, that have no after yet
	changes := differences(a, b)
	for _, c := range changes {
		if c.New || !inB.hasOwner(&a[c.Line-1]) {
			continue
		}
		l := &a[c.Line-1]
		open[l.subject()] = append(open[l.subject()], len(all))
		all = append(all, couple{before: l})
	}
	for _, c := range changes {
		if !c.New {
			continue
		}
		l := &b[c.Line-1]
		if at := open[l.subject()]; len(at) > 0 {
			all[at[0]].after = l
			open[l.subject()] = at[1:]
		} else if inA.hasOwner(l) {
			all = append(all, couple{after: l})
		}
	}
	return all
}

// differences is Diff by lines that are only the same if they belong to the same.
func differences(a, b []line) []Change {
	texts := func(lines []line) []string {
		all := make([]string, len(lines))
		for i, l := range lines {
			all[i] = join(l.fields) + "\x00" + l.of + "\x00" + l.as
		}
		return all
	}
	d := differ{a: texts(a), b: texts(b)}
	d.compare(span{0, len(a)}, span{0, len(b)}, 0)
	return d.changes
}

// set is what the lines of a definition are about.
type set map[string]bool

func subjects(lines []line) set {
	s := make(set, len(lines))
	for _, l := range lines {
		s[l.subject()] = true
		if l.fields[0] == "from" && l.value() == "files" {
			s[l.files()] = true
		}
	}
	return s
}

// hasOwner reports whether what l belongs to is in the set.
func (s set) hasOwner(l *line) bool { return l.of == "" || s[l.of] }

// either is the line of the definition that has one.
func (c couple) either() *line {
	if c.after != nil {
		return c.after
	}
	return c.before
}

// values are the fields of both lines from the nth; nil where there is no line.
func (c couple) values(n int) (before, after []string) {
	if c.before != nil {
		before = c.before.fields[min(n, len(c.before.fields)):]
	}
	if c.after != nil {
		after = c.after.fields[min(n, len(c.after.fields)):]
	}
	return before, after
}
