package placement

import (
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Place yields what the request does to root, the image's file system. Links in
// the destination are followed inside it. Sources that are links are followed,
// unless Parents is set; links below a source stay links.
func Place(r Request, root tree.FS) layer.Changes { return PlaceAll([]Request{r}, root) }

// PlaceAll yields what requests with one destination do one after the other, as
// the sources of one instruction that are in different places.
func PlaceAll(requests []Request, root tree.FS) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		var before *view
		for i, r := range requests {
			p := newPlacer(r, root, yield)
			p.more = i < len(requests)-1
			if before != nil {
				p.view = *before
			}
			before = &p.view
			if err := p.run(); err != nil {
				if !errors.Is(err, errStopped) {
					yield(layer.Change{}, err)
				}
				return
			}
		}
	}
}

// MakeDir yields what makes dir, with its parents, a directory: nothing if it is
// one already. What is made belongs to owner.
func MakeDir(r Request, root tree.FS) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		p := newPlacer(r, root, yield)
		dir, err := tree.Resolve(root, r.Dest)
		if err == nil {
			err = p.makeDir(dir)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(layer.Change{}, err)
		}
	}
}

// errStopped ends the work when the consumer has stopped asking.
var errStopped = errors.New("stopped")

type placer struct {
	Request
	sink
	selection selection
	more      bool // requests with the same destination follow
}

func newPlacer(r Request, root tree.FS, yield func(layer.Change, error) bool) *placer {
	p := &placer{Request: r}
	if r.Link {
		root = bare()
	}
	p.sink = sink{view: view{below: root, placed: map[tree.Path]tree.Node{}, fresh: map[tree.Path]bool{}}, yield: yield}
	p.made = tree.Node{Type: tree.Dir, Mode: 0o755, MTime: r.Time}
	if r.Owner != nil {
		p.made.UID, p.made.GID = r.Owner.UID, r.Owner.GID
	}
	if r.Mode != nil && r.Mode.Sets() {
		p.made.Mode = r.Mode.Apply(p.made.Mode, true)
	}
	return p
}

// bare is a file system with nothing in it.
func bare() tree.FS {
	t := &tree.Tree{}
	t.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755})
	return t
}

func (p *placer) run() (err error) {
	if p.selection, err = newSelection(p.Request); err != nil {
		return err
	}
	var found []match
	if !p.Parents {
		if found, err = p.selection.matches(p.Patterns); err != nil {
			return err
		}
	}
	dest, err := tree.Resolve(&p.view, p.Dest)
	if err != nil {
		return err
	}
	at, err := tree.Stat(&p.view, dest)
	exists := err == nil
	if err != nil && !notExist(err) {
		return err
	}
	into := p.DestDir || p.Parents || exists && at.Node.IsDir()
	if len(found)+len(p.Inline) > 1 && !into {
		return &SeveralError{p.Dest}
	}
	if into && exists && !at.Node.IsDir() {
		return &ConflictError{Path: dest, Is: kind(at.Node), New: "a directory"}
	}
	if p.Parents {
		if err := p.parents(dest); err != nil {
			return err
		}
	}
	if err := p.timeDir(dest, found); err != nil {
		return err
	}
	for i, m := range found {
		p.last = !p.more && i == len(found)-1 && len(p.Inline) == 0 && m.node.IsDir()
		if err := p.source(m, dest, into); err != nil {
			return err
		}
	}
	for _, f := range p.Inline {
		if err := p.inline(f, dest, into); err != nil {
			return err
		}
	}
	return nil
}

func (p *placer) source(m match, dest tree.Path, into bool) error {
	if m.node.IsDir() {
		return p.directory(m, dest)
	}
	if p.Unpack {
		if done, err := p.archive(m, dest); done || err != nil {
			return err
		}
	}
	target := dest
	if into {
		target = dest.Join(m.name)
	}
	for e, err := range p.Source.Walk(m.real) {
		if err != nil {
			return err
		}
		return p.entry(e, target, "")
	}
	return nil
}

// directory merges the content of a directory into dest.
func (p *placer) directory(m match, dest tree.Path) error {
	if err := p.makeDir(dest); err != nil {
		return err
	}
	for e, err := range p.selection.content(m) {
		if err != nil {
			return err
		}
		if e.Path == m.real {
			continue
		}
		first := tree.Path("")
		if e.Hard != "" && e.Node.Type == tree.File { // others are copied by themselves
			first = e.Hard.Rel(m.real).Below(dest)
		}
		if err := p.entry(e, e.Path.Rel(m.real).Below(dest), first); err != nil {
			return err
		}
	}
	return nil
}

// parents puts what the patterns take below dest, each with its directories. Of
// these, one that is there already stays as it is.
func (p *placer) parents(dest tree.Path) error {
	placed := map[tree.Path]tree.Path{}
	for k, err := range p.selection.kept(p.Patterns) {
		if err != nil {
			return err
		}
		target := k.to.Below(dest)
		switch {
		case k.to == tree.Root:
			err = p.makeDir(dest)
		case k.way && p.isDir(target):
		default:
			err = p.entry(k.Entry, target, placed[k.Hard])
			if k.Node.Type == tree.File && k.Hard == "" {
				placed[k.Path] = target
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *placer) isDir(at tree.Path) bool {
	e, err := tree.Stat(&p.view, at)
	return err == nil && e.Node.IsDir()
}

// timeDir gives dest the time of the directory whose content is merged into it
// last of all, and makes it if it is missing. That of a whole context or stage
// tells nothing.
func (p *placer) timeDir(dest tree.Path, found []match) error {
	last := len(found) - 1
	if last < 0 || !found[last].node.IsDir() || found[last].real == tree.Root || dest == tree.Root {
		return nil
	}
	e, err := tree.Stat(&p.view, dest)
	n := e.Node
	switch {
	case notExist(err):
		n = p.made
	case err != nil:
		return err
	case !n.IsDir():
		return p.makeDir(dest)
	}
	n.MTime = found[last].node.MTime
	return p.emit(layer.Change{Path: dest, Kind: layer.Put, Node: n})
}

// makeDir makes dest a directory; one that is there stays as it is. The root is in
// layers only for what a command does to it.
func (p *placer) makeDir(dest tree.Path) error {
	if dest == tree.Root {
		return nil
	}
	e, err := tree.Stat(&p.view, dest)
	switch {
	case notExist(err):
		return p.emit(layer.Change{Path: dest, Kind: layer.Put, Node: p.made})
	case err != nil:
		return err
	case !e.Node.IsDir():
		return &ConflictError{Path: dest, Is: kind(e.Node), New: "a directory"}
	}
	return nil
}

// entry puts one entry of the source at target. Of another name of a file that was
// placed before, first is where that went.
func (p *placer) entry(e tree.Entry, target, first tree.Path) error {
	if err := p.conflict(e.Node, target); err != nil {
		return err
	}
	c := layer.Change{Path: target, Kind: layer.Put, Node: p.restamp(e.Node), Hard: first}
	if c.Hard == "" && e.Node.Type == tree.File {
		src := e.Path
		c.Open = func() (io.ReadCloser, error) { return p.Source.Open(src) }
	}
	return p.emit(c)
}

// conflict refuses to put a directory over something else, or the reverse: what
// would be lost was hardly meant to be.
func (p *placer) conflict(n tree.Node, target tree.Path) error {
	there, err := tree.Stat(&p.view, target)
	if notExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if there.Node.IsDir() != n.IsDir() {
		return &ConflictError{Path: target, Is: kind(there.Node), New: "a " + kind(n)}
	}
	return nil
}

// restamp gives a node the owner and mode that were asked for.
func (p *placer) restamp(n tree.Node) tree.Node {
	switch {
	case p.Owner != nil:
		n.UID, n.GID = p.Owner.UID, p.Owner.GID
	case !p.KeepOwner:
		n.UID, n.GID = 0, 0
	}
	if p.Mode != nil && n.Type != tree.Symlink {
		n.Mode = p.Mode.Apply(n.Mode, n.IsDir())
	}
	return n
}

func (p *placer) inline(f Inline, dest tree.Path, into bool) error {
	target := dest
	if into {
		target = dest.Join(f.Name)
	}
	n := p.restamp(tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(f.Data)), MTime: p.Time})
	if err := p.conflict(n, target); err != nil {
		return err
	}
	return p.emit(layer.Change{Path: target, Kind: layer.Put, Node: n, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(f.Data)), nil
	}})
}

func (p *placer) emit(c layer.Change) error {
	if layer.Reserved(c.Path) {
		return &ReservedError{c.Path}
	}
	ok, err := p.put(c)
	if err == nil && !ok {
		err = errStopped
	}
	return err
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
