package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Fake is a driver whose roots are in memory and whose commands are a function.
// What commands change is captured by the rules that all drivers share.
type Fake struct {
	// Command runs a process; nil does nothing.
	Command func(ctx context.Context, root *Root, p sandbox.Process) error
	// Max is the driver's Limit.
	Max int

	mu   sync.Mutex
	open int
}

// Root is a file system in memory.
type Root struct {
	tree     tree.Tree
	contents map[tree.Path]string
}

// WriteFile makes p a file of mode 0644 with this content, changed now.
func (r *Root) WriteFile(p tree.Path, content string, now time.Time) {
	c := File(p, content)
	c.Node.MTime = now
	r.put(c, content)
}

// ReadFile gives the content of the file at p.
func (r *Root) ReadFile(p tree.Path) (string, error) {
	s, ok := r.contents[p]
	if !ok {
		return "", &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return s, nil
}

// Mkdir makes p a directory, keeping what is in it.
func (r *Root) Mkdir(p tree.Path, mode tree.Mode, now time.Time) {
	c := Dir(p, mode)
	c.Node.MTime = now
	r.put(c, "")
}

// Symlink makes p a link.
func (r *Root) Symlink(p tree.Path, target string, now time.Time) {
	c := Symlink(p, target)
	c.Node.MTime = now
	r.put(c, "")
}

// Link makes p another name of the file at target, which must be there.
func (r *Root) Link(p, target tree.Path) error {
	content, isFile := r.contents[target]
	if err := r.tree.Link(p, target); err != nil {
		return err
	}
	r.sweep()
	if isFile {
		r.contents[p] = content
	}
	return nil
}

// Remove deletes p and everything below it.
func (r *Root) Remove(p tree.Path) {
	r.tree.Remove(p)
	r.sweep()
}

func (r *Root) put(c layer.Change, content string) {
	r.tree.Put(c.Path, c.Node)
	r.sweep()
	if c.Node.Type == tree.File {
		r.contents[c.Path] = content
	}
}

// sweep forgets the contents of files that are gone.
func (r *Root) sweep() {
	for p := range r.contents {
		if n, ok := r.tree.Lookup(p); !ok || n.Type != tree.File {
			delete(r.contents, p)
		}
	}
}

// New implements [sandbox.Driver].
func (f *Fake) New(context.Context, string) (sandbox.Sandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Max > 0 && f.open >= f.Max {
		return nil, fmt.Errorf("open a sandbox: %d are open", f.open)
	}
	f.open++
	b := &fakeBox{f: f, root: Root{contents: map[tree.Path]string{}}}
	b.root.Mkdir(tree.Root, 0o755, time.Unix(0, 0))
	return b, nil
}

// Limit implements [sandbox.Driver].
func (f *Fake) Limit() int { return f.Max }

// Check implements [sandbox.Driver]: it needs nothing of a machine.
func (f *Fake) Check(sandbox.Needs) error { return nil }

// Close implements [sandbox.Driver].
func (f *Fake) Close() error { return nil }

type fakeBox struct {
	f      *Fake
	root   Root
	state  sandbox.State
	closed bool
}

var errFakeClosed = errors.New("the sandbox is closed")

func (b *fakeBox) Apply(ctx context.Context, layers ...sandbox.Layer) error {
	if b.closed {
		return errFakeClosed
	}
	for _, l := range layers {
		b.state.NewLayer()
		for c, err := range l.Changes(ctx) {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			if err := b.apply(c); err != nil {
				return err
			}
		}
		// The root is now what the state says.
		t, err := tree.Copy(b.state.Tree())
		if err != nil {
			return err
		}
		b.root.tree = *t
		b.root.sweep()
	}
	return nil
}

func (b *fakeBox) apply(c layer.Change) error {
	if c.Kind == layer.Put && c.Node.Type == tree.File && c.Hard == "" {
		var content string
		if c.Node.Size > 0 {
			s, err := readAll(c.Open)
			if err != nil {
				return err
			}
			content = s
		}
		h := tree.NewFingerprint()
		io.WriteString(h, content)
		c.Node.Fingerprint = h.Sum64()
		b.root.contents[c.Path] = content
	}
	content, linked := b.root.contents[c.Hard]
	if err := b.state.Applied(c); err != nil {
		return err
	}
	if c.Hard != "" && linked {
		b.root.contents[c.Path] = content
	}
	return nil
}

func (b *fakeBox) Run(ctx context.Context, p sandbox.Process) error {
	switch {
	case b.closed:
		return errFakeClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case b.f.Command == nil:
		return nil
	}
	return b.f.Command(ctx, &b.root, p)
}

func (b *fakeBox) Commit(_ context.Context, _ string) layer.Changes {
	if b.closed {
		return layer.Fail(errFakeClosed)
	}
	o := sandbox.Observation{Open: b.read}
	inodes := map[tree.Path]uint64{}
	for e, err := range b.root.tree.Walk(tree.Root) {
		if err != nil {
			return layer.Fail(err)
		}
		seen := sandbox.Observed{Path: e.Path, Node: e.Node}
		if len(b.root.tree.Links(e.Path)) > 1 {
			first := e.Path
			if e.Hard != "" {
				first = e.Hard
			} else {
				inodes[first] = uint64(len(inodes) + 1)
			}
			seen.Inode = sandbox.Inode{Dev: 1, Ino: inodes[first]}
		}
		o.Seen = append(o.Seen, seen)
	}
	for e, err := range b.state.Walk(tree.Root) {
		if err != nil {
			return layer.Fail(err)
		}
		if _, ok := b.root.tree.Lookup(e.Path); !ok {
			o.Gone = append(o.Gone, e.Path)
		}
	}
	return b.state.Capture(o)
}

func (b *fakeBox) read(p tree.Path) (io.ReadCloser, error) {
	s, err := b.root.ReadFile(p)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader([]byte(s))), nil
}

func (b *fakeBox) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return b.state.Walk(from) }

func (b *fakeBox) Open(p tree.Path) (io.ReadCloser, error) {
	if b.closed {
		return nil, errFakeClosed
	}
	return b.read(p)
}

func (b *fakeBox) Close() error {
	if !b.closed {
		b.closed = true
		b.f.mu.Lock()
		defer b.f.mu.Unlock()
		b.f.open--
	}
	return nil
}

var _ sandbox.Driver = (*Fake)(nil)
