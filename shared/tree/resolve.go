package tree

import (
	"errors"
	"fmt"
	"io/fs"
)

// maxLinks is how many symbolic links one resolution follows, as in Linux's namei.
const maxLinks = 40

// ErrLoop says that a path leads through too many symbolic links.
var ErrLoop = errors.New("too many levels of symbolic links")

// Stat looks up the entry at p without following links.
// A missing entry is an error that wraps [fs.ErrNotExist].
func Stat(fsys FS, p Path) (Entry, error) {
	if t, ok := fsys.(*Tree); ok {
		n, ok := t.Lookup(p)
		if !ok {
			return Entry{}, &fs.PathError{Op: "lstat", Path: p.Abs(), Err: fs.ErrNotExist}
		}
		return Entry{Path: p, Node: n}, nil
	}
	for e, err := range fsys.Walk(p) {
		return e, err
	}
	return Entry{}, &fs.PathError{Op: "lstat", Path: p.Abs(), Err: fs.ErrNotExist}
}

// Resolve finds where p really is: links in its directories are followed, as is
// a link in its last component, always inside the file system's root. What does
// not exist resolves to itself, so that a path about to be created can be asked
// for; a link to something missing resolves to where that would be.
func Resolve(fsys FS, p Path) (Path, error) { return resolve(fsys, p, true) }

// ResolveParent is [Resolve] for p's directory alone: p itself may be a link.
func ResolveParent(fsys FS, p Path) (Path, error) { return resolve(fsys, p, false) }

func resolve(fsys FS, p Path, last bool) (Path, error) {
	at, links := Root, 0
	rest := p.Components()
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at.Parent()
			continue
		}
		next := Path(name)
		if at != Root {
			next = at + "/" + next
		}
		if len(rest) == 0 && !last {
			return next, nil
		}
		e, err := Stat(fsys, next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Nothing to follow from here on.
		case err != nil:
			return "", err
		case e.Node.Type == Symlink:
			if links++; links > maxLinks {
				return "", fmt.Errorf("resolve %s: %w", p.Abs(), ErrLoop)
			}
			target := e.Node.Link
			if len(target) > 0 && target[0] == '/' {
				at = Root
			}
			rest = append(splitLink(target), rest...)
			continue
		}
		at = next
	}
	return at, nil
}

// splitLink keeps ".." components: they are taken from where the link leads, not
// from how the path is spelled.
func splitLink(target string) []string {
	var names []string
	start := 0
	for i := 0; i <= len(target); i++ {
		if i == len(target) || target[i] == '/' {
			if i > start {
				names = append(names, target[start:i])
			}
			start = i + 1
		}
	}
	return names
}
