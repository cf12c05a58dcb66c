package placement

import (
	"io"
	"io/fs"
	"iter"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// view is the destination's file system with what was placed so far. It answers
// for single entries, which is all that resolving a path asks for.
type view struct {
	below  tree.FS
	placed map[tree.Path]tree.Node
	// fresh are placed directories that below does not have: nothing is in them
	// but what is placed.
	fresh map[tree.Path]bool
	// cleared are directories of below that something else has replaced.
	cleared []tree.Path
}

// clear forgets what is below the directory dir.
func (v *view) clear(dir tree.Path) {
	v.cleared = append(v.cleared, dir)
	for p := range v.placed {
		if p != dir && p.Within(dir) {
			delete(v.placed, p)
		}
	}
}

// put notes what is placed at p.
func (v *view) put(p tree.Path, n tree.Node) {
	if _, again := v.placed[p]; !again && n.IsDir() && p != tree.Root {
		if v.fresh[p.Parent()] {
			v.fresh[p] = true
		} else if e, err := tree.Stat(v.below, p); notExist(err) || err == nil && !e.Node.IsDir() {
			v.fresh[p] = true
		}
	}
	v.placed[p] = n
}

func (v *view) isCleared(p tree.Path) bool {
	for _, dir := range v.cleared {
		if p != dir && p.Within(dir) {
			return true
		}
	}
	return false
}

func (v *view) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if n, ok := v.placed[from]; ok {
			yield(tree.Entry{Path: from, Node: n}, nil)
			return
		}
		if v.fresh[from.Parent()] || v.isCleared(from) {
			yield(tree.Entry{}, &fs.PathError{Op: "lstat", Path: from.Abs(), Err: fs.ErrNotExist})
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
	// last says that what is placed now are the entries of a directory, each at its own
	// path, and that nothing comes after them: only directories need to be remembered,
	// and not a million files.
	last bool
}

// put yields the change after its parents; false means that nobody wants more.
// The directory that it is in gets the time of now, as on any file system, unless
// this layer has said something of it already.
func (s *sink) put(c layer.Change) (bool, error) {
	changed := true
	if c.Node.IsDir() {
		e, err := tree.Stat(&s.view, c.Path)
		changed = err != nil || !e.Node.IsDir()
	}
	if ok, err := s.onTheWay(c.Path, changed); !ok || err != nil {
		return ok, err
	}
	if !s.last || c.Node.IsDir() {
		s.view.put(c.Path, c.Node)
	}
	return s.yield(c, nil), nil
}

// onTheWay puts the directories that lead to p and are not yet in this layer.
// changed says that p is new or another than before, and not there just because of
// what is in it.
func (s *sink) onTheWay(p tree.Path, changed bool) (bool, error) {
	if p == tree.Root {
		return true, nil
	}
	dir := p.Parent()
	if n, ok := s.view.placed[dir]; ok && n.IsDir() || dir == tree.Root {
		return true, nil
	}
	e, err := tree.Stat(&s.view, dir)
	n, made := e.Node, false
	switch {
	case notExist(err):
		n, made = s.made, true
	case err != nil:
		return false, err
	case !n.IsDir():
		return false, &ConflictError{Path: dir, Is: kind(n), New: "a directory"}
	case changed:
		n.MTime = s.made.MTime
	}
	if ok, err := s.onTheWay(dir, made); !ok || err != nil {
		return ok, err
	}
	s.view.put(dir, n)
	return s.yield(layer.Change{Path: dir, Kind: layer.Put, Node: n}, nil), nil
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
