package ocidir

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// maxComponent is how long a file's name gets, in bytes. Most file systems take 255.
const maxComponent = 200

// refFile is where the ref of a name is. Each component of the name is one of the
// path; what file systems take amiss or for the same is escaped as %xx, capital
// letters too, and what is longer than a file's name may be goes on in the next
// component, after a "+".
func refFile(name string) (string, error) {
	p := refsDir
	for component := range strings.SplitSeq(name, "/") {
		if component == "" {
			return "", fmt.Errorf("%q is not the name of a ref", name)
		}
		for rest := escape(component); rest != ""; {
			part := rest[:cut(rest)]
			if rest = rest[len(part):]; rest != "" {
				part += "+"
			}
			p += "/" + part
		}
	}
	return p, nil
}

// cut is the length of the first part of an escaped component. A part does not end
// in a dot, which some file systems drop, nor within an escape.
func cut(escaped string) int {
	if len(escaped) <= maxComponent {
		return len(escaped)
	}
	at := maxComponent
	if i := strings.LastIndexByte(escaped[at-2:at], '%'); i >= 0 {
		at += i - 2
	}
	return at
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-_=,@", c) >= 0,
			c == '.' && i > 0 && i < len(s)-1:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// refName is the name of the ref that is in a file; false if it is not one of ours.
func refName(file string) (string, bool) {
	rest, ok := strings.CutPrefix(file, refsDir+"/")
	if !ok {
		return "", false
	}
	name, err := unescape(strings.ReplaceAll(rest, "+/", ""))
	if err != nil {
		return "", false
	}
	again, err := refFile(name)
	return name, err == nil && again == path.Clean(file)
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if len(after) < 2 {
			return "", strconv.ErrSyntax
		}
		c, err := strconv.ParseUint(after[:2], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(c))
		s = after[2:]
	}
}
