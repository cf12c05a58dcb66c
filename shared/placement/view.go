package placement

import (
	"io"
	"io/fs"
	"iter"
	"time"

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
	// dest is the directory that the sources go to, and left the time that the last
	// of them leaves it with.
	dest tree.Path
	left time.Time
}

// timeOf is the time of a directory that something is put in.
func (s *sink) timeOf(dir tree.Path) time.Time {
	if dir == s.dest {
		return s.left
	}
	return s.made.MTime
}

// put yields the change after its parents; false means that nobody wants more.
func (s *sink) put(c layer.Change) (bool, error) {
	if ok, err := s.onTheWay(c); !ok || err != nil {
		return ok, err
	}
	s.view.put(c.Path, c.Node)
	return s.yield(c, nil), nil
}

// onTheWay puts the directories that lead to c and are not yet in this layer. One
// that c adds to has a new time, as on any disk.
func (s *sink) onTheWay(c layer.Change) (bool, error) {
	if c.Path == tree.Root {
		return true, nil
	}
	dir := c.Path.Parent()
	if n, ok := s.view.placed[dir]; ok && n.IsDir() || dir == tree.Root {
		return true, nil
	}
	e, err := tree.Stat(&s.view, dir)
	n := e.Node
	switch {
	case notExist(err):
		n = s.made
		n.MTime = s.timeOf(dir)
	case err != nil:
		return false, err
	case !n.IsDir():
		return false, &ConflictError{Path: dir, Is: kind(n), New: "a directory"}
	case s.adds(c):
		n.MTime = s.timeOf(dir)
	}
	return s.put(layer.Change{Path: dir, Kind: layer.Put, Node: n})
}

// adds reports whether c is more than a change of a directory that is there.
func (s *sink) adds(c layer.Change) bool {
	if !c.Node.IsDir() {
		return true
	}
	_, err := tree.Stat(&s.view, c.Path)
	return notExist(err)
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
