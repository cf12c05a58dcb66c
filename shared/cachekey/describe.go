package cachekey

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// reason says what a couple of lines means. The words of lines are those that package
// plan writes.
func (c couple) reason() reason {
	if c.before != nil && c.after != nil && slices.Equal(c.before.fields, c.after.fields) {
		return reason{order, "the order changed: " + shown(c.after.fields)}
	}
	word := c.either().fields[0]
	switch {
	case word == "parent":
		return c.parent()
	case word == "from":
		return reason{elsewhere, c.source() + ": " + change(c.identities())}
	case word == "env":
		return reason{variable, c.environment()}
	case word == "xattr":
		return reason{attribute, "extended attribute " + quote(c.second()) + " of " + quote(c.either().name) + c.fate()}
	case c.either().isFile():
		return c.file()
	case word == "mount":
		return reason{surroundings, c.mount()}
	case c.either().head == "mount":
		return reason{surroundings, "the mount at " + quote(c.either().name) + ": " + c.option(word)}
	case word == "remote" || c.either().head == "remote":
		return reason{instruction, c.remote(word)}
	}
	return c.own(word)
}

// own is what the lines of the step itself mean that are about one thing.
func (c couple) own(word string) reason {
	before, after := c.values(1)
	switch word {
	case "run":
		return reason{instruction, "the command changed: " + contrast(before, after)}
	case "dir":
		return reason{instruction, "the directory changed: " + contrast(before, after)}
	case "in":
		return reason{instruction, "the working directory changed: " + contrast(before, after)}
	case "user":
		return reason{instruction, "the user changed: " + contrast(before, after)}
	case "copy":
		return reason{instruction, c.destination()}
	case "sources":
		return reason{instruction, "the sources changed: " + contrast(before, after)}
	case "chown", "chmod":
		return reason{instruction, "--" + word + " changed: " + contrast(before, after)}
	case "exclude":
		return reason{instruction, "--exclude=" + quote(c.second()) + c.fate()}
	case "parents", "link":
		return reason{instruction, "--" + word + c.fate()}
	case "offline":
		return reason{instruction, "--network=none" + c.fate()}
	case "unpack":
		return reason{instruction, "that local archives are unpacked" + c.fate()}
	case "script", "inline":
		return reason{instruction, "the heredoc " + quote(c.second()) + c.fate()}
	case "squashed", "linked":
		return reason{earlier, "what the steps before leave together changed"}
	case "indexes":
		return reason{base, "the image changed: " + change(c.identities())}
	case "platform":
		return reason{surroundings, "the platform changed: " + contrast(before, after)}
	case "clamp":
		return reason{surroundings, "the time that files are brought down to (SOURCE_DATE_EPOCH or --reproducible) changed: " +
			change(moment(before), moment(after))}
	case "ignored":
		return reason{surroundings, "--ignore-path=" + quote(c.second()) + c.fate()}
	case "compression":
		return reason{surroundings, "the compression of layers changed: " + contrast(before, after)}
	}
	return reason{unknown, c.unknown()}
}

// fate is what happened to the thing that a line is about.
func (c couple) fate() string {
	switch {
	case c.before == nil:
		return " is new"
	case c.after == nil:
		return " is gone"
	}
	return " changed"
}

// second is the second field of the lines.
func (c couple) second() string { return c.either().value() }

// unknown shows lines of whose words nothing is known here.
func (c couple) unknown() string {
	before, after := c.values(1)
	switch {
	case before == nil:
		return "new: " + shown(c.after.fields)
	case after == nil:
		return "gone: " + shown(c.before.fields)
	}
	return clip(quote(c.after.fields[0])) + " " + contrast(before, after)
}

func (c couple) parent() reason {
	before, after := c.values(1)
	switch {
	case before == nil || after == nil:
		return reason{earlier, "whether it matters what is below changed: " + change(c.identities())}
	case before[0] == "step" && after[0] == "step":
		return reason{earlier, EarlierStep}
	case before[0] != "step" && after[0] != "step":
		return reason{base, "base image changed: " + change(identity(before), identity(after))}
	}
	return reason{earlier, "what comes before changed: " + change(c.identities())}
}

// identities are what the lines say of how a file system came to be.
func (c couple) identities() (before, after string) {
	a, b := c.values(1)
	say := func(fields []string) string {
		if len(fields) > 1 {
			return fields[0] + " " + identity(fields)
		}
		return identity(fields)
	}
	return say(a), say(b)
}

func identity(fields []string) string {
	if len(fields) > 0 {
		return short(fields[len(fields)-1])
	}
	return shown(fields)
}

// source names the place of which a line with "from" tells.
func (c couple) source() string {
	switch l := c.either(); l.head {
	case "mount":
		return "what is mounted at " + quote(l.name) + " changed"
	case "remote":
		return "what " + clip(quote(l.name)) + " has changed"
	}
	return "what it copies from changed"
}

func (c couple) environment() string {
	name := "variable " + quote(c.second())
	before, after := c.values(2)
	switch {
	case before == nil || after == nil:
		return name + c.fate()
	case len(before) > 1 || len(after) > 1:
		return name + " changed (its value is not shown)"
	}
	return name + ": " + contrast(before, after)
}

func (c couple) destination() string {
	before, after := c.values(1)
	if len(before) == 2 && len(after) == 2 && before[0] == after[0] {
		return "the destination " + quote(after[0]) + " is to be a " + quote(after[1]) + " and was to be a " + quote(before[1])
	}
	if len(before) > 1 && len(after) > 1 {
		before, after = before[:1], after[:1]
	}
	return "the destination changed: " + contrast(before, after)
}

func (c couple) mount() string {
	before, after := c.values(1)
	if len(before) == 2 && len(after) == 2 {
		return "the mount at " + quote(after[1]) + ": type " + change(quote(before[0]), quote(after[0]))
	}
	return "the mount " + shown(c.either().fields[1:]) + c.fate()
}

// option is what a line means that says more about a mount or a remote source.
func (c couple) option(word string) string {
	before, after := c.values(1)
	if len(before)+len(after) == 0 {
		return word + c.fate()
	}
	return word + " " + change(shown(before), shown(after))
}

func (c couple) remote(word string) string {
	if word != "remote" {
		return "source " + clip(quote(c.either().name)) + ": " + c.option(word)
	}
	source := "source " + clip(quote(c.second()))
	before, after := c.values(2)
	switch {
	case before == nil || after == nil:
		return source + c.fate()
	case len(before) > 1 || len(after) > 1:
		return source + " changed (part of the address is not shown)"
	}
	return source + ": file name " + contrast(before, after)
}

// moment is the time that the seconds of a line stand for.
func moment(fields []string) string {
	if len(fields) == 1 {
		if seconds, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
		}
	}
	return shown(fields)
}

// where tells, for a file, of which place it is if that is not plain.
func (l *line) where() string {
	switch l.head {
	case "mount":
		return " (mounted at " + quote(l.name) + ")"
	case "remote":
		return " (of " + clip(quote(l.name)) + ")"
	}
	return ""
}

// kind is what people call the files of a line.
func kind(word string) string {
	switch word {
	case "hard":
		return "hard link"
	case "special":
		return "special file"
	}
	return word
}

func list(parts []string) string { return strings.Join(parts, ", ") }
