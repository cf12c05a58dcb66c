package placement

import (
	"io"
	"iter"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// view is the destination's file system with what was placed so far. It answers
// for single entries, which is all that resolving a path asks for.
type view struct {
	below  tree.FS
	placed map[tree.Path]tree.Node
}

func (v *view) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if n, ok := v.placed[from]; ok {
			yield(tree.Entry{Path: from, Node: n}, nil)
			return
		}
		e, err := tree.Stat(v.below, from)
		yield(e, err)
	}
}

func (v *view) Open(p tree.Path) (io.ReadCloser, error) { return v.below.Open(p) }

// sink hands changes on and remembers them. Parents are put in front of the
// first change below them, so that a layer says of each directory on the way
// what it is.
type sink struct {
	view  view
	yield func(layer.Change, error) bool
	made  tree.Node // what a missing parent becomes
}

// put yields the change after its parents; false means that nobody wants more.
func (s *sink) put(c layer.Change) (bool, error) {
	if ok, err := s.parents(c.Path); !ok || err != nil {
		return ok, err
	}
	s.view.placed[c.Path] = c.Node
	return s.yield(c, nil), nil
}

// parents puts the directories that lead to p and are not yet in this layer.
func (s *sink) parents(p tree.Path) (bool, error) {
	if p == tree.Root {
		return true, nil
	}
	dir := p.Parent()
	if n, ok := s.view.placed[dir]; ok && n.IsDir() || dir == tree.Root {
		return true, nil
	}
	e, err := tree.Stat(&s.view, dir)
	n := e.Node
	switch {
	case notExist(err):
		n = s.made
	case err != nil:
		return false, err
	case !n.IsDir():
		return false, &ConflictError{Path: dir, Is: kind(n), New: "a directory"}
	}
	return s.put(layer.Change{Path: dir, Kind: layer.Put, Node: n})
}

func kind(n tree.Node) string {
	switch n.Type {
	case tree.Dir:
		return "directory"
	case tree.Symlink:
		return "symbolic link"
	case tree.File:
		return "file"
	}
	return "special file"
}
