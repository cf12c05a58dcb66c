package tree

import (
	"io/fs"
	"iter"
)

// Lister is an [FS] that can list a directory without visiting what lies below
// its entries. [List] does without, but has to walk all of it.
type Lister interface {
	// List yields the entries of the directory dir, in order. A dir that is
	// missing or no directory is an error that wraps [fs.ErrNotExist].
	List(dir Path) iter.Seq2[Entry, error]
}

// List yields the entries directly in dir, as [Lister] does.
func List(fsys FS, dir Path) iter.Seq2[Entry, error] {
	if l, ok := fsys.(Lister); ok {
		return l.List(dir)
	}
	return func(yield func(Entry, error) bool) {
		for e, err := range fsys.Walk(dir) {
			switch {
			case err != nil:
				yield(Entry{}, err)
				return
			case e.Path == dir && !e.Node.IsDir():
				yield(Entry{}, notDirectory(dir))
				return
			case e.Path == dir || e.Path.Parent() != dir:
			case !yield(e, nil):
				return
			}
		}
	}
}

func notDirectory(dir Path) error {
	return &fs.PathError{Op: "list", Path: dir.Abs(), Err: fs.ErrNotExist}
}

// List implements [Lister].
func (t *Tree) List(dir Path) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		n := t.find(dir)
		if n == nil || !n.isDir() {
			yield(Entry{}, notDirectory(dir))
			return
		}
		for _, name := range n.names() {
			if !yield(Entry{Path: dir.Join(name), Node: n.children[name].node()}, nil) {
				return
			}
		}
	}
}
