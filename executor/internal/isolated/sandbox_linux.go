package isolated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxLowers is how many lower directories the kernel takes for one overlay.
const maxLowers = 500

// box implements [sandbox.Sandbox].
type box struct {
	driver *driver
	name   string
	state  sandbox.State
	stack  []*lower // topmost first
	own    []*lower // those that no other sandbox uses
	upper  *lower   // what commands changed since the last Apply or Commit; nil if none ran
	closed bool
}

// Walk implements [tree.FS].
func (b *box) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return b.state.Walk(from) }

// Open implements [tree.FS].
func (b *box) Open(p tree.Path) (io.ReadCloser, error) {
	e, err := tree.Stat(b.state.Tree(), p)
	if err != nil {
		return nil, err
	}
	if e.Node.Type != tree.File {
		return nil, fmt.Errorf("open %s: not a regular file", p.Abs())
	}
	return open(b.stack, p)
}

// Apply implements [sandbox.Sandbox]. Layers are written side by side and put on
// the root in order. What a command changed and nobody committed becomes part of
// what lies below.
func (b *box) Apply(ctx context.Context, layers ...sandbox.Layer) error {
	if b.upper != nil {
		for _, err := range b.Commit(ctx, "") {
			if err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st := b.driver.store
	lowers := make([]*lower, len(layers))
	var wg sync.WaitGroup
	// Started in order: an earlier layer's stream may have to move on before a
	// later one's can.
	started := make(chan struct{}, cap(st.slots))
	for i, l := range layers {
		started <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-started }()
			var err error
			if lowers[i], err = st.get(ctx, l); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	for i, l := range layers {
		if l.Key == "" && lowers[i] != nil {
			b.own = append(b.own, lowers[i])
		}
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("unpack a layer: %w", err)
	}
	for i, l := range layers {
		if err := b.push(ctx, l, lowers[i]); err != nil {
			return fmt.Errorf("unpack a layer: %w", err)
		}
	}
	return nil
}

// push puts a layer that is on disk onto the root.
func (b *box) push(ctx context.Context, l sandbox.Layer, low *lower) error {
	st := b.driver.store
	if low.over != nil && !slices.Equal(low.over, b.names()) {
		var err error
		l.Key += "\x00unpacked"
		if low, err = st.get(ctx, l); err != nil {
			return err
		}
	}
	if len(low.changes) == 0 {
		return nil
	}
	bare := low.bare(b.state.Tree())
	if err := b.state.Apply(all(low.changes)); err != nil {
		return err
	}
	if low.clears() {
		// The kernel does not look for the mark on the root of a lower directory.
		b.stack = nil
	}
	top, err := st.fix(ctx, low, b.stack, bare, b.state.Tree())
	if err != nil {
		return err
	}
	if !top[0].shared && top[0] != low {
		b.own = append(b.own, top[0])
	}
	// The kernel takes no directory twice. What a layer that comes again says covers
	// what it said before.
	below := slices.DeleteFunc(slices.Clone(b.stack), func(l *lower) bool { return slices.Contains(top, l) })
	b.stack = append(slices.Clone(top), below...)
	return nil
}

// clears reports whether the layer hides everything below it.
func (l *lower) clears() bool {
	return slices.ContainsFunc(l.changes, func(c layer.Change) bool {
		return c.Kind == layer.Opaque && c.Path == tree.Root
	})
}

func all(cs []layer.Change) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for _, c := range cs {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (b *box) names() []string { return names(b.stack) }

// names are those of the directories in a stack, as an overlay takes them.
func names(stack []*lower) []string {
	names := make([]string, len(stack), len(stack)+1)
	for i, l := range stack {
		names[i] = l.name
	}
	return names
}

// Run implements [sandbox.Sandbox].
func (b *box) Run(ctx context.Context, p sandbox.Process) error {
	if b.closed {
		return errors.New("run a command: the sandbox is closed")
	}
	st, g := b.driver.store, b.driver.grant
	if err := b.driver.Check(sandbox.Needs{Offline: p.Offline}); err != nil {
		return err
	}
	if len(b.stack) >= maxLowers {
		return &tooManyLayersError{len(b.stack)}
	}
	if err := b.openUpper(ctx); err != nil {
		return fmt.Errorf("make a sandbox: %w", err)
	}
	work, workPath, err := st.directory()
	if err != nil {
		return fmt.Errorf("make a sandbox: %w", err)
	}
	defer disk.Remove(workPath)
	name, around, err := st.directory()
	if err != nil {
		return fmt.Errorf("make a sandbox: %w", err)
	}
	defer disk.Remove(around)
	at, etc := filepath.Join(around, "root"), filepath.Join(around, "etc")
	if err := os.Mkdir(at, 0o755); err != nil {
		return fmt.Errorf("make a sandbox: %w", err)
	}
	if err := makeEtc(etc); err != nil {
		return fmt.Errorf("make a sandbox: %w", err)
	}
	root := g.root(at, reaper.Overlay{
		Dir:     st.dir,
		Lower:   append(b.names(), scaffoldName),
		Upper:   b.upper.name,
		Work:    work,
		Options: g.Options,
	}, etc, p.Offline)
	ms := mounter{driver: b.driver, name: name, path: around}
	defer ms.close()
	for _, m := range p.Mounts {
		made, err := ms.mount(ctx, m)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target.Abs(), err)
		}
		root.Last = append(root.Last, made)
	}
	spec := reaper.Spec{Process: p, Root: root, Namespaces: g.Namespaces, Capabilities: capabilities()}
	if p.Offline {
		spec.Namespaces |= unix.CLONE_NEWNET
	}
	return reaper.Run(ctx, spec)
}

// openUpper makes the directory for what a command changes, if there is none yet.
// It is what a command sees the root directory's mode and owner of.
func (b *box) openUpper(ctx context.Context) error {
	if b.upper != nil {
		return nil
	}
	st := b.driver.store
	name, path, err := st.directory()
	if err != nil {
		return err
	}
	up := &lower{name: name}
	root, _ := b.state.Tree().Lookup(tree.Root)
	if root.MTime.IsZero() {
		root.MTime = time.Unix(0, 0)
	}
	up.dir, err = disk.Open(path, disk.Options{Xattrs: true, Overlay: b.driver.grant.overlayPrefix()})
	if err == nil {
		err = disk.WriteAll(ctx, path, disk.WriterOptions{Refused: func(disk.Refusal) error { return nil }},
			all([]layer.Change{{Kind: layer.Put, Node: root}}), nil)
	}
	if err != nil {
		return errors.Join(st.explain(err), up.remove(st))
	}
	b.upper = up
	return nil
}

type tooManyLayersError struct{ n int }

func (e *tooManyLayersError) Error() string {
	return fmt.Sprintf("run a command: its root has %d layers, and the kernel takes fewer than %d", e.n, maxLowers)
}

// ExitCode is that of what this machine does not allow.
func (e *tooManyLayersError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *tooManyLayersError) Hint() string {
	return "join RUN instructions, or use --single-snapshot; if the base image has so many, build with --isolation=in-place"
}

// Commit implements [sandbox.Sandbox]. What the commands changed becomes a layer
// below the next command.
func (b *box) Commit(ctx context.Context, key string) layer.Changes {
	up := b.upper
	if up == nil {
		return layer.None
	}
	o := sandbox.Observation{Open: up.dir.Open}
	for s, err := range up.dir.Stats(tree.Root) {
		if err == nil {
			err = context.Cause(ctx)
		}
		switch {
		case err != nil:
			return layer.Fail(fmt.Errorf("see what a command changed: %w", err))
		case s.Whiteout:
			o.Gone = append(o.Gone, s.Path)
		default:
			seen := sandbox.Observed{Path: s.Path, Node: s.Node, Opaque: s.Opaque}
			if s.Links > 1 && !s.Node.IsDir() {
				seen.Inode = sandbox.Inode(s.Inode)
			}
			o.Seen = append(o.Seen, seen)
		}
	}
	return func(yield func(layer.Change, error) bool) {
		listening := true
		for c, err := range b.state.Capture(o) {
			listening = listening && yield(c, err)
			if err != nil {
				return
			}
			c.Open = nil
			up.changes = append(up.changes, c)
		}
		b.upper = nil
		if len(up.changes) == 0 {
			// What is left there is as it was.
			if err := up.remove(b.driver.store); err != nil && listening {
				yield(layer.Change{}, err)
			}
			return
		}
		// Contents were known only once they had been read.
		for i, c := range up.changes {
			if n, ok := b.state.Tree().Lookup(c.Path); ok && c.Kind == layer.Put {
				up.changes[i].Node.Fingerprint = n.Fingerprint
			}
		}
		up.over = b.names()
		b.stack = append([]*lower{up}, b.stack...)
		if !b.driver.store.keep(key, up) {
			b.own = append(b.own, up)
		}
	}
}

// Close implements [sandbox.Sandbox]. What other sandboxes may use stays until
// the driver is closed.
func (b *box) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.upper != nil {
		b.own = append(b.own, b.upper)
	}
	var errs []error
	for _, l := range b.own {
		errs = append(errs, l.remove(b.driver.store))
	}
	b.own, b.upper, b.stack = nil, nil, nil
	return errors.Join(errs...)
}
