package inplace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// box is the driver's one sandbox. What the disk holds is the driver's to know,
// since the next box may start from it.
type box struct {
	d      *Driver
	fresh  bool // nothing was asked of it yet: it is empty, whatever the disk holds
	closed bool
}

var _ sandbox.Sandbox = (*box)(nil)

var errClosed = errors.New("the sandbox is closed")

// claim makes the disk hold what the box is said to hold: nothing, at first.
func (b *box) claim(ctx context.Context, layers []sandbox.Layer) (rest []sandbox.Layer, err error) {
	switch {
	case b.closed:
		return nil, errClosed
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case b.fresh:
		if layers, err = b.d.begin(ctx, layers); err != nil {
			return nil, err
		}
	}
	b.fresh = false
	if !b.d.valid {
		return nil, errors.New("the root is in no known state, since writing to it failed before")
	}
	return layers, nil
}

// Apply implements [sandbox.Sandbox]. A first Apply whose layers begin with what
// the disk holds since an earlier sandbox, or can be brought back to, adds only the
// others.
func (b *box) Apply(ctx context.Context, layers ...sandbox.Layer) error {
	layers, err := b.claim(ctx, layers)
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := b.d.apply(ctx, l); err != nil {
			b.d.valid = false
			return err
		}
	}
	if b.d.ran {
		// What a command did and nobody committed is now part of what was.
		b.d.stamps, b.d.ran, b.d.past.mixed = nil, false, true
	}
	return nil
}

// Run implements [sandbox.Sandbox]. The command sees the root as it is, with the
// runtime's own mounts.
func (b *box) Run(ctx context.Context, p sandbox.Process) error {
	if _, err := b.claim(ctx, nil); err != nil {
		return err
	}
	d := b.d
	prepare := d.baseline
	if d.ran {
		prepare = d.settled // mounts of the command before may just have been taken away
	}
	if err := prepare(ctx); err != nil {
		return fmt.Errorf("look at the root before the command: %w", err)
	}
	d.ran = true
	run := func(ctx context.Context, p sandbox.Process) error {
		return reaper.Run(ctx, reaper.Spec{Process: p})
	}
	if len(p.Mounts) > 0 {
		run = d.runMounted
	}
	err := run(ctx, p)
	if gone := d.work.check(); gone != nil {
		d.valid = false
		return gone // whatever else was wrong
	}
	return err
}

// runMounted runs a command that finds mounts.
func (d *Driver) runMounted(ctx context.Context, p sandbox.Process) error {
	// The working directory is part of the root, also where a mount hides it.
	if err := os.MkdirAll(p.Dir.Abs(), 0o755); err != nil {
		return fmt.Errorf("make the working directory: %w", err)
	}
	if w := d.watching.watch; w != nil {
		w.Doubt("directories were mounted, where nothing is watched")
	}
	m := &mounts{d: d, user: p.User}
	err := m.put(ctx, p.Mounts)
	if err == nil {
		p.Mounts = nil
		err = reaper.Run(ctx, reaper.Spec{Process: p})
	}
	if undone := m.takeBack(ctx); undone != nil {
		d.valid = false
		err = errors.Join(err, undone)
	}
	return err
}

// Commit implements [sandbox.Sandbox].
func (b *box) Commit(ctx context.Context, key string) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		if _, err := b.claim(ctx, nil); err != nil {
			yield(layer.Change{}, err)
			return
		}
		if err := b.d.commit(ctx, key, yield); err != nil {
			b.d.valid = false
			yield(layer.Change{}, fmt.Errorf("capture changes: %w", err))
		}
	}
}

// Walk implements [tree.FS].
func (b *box) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	if b.closed {
		return func(yield func(tree.Entry, error) bool) { yield(tree.Entry{}, errClosed) }
	}
	if b.fresh || b.d.state == nil {
		return new(sandbox.State).Walk(from)
	}
	return b.d.state.Walk(from)
}

// Open implements [tree.FS].
func (b *box) Open(p tree.Path) (io.ReadCloser, error) {
	if b.closed {
		return nil, errClosed
	}
	if b.fresh || b.d.state == nil {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return b.d.read(p)
}

// Close implements [sandbox.Sandbox]. The root stays for who comes next.
func (b *box) Close() error {
	if !b.closed {
		b.closed, b.d.open = true, false
	}
	return nil
}

// read opens a file of the root, from where it really is.
func (d *Driver) read(p tree.Path) (io.ReadCloser, error) {
	if d.protect.covers(p) {
		if err := d.openShadow(); err != nil {
			return nil, err
		}
		return d.shadow.Open(p)
	}
	return d.root.Open(p)
}

// settled waits until the next change is sure to be seen.
func (d *Driver) settled(ctx context.Context) error {
	if d.o.Mode != Full || d.stamps == nil {
		return nil
	}
	return settle(ctx, d.stamps)
}

// settle waits until what happens next is sure to be told from what the stamps
// tell of: a kernel with a coarse clock gives two changes within its grain the
// same time.
func settle(ctx context.Context, s *disk.Stamps) error {
	wait := grain - time.Since(s.Newest())
	if wait <= 0 {
		return nil
	}
	// Not longer than that, should the file system's clock be ahead of ours.
	select {
	case <-time.After(min(wait, grain)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// commit yields what changed since the baseline.
func (d *Driver) commit(ctx context.Context, key string, yield func(layer.Change, error) bool) error {
	if !d.ran {
		d.past.add(level{key: key, empty: true, undo: d.newUndo()})
		return nil
	}
	diff, err := d.changes(ctx)
	if err != nil {
		return err
	}
	u := d.newUndo()
	u.observed(d, diff)
	o := sandbox.Observation{Gone: diff.Gone, Seen: make([]sandbox.Observed, len(diff.Changed)), Open: d.read}
	for i, s := range diff.Changed {
		o.Seen[i] = sandbox.Observed{Path: s.Path, Node: s.Node}
		if s.Links > 1 && !s.Node.IsDir() {
			o.Seen[i].Inode = sandbox.Inode(s.Inode)
		}
	}
	diff.Changed = nil
	d.stamps, d.ran = diff.Stamps, false
	drained, empty := true, true
	for c, err := range d.state.Capture(o) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		empty = false
		if !yield(c, nil) {
			drained = false
			break
		}
	}
	if !drained {
		key = "" // who stopped reading does not know what this key would stand for
		u.lose("its changes were not read to the end")
	}
	d.past.add(level{key: key, empty: empty, undo: u})
	d.past.counted(d.stamps)
	return nil
}
