package cachekey

// A file is what the line of one says.
type file struct {
	word    string
	mode    string // empty of those that have none
	content string // digest, target or device
	owner   string // empty if it does not matter
	name    string
}

// file takes a line of a file apart, as package plan writes it.
func (l *line) file() file {
	word, rest := l.fields[0], l.fields[1:]
	f := file{word: word, name: rest[len(rest)-1]}
	if l.as != "" {
		f.name = l.as
	}
	rest = rest[:len(rest)-1]
	take := func(into *string) {
		if len(rest) > 0 {
			*into, rest = rest[0], rest[1:]
		}
	}
	switch word {
	case "file":
		take(&f.mode)
		take(&f.content)
	case "directory":
		take(&f.mode)
	case "symlink":
		take(&f.mode)
		take(&f.content)
	case "special":
		var number string
		take(&number)
		take(&f.mode)
		take(&f.content)
		f.content = number + " " + f.content
	default:
		take(&f.content)
	}
	take(&f.owner)
	return f
}

// file is what a couple of lines says of a file.
func (c couple) file() reason {
	l := c.either()
	f := l.file()
	name := kind(f.word) + " " + clip(quote(f.name))
	if c.before == nil || c.after == nil {
		return reason{contents, name + c.fate() + l.where()}
	}
	a, b := c.before.file(), c.after.file()
	if a.word != b.word {
		return reason{contents, clip(quote(f.name)) + " was a " + kind(a.word) + " and is a " + kind(b.word) + l.where()}
	}
	said, r := "", contents
	if a.content != b.content {
		if said = " changed"; a.word == "symlink" || a.word == "hard" {
			said = ": target " + contrast([]string{a.content}, []string{b.content})
		}
	}
	if details := a.details(b); details != nil {
		if said == "" {
			said, r = ": "+list(details), attribute
		} else {
			said += ", " + list(details)
		}
	}
	if said == "" {
		return reason{surroundings, "whether the owners of files matter changed"}
	}
	return reason{r, name + said + l.where()}
}

// details are the differences of two files beside their content.
func (f file) details(later file) []string {
	var all []string
	if f.mode != later.mode {
		all = append(all, "mode "+change(f.mode, later.mode))
	}
	if f.owner != later.owner && f.owner != "" && later.owner != "" {
		all = append(all, "owner "+change(f.owner, later.owner))
	}
	return all
}

// renamed takes those couples out of a list in which a file is gone, and a single one
// with the same content, which nothing else has, is new.
func renamed(pairs []couple) (rest []couple, found []reason) {
	gone, come := map[string][]*line{}, map[string][]*line{}
	for _, p := range pairs {
		switch {
		case p.either().identity() == "":
		case p.after == nil:
			gone[p.before.identity()] = append(gone[p.before.identity()], p.before)
		case p.before == nil:
			come[p.after.identity()] = append(come[p.after.identity()], p.after)
		}
	}
	for _, p := range pairs {
		one := p.either()
		id := one.identity()
		if id == "" || p.before != nil && p.after != nil || len(gone[id]) != 1 || len(come[id]) != 1 {
			rest = append(rest, p)
			continue
		}
		if p.before != nil {
			a, b := p.before.file(), come[id][0].file()
			said := "file " + clip(quote(a.name)) + " became " + clip(quote(b.name))
			if details := a.details(b); details != nil {
				said += ", " + list(details)
			}
			found = append(found, reason{contents, said + p.before.where()})
		}
	}
	return rest, found
}

// identity is the same for lines of files with the same content in the same place;
// empty for others.
func (l *line) identity() string {
	if l.fields[0] != "file" || !l.isFile() {
		return ""
	}
	return l.of + "\x00" + l.file().content
}
