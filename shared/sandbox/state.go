package sandbox

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// State is what a sandbox's root is known to hold: the metadata that layers gave
// it and fingerprints of contents. Drivers tell it what they put on disk
// ([State.Applied]) and what they see there after a command ([State.Capture]); it
// decides what of that is a change, so that all drivers come to the same layer.
//
// A State makes no system call. It is used by one goroutine at a time; Walk and
// Tree may be read by several while nothing else is called. The zero State is an
// empty root.
type State struct {
	tree  tree.Tree
	layer *layer.Overlayer // the layer being applied; nil between two
}

// implied is a directory that no layer describes but that something is in.
// The disk package makes such directories alike.
func implied() tree.Node {
	return tree.Node{Type: tree.Dir, Mode: 0o755, MTime: time.Unix(0, 0)}
}

// Tree is what the root holds, for reading only.
func (s *State) Tree() *tree.Tree {
	s.root()
	return &s.tree
}

// Walk implements half of [tree.FS].
func (s *State) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return s.Tree().Walk(from)
}

func (s *State) root() {
	if _, ok := s.tree.Lookup(tree.Root); !ok {
		s.tree.Put(tree.Root, implied())
	}
}

// NewLayer says that the changes to come belong to another layer than those
// before: its deletions spare only what it puts itself.
func (s *State) NewLayer() { s.layer = nil }

// Applied records a change of a layer that the driver has put on the root. The
// change's Node carries the fingerprint of its content, if that is known.
func (s *State) Applied(c layer.Change) error {
	s.root()
	if s.layer == nil {
		s.layer = layer.NewOverlay(&s.tree)
	}
	if c.Kind == layer.Put {
		s.imply(c.Path)
		if c.Node.MTime.IsZero() {
			c.Node.MTime = time.Unix(0, 0)
		}
	}
	if err := s.layer.Add(c); err != nil {
		return fmt.Errorf("apply %s: %w", c.Path.Abs(), err)
	}
	return nil
}

// Apply is NewLayer and then Applied for each change, for drivers that have a
// layer on disk already and remember what is in it.
func (s *State) Apply(c layer.Changes) error {
	s.NewLayer()
	for change, err := range c {
		if err != nil {
			return err
		}
		if err := s.Applied(change); err != nil {
			return err
		}
	}
	s.NewLayer()
	return nil
}

// imply makes what leads to p directories that are as disk.Writer makes them: a
// [tree.Tree] of its own accord would give them no time.
func (s *State) imply(p tree.Path) {
	var missing []tree.Path
	for p != tree.Root {
		p = p.Parent()
		if n, ok := s.tree.Lookup(p); ok && n.IsDir() {
			break
		}
		missing = append(missing, p)
	}
	for _, p := range slices.Backward(missing) {
		s.tree.Put(p, implied())
	}
}

// Observed is a path that a command may have changed, as it is now.
type Observed struct {
	Path tree.Path
	// Node is the path's metadata with its attributes; its Fingerprint is not
	// looked at. Without a Type (a socket) it is as if the path were not there.
	Node tree.Node
	// Inode tells hard links: names with the same non-zero Inode are one file. A
	// file with one name, or a directory, may leave it zero.
	Inode Inode
	// Opaque says that of what was below the directory before, only what is
	// observed too is still there.
	Opaque bool
}

// Inode is the identity of a file on the machine.
type Inode struct{ Dev, Ino uint64 }

// Observation is what a driver saw after a command: every path that may have
// changed, in any order, and every path that is gone. It may say too much of
// both: what is as it was is no change.
type Observation struct {
	Seen []Observed
	Gone []tree.Path // of a directory that is gone, at least itself
	// Open reads a regular file among Seen. The file system must not change until
	// Capture's stream has ended.
	Open func(tree.Path) (io.ReadCloser, error)
}

// Capture turns what was seen into the changes since the last Applied or Capture,
// and takes them over. The rules:
//
//   - What a layer would say the same of, with the same content, is no change.
//     Content is read only to find that out; if the old one is unknown it is a change.
//   - A directory that is gone is one Delete, with none for what was in it. There is
//     never an Opaque: what went from a directory that was made anew is Deletes.
//   - All parents of a change are put, but for the root, which is put only if its
//     mode, owner or attributes changed. Its time says nothing: every runtime adds
//     its own entries to the root.
//   - Of the names of one file the first in order is put with the content and the
//     others as its links. A new name of a file brings all names of that file along.
//   - Times are whole seconds. A Delete stands where the path would.
//
// The stream must be drained; each Open of it called at most once, in its turn.
func (s *State) Capture(o Observation) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		s.root()
		s.NewLayer()
		c := capture{s: s, o: o, seen: make(map[tree.Path]*Observed, len(o.Seen)), changed: map[tree.Path]change{}}
		if err := c.decide(); err != nil {
			yield(layer.Change{}, fmt.Errorf("capture changes: %w", err))
			return
		}
		c.emit(yield)
		s.NewLayer()
	}
}

// change is what becomes of a path.
type change struct {
	kind layer.Kind
	node tree.Node
	hard tree.Path
	from tree.Path // a name seen of the file, to read its content by
	same bool      // a parent that is as it was, put for the sake of what is in it
}

type capture struct {
	s       *State
	o       Observation
	seen    map[tree.Path]*Observed
	changed map[tree.Path]change
}

// decide fills c.changed without touching the tree.
func (c *capture) decide() error {
	slices.SortFunc(c.o.Seen, func(a, b Observed) int { return tree.Compare(a.Path, b.Path) })
	groups := map[Inode][]tree.Path{}
	for i := range c.o.Seen {
		e := &c.o.Seen[i]
		if e.Node.Type == 0 {
			if _, ok := c.s.tree.Lookup(e.Path); ok {
				c.o.Gone = append(c.o.Gone, e.Path)
			}
			continue
		}
		c.seen[e.Path] = e
		c.normalize(e)
		if e.Inode != (Inode{}) && !e.Node.IsDir() {
			groups[e.Inode] = append(groups[e.Inode], e.Path)
		}
	}
	for i := range c.o.Seen {
		e := &c.o.Seen[i]
		if e.Node.Type == 0 {
			continue
		}
		differs, err := c.differs(e)
		if err != nil {
			return err
		}
		if differs {
			c.changed[e.Path] = change{kind: layer.Put, node: e.Node, from: e.Path}
		}
		if e.Opaque {
			c.hidden(e.Path)
		}
	}
	c.deletions()
	for i := range c.o.Seen {
		e := &c.o.Seen[i]
		if names := groups[e.Inode]; len(names) > 1 && names[0] == e.Path {
			c.links(names)
		}
	}
	c.parents()
	return nil
}

// normalize brings e to what a layer can say of it.
func (c *capture) normalize(e *Observed) {
	e.Node.MTime = time.Unix(e.Node.MTime.Unix(), 0)
	e.Node.Fingerprint = 0
	if e.Node.Type == tree.Symlink {
		// Linux keeps no mode for links; what a layer said of it stays.
		e.Node.Mode = 0o777
		if old, ok := c.s.tree.Lookup(e.Path); ok && old.Type == tree.Symlink {
			e.Node.Mode = old.Mode
		}
	}
}

// differs reports whether e is not what the tree has at its path, links aside. It
// leaves the content's fingerprint in e.Node where it had to be found out.
func (c *capture) differs(e *Observed) (bool, error) {
	old, ok := c.s.tree.Lookup(e.Path)
	switch {
	case !ok:
		return true, nil
	case e.Path == tree.Root:
		now := e.Node
		now.MTime = old.MTime
		return !now.SameMetadata(old), nil
	case !e.Node.SameMetadata(old):
		return true, nil
	case e.Node.Type != tree.File:
		return false, nil
	case old.Fingerprint == 0:
		return true, nil
	}
	sum, err := c.fingerprint(e.Path)
	if err != nil {
		return false, err
	}
	e.Node.Fingerprint = sum
	return sum != old.Fingerprint, nil
}

func (c *capture) fingerprint(p tree.Path) (uint64, error) {
	r, err := c.open(p)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := tree.NewFingerprint()
	if _, err := io.Copy(sum, r); err != nil {
		return 0, err
	}
	return sum.Sum64(), nil
}

func (c *capture) open(p tree.Path) (io.ReadCloser, error) {
	if c.o.Open == nil {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: errors.ErrUnsupported}
	}
	return c.o.Open(p)
}

// hidden adds to Gone what an opaque directory hides.
func (c *capture) hidden(p tree.Path) {
	for e, err := range c.s.tree.Walk(p) {
		if err != nil {
			return
		}
		if _, ok := c.seen[e.Path]; !ok && e.Path != p {
			c.o.Gone = append(c.o.Gone, e.Path)
		}
	}
}

// deletions makes Deletes of the topmost paths gone.
func (c *capture) deletions() {
	slices.SortFunc(c.o.Gone, tree.Compare)
	top := tree.Root
	for _, p := range c.o.Gone {
		if p == tree.Root || top != tree.Root && p.Within(top) {
			continue
		}
		if _, ok := c.seen[p]; ok {
			continue // it is there again
		}
		if _, ok := c.s.tree.Lookup(p); !ok || c.replaced(p) {
			continue
		}
		top = p
		c.changed[p] = change{kind: layer.Delete}
	}
}

// replaced reports whether a directory above p is now something else, which
// takes p away without a word.
func (c *capture) replaced(p tree.Path) bool {
	for p != tree.Root {
		p = p.Parent()
		if e, ok := c.seen[p]; ok {
			return !e.Node.IsDir()
		}
	}
	return false
}

// links makes the names seen of one file links of each other, if one of them is a
// change or they were not all one file before.
func (c *capture) links(names []tree.Path) {
	var old []tree.Path // names that are as they were
	differs := false
	for _, p := range names {
		if _, ok := c.changed[p]; ok {
			differs = true
			continue
		}
		if len(old) > 0 && !slices.Contains(c.s.tree.Links(old[0]), p) {
			differs = true
		}
		old = append(old, p)
	}
	if !differs {
		return
	}
	// The names that this file had before and that were not seen: an overlay sees
	// only the name that a new link was made from, a plain directory sees all.
	all := slices.Clone(names)
	for _, p := range old {
		for _, q := range c.s.tree.Links(p) {
			if _, ok := c.seen[q]; !ok && !c.gone(q) && !slices.Contains(all, q) {
				all = append(all, q)
			}
		}
	}
	slices.SortFunc(all, tree.Compare)
	n := c.seen[names[0]].Node
	for i, p := range all {
		ch := change{kind: layer.Put, node: n, from: names[0]}
		if i > 0 {
			ch.hard = all[0]
		}
		c.changed[p] = ch
	}
}

// gone reports whether p was deleted or replaced from above.
func (c *capture) gone(p tree.Path) bool {
	if c.replaced(p) {
		return true
	}
	for ; p != tree.Root; p = p.Parent() {
		if ch, ok := c.changed[p]; ok && ch.kind == layer.Delete {
			return true
		}
	}
	return false
}

// parents adds the directories that lead to the changes.
func (c *capture) parents() {
	paths := make([]tree.Path, 0, len(c.changed))
	for p := range c.changed {
		paths = append(paths, p)
	}
	for _, p := range paths {
		for p != tree.Root {
			p = p.Parent()
			if _, ok := c.changed[p]; ok || p == tree.Root {
				break
			}
			if e, ok := c.seen[p]; ok && e.Node.IsDir() {
				c.changed[p] = change{kind: layer.Put, node: e.Node, same: true}
			} else if n, ok := c.s.tree.Lookup(p); ok && n.IsDir() {
				n.MTime = time.Unix(n.MTime.Unix(), 0)
				c.changed[p] = change{kind: layer.Put, node: n, same: true}
			}
		}
	}
}

// emit yields the changes in order and takes each into the tree after its content
// was read, when its fingerprint is known.
func (c *capture) emit(yield func(layer.Change, error) bool) {
	paths := make([]tree.Path, 0, len(c.changed))
	for p := range c.changed {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, tree.Compare)
	listening := true
	for _, p := range paths {
		ch := c.changed[p]
		out := layer.Change{Path: p, Kind: ch.kind, Node: ch.node, Hard: ch.hard}
		out.Node.Fingerprint = 0
		var r *reader
		if ch.kind == layer.Put && ch.node.Type == tree.File && ch.hard == "" {
			r = &reader{size: ch.node.Size}
			out.Open = func() (io.ReadCloser, error) {
				f, err := c.open(ch.from)
				if err != nil {
					return nil, err
				}
				r.in, r.sum = f, tree.NewFingerprint()
				return r, nil
			}
		}
		listening = listening && yield(out, nil)
		if ch.same {
			continue
		}
		if r != nil && ch.node.Fingerprint == 0 {
			out.Node.Fingerprint = r.fingerprint()
		} else {
			out.Node.Fingerprint = ch.node.Fingerprint
		}
		if err := c.s.Applied(out); err != nil {
			if listening {
				yield(layer.Change{}, fmt.Errorf("capture changes: %w", err))
			}
			return
		}
	}
}

// reader takes a file's fingerprint while it is read.
type reader struct {
	in   io.ReadCloser
	sum  hash.Hash64
	n    int64
	size int64
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.sum.Write(b[:n])
	r.n += int64(n)
	return n, err
}

func (r *reader) Close() error { return r.in.Close() }

// fingerprint is 0 unless exactly the whole file was read.
func (r *reader) fingerprint() uint64 {
	switch {
	case r.sum != nil && r.n == r.size:
		return r.sum.Sum64()
	case r.sum == nil && r.size == 0:
		return tree.NewFingerprint().Sum64()
	}
	return 0
}
