package inplace

import (
	"slices"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxUndo is how many paths the driver remembers of what they were before. Each takes
// about 200 bytes if something was there, else a quarter of that.
const maxUndo = 100_000

// past is how the root came to be what it is: the layers on it, from below.
type past struct {
	levels []level
	// held is what was left alone by all levels that can be undone.
	held []tree.Path
	// mixed says that the root holds something that no level tells of.
	mixed bool
}

// level is one layer on the root.
type level struct {
	key   string // "" if nobody knows what it stands for
	empty bool   // it changed nothing that a layer would tell of
	// entries is how many the root had then, as far as a scan saw; 0 if nobody has
	// counted.
	entries int
	undo    *undo
}

// undo is what the paths that a level changed were before it.
type undo struct {
	// before has nil for what was not there: then nothing was below it either, and
	// what is there now is not noted.
	before map[tree.Path]*was
	lost   string // why the level cannot be undone; empty if it can
	// unlike says why the level's layer has not all that the level changed.
	unlike string
}

// was is what something was, with the fingerprint of a file that somebody read.
type was struct {
	tree.Node
	several bool // the file had several names
}

// add puts a level on top. Of those that are too many to remember the lowest go.
func (p *past) add(l level) {
	p.levels = append(p.levels, l)
	sum := 0
	for _, l := range slices.Backward(p.levels) {
		if sum += len(l.undo.before); sum > maxUndo {
			l.undo.lose("too much changed since")
		}
	}
}

// counted notes how many entries the root has.
func (p *past) counted(s *disk.Stamps) {
	if len(p.levels) > 0 {
		p.levels[len(p.levels)-1].entries = s.Len()
	}
}

// match finds how many of the levels, and of the layers, are the same from below. What
// changed nothing is in no list of layers.
func (p *past) match(layers []sandbox.Layer) (levels, same int) {
	if p.mixed {
		return 0, 0
	}
	n := 0
	for i, l := range p.levels {
		switch {
		case n < len(layers) && l.key != "" && l.key == layers[n].Key:
			n++
			levels, same = i+1, n
		case !l.empty:
			return levels, same
		}
	}
	return levels, same
}

// newUndo begins to note what a level changes.
func (d *Driver) newUndo() *undo {
	u := &undo{before: map[tree.Path]*was{}}
	held := d.protect.held()
	switch {
	case d.o.Mode != Full:
		u.lose("not all changes of files are looked for")
	case len(d.past.levels) == 0:
		u.lose("below it is nothing") // then the root is emptied
	case d.past.mixed:
		u.lose("a command's changes were never captured")
	case !slices.Equal(d.past.held, held):
		u.lose("mounts came or went")
	}
	d.past.held = held
	return u
}

func (u *undo) lose(why string) { u.before, u.lost = nil, why }

// applying notes what a change of a layer is about to do. Held says that it goes to the
// shadow.
func (u *undo) applying(d *Driver, c layer.Change, held bool) {
	if u.lost != "" {
		return
	}
	isDir := c.Kind == layer.Put && c.Hard == "" && c.Node.IsDir()
	switch {
	case held || c.Hard != "" && d.protect.covers(c.Hard):
		u.lose("it changed what is kept beside the root")
	case c.Path != tree.Root && !isDir && d.protect.leads(c.Path):
		u.lose("it changed what leads to a mount")
	case isDir:
		u.way(d, c.Path)
		u.note(d, c.Path)
	default:
		u.way(d, c.Path)
		u.all(d, c.Path)
	}
}

// observed notes what a command did.
func (u *undo) observed(d *Driver, diff disk.Diff) {
	for _, s := range diff.Changed {
		u.compare(d, s.Path, s.Node.Type == 0)
		u.way(d, s.Path)
		if s.Node.IsDir() {
			u.note(d, s.Path)
		} else {
			u.replaced(d, s.Path)
		}
	}
	for _, p := range diff.Gone {
		u.compare(d, p, false)
		u.way(d, p)
		u.replaced(d, p)
	}
}

// compare notes where a layer will not have what a command changed.
func (u *undo) compare(d *Driver, p tree.Path, socket bool) {
	switch {
	case socket:
		u.unlike = "a command left a socket, which no layer has"
	case slices.ContainsFunc(d.o.Ignored, p.Within):
		u.unlike = "a command changed what is ignored"
	}
}

// replaced notes what p was that is no directory any more.
func (u *undo) replaced(d *Driver, p tree.Path) {
	if d.protect.leads(p) {
		u.lose("a command changed what leads to a mount")
	}
	u.all(d, p)
}

// way notes the directory that p is in, whose time changes, or, if that is not there,
// all that come with p.
func (u *undo) way(d *Driver, p tree.Path) {
	if p == tree.Root {
		return
	}
	missing := []tree.Path{p.Parent()}
	for q := p.Parent(); q != tree.Root; {
		if n, ok := d.state.Tree().Lookup(q); ok && n.IsDir() {
			break
		}
		q = q.Parent()
		missing = append(missing, q)
	}
	for _, q := range slices.Backward(missing) {
		u.note(d, q)
	}
}

// all notes p and what is below it.
func (u *undo) all(d *Driver, p tree.Path) {
	u.note(d, p)
	if n, ok := d.state.Tree().Lookup(p); !ok || !n.IsDir() {
		return
	}
	for e, err := range d.state.Tree().Walk(p) {
		if err != nil || u.lost != "" {
			return
		}
		u.note(d, e.Path)
	}
}

// note notes what p is, if this is the first change to it.
func (u *undo) note(d *Driver, p tree.Path) {
	if u.lost != "" || u.knows(p) {
		return
	}
	t := d.state.Tree()
	n, ok := t.Lookup(p)
	if d.protect.leads(p) && !(ok && n.IsDir()) {
		// Such as /etc where no layer has one.
		u.lose("it changed what leads to a mount")
		return
	}
	if len(u.before) >= maxUndo {
		u.lose("it changed too much")
		return
	}
	if !ok {
		u.before[p] = nil
		return
	}
	u.before[p] = &was{Node: n, several: len(t.Links(p)) > 1}
}

// knows reports whether it is noted what p was.
func (u *undo) knows(p tree.Path) bool {
	_, ok := u.before[p]
	return ok || u.missing(p)
}

// missing reports whether a directory above p was not there.
func (u *undo) missing(p tree.Path) bool {
	for p != tree.Root {
		p = p.Parent()
		if w, ok := u.before[p]; ok && w == nil {
			return true
		}
	}
	return false
}
