package tree

import (
	"path"
	"strings"
)

// A Path names an entry of a file system: relative to its root, slash-separated,
// without "." and ".." components. The root itself is "".
//
// A string from outside becomes a Path only through [Clean].
type Path string

// Root is the path of a file system's root directory.
const Root Path = ""

// Clean makes a Path of any slash-separated string. Relative and absolute
// strings are both taken from the root, and ".." never climbs above it.
func Clean(s string) Path {
	return Path(strings.TrimPrefix(path.Clean("/"+s), "/"))
}

// Abs is the path as a process whose root is the file system's root would write it.
func (p Path) Abs() string { return "/" + string(p) }

// Parent is the directory that holds p; the root is its own parent.
func (p Path) Parent() Path {
	if i := strings.LastIndexByte(string(p), '/'); i >= 0 {
		return p[:i]
	}
	return Root
}

// Base is the last component of p; it is "" for the root.
func (p Path) Base() string {
	return string(p[strings.LastIndexByte(string(p), '/')+1:])
}

// Join appends rel, which is cleaned as if p were its root: it never leaves p.
func (p Path) Join(rel string) Path {
	r := Clean(rel)
	switch {
	case p == Root:
		return r
	case r == Root:
		return p
	}
	return p + "/" + r
}

// Within reports whether p is dir or lies below it.
func (p Path) Within(dir Path) bool {
	if dir == Root || p == dir {
		return true
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// Rel is p seen from dir, which p must lie within.
func (p Path) Rel(dir Path) Path {
	return Path(strings.TrimPrefix(string(p[len(dir):]), "/"))
}

// Components are the names from the root down to p; none for the root.
func (p Path) Components() []string {
	if p == Root {
		return nil
	}
	return strings.Split(string(p), "/")
}

// Compare orders paths as a depth-first walk with sorted names meets them:
// a directory comes before its children, and these before its next sibling.
func Compare(a, b Path) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return int(a[i]) - int(b[i])
	}
	return len(a) - len(b)
}
