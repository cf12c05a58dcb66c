package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// memory is a sandbox driver whose roots are maps. Its commands are "write PATH
// TEXT", "rm PATH", "cat PATH", "meet" (waits for another command that meets),
// "linger" and "fail STATUS".
type memory struct {
	limit                int
	mu                   sync.Mutex
	open                 int
	most                 int // sandboxes open at once
	applied              int // layers put on roots
	ran                  []string
	running, mostRunning int // commands
	reached              atomic.Int32
	met                  chan struct{}

	shares  bool // layers are read once for all roots, as the isolated driver does
	sharing sync.Mutex
	shared  map[string][]layer.Change // by key
}

func newMemory(limit int) *memory { return &memory{limit: limit, met: make(chan struct{})} }

func (m *memory) Limit() int { return m.limit }

func (m *memory) Check(sandbox.Needs) error { return nil }
func (m *memory) Close() error              { return nil }

func (m *memory) New(context.Context, string) (sandbox.Sandbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	m.most = max(m.most, m.open)
	if m.limit > 0 && m.open > m.limit {
		return nil, errors.New("too many sandboxes")
	}
	return &box{driver: m, content: map[tree.Path]string{}}, nil
}

type box struct {
	sandbox.State
	driver  *memory
	content map[tree.Path]string
	seen    []sandbox.Observed
	gone    []tree.Path
	closed  bool
}

func (b *box) Open(p tree.Path) (io.ReadCloser, error) {
	if b.closed {
		return nil, errors.New("read of a closed sandbox")
	}
	s, ok := b.content[p]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

// changes are a layer's, read now or before.
func (m *memory) changes(ctx context.Context, l sandbox.Layer) layer.Changes {
	if !m.shares || l.Key == "" {
		return l.Changes(ctx)
	}
	return func(yield func(layer.Change, error) bool) {
		m.sharing.Lock()
		defer m.sharing.Unlock()
		if _, ok := m.shared[l.Key]; !ok {
			all, err := recorded(l.Changes(ctx))
			if err != nil {
				yield(layer.Change{}, err)
				return
			}
			if m.shared == nil {
				m.shared = map[string][]layer.Change{}
			}
			m.shared[l.Key] = all
		}
		for _, c := range m.shared[l.Key] {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// recorded is all changes, with contents that can be read later.
func recorded(changes layer.Changes) ([]layer.Change, error) {
	var all []layer.Change
	for c, err := range changes {
		if err != nil {
			return nil, err
		}
		if c.Open != nil {
			r, err := c.Open()
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			c.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(text))), nil }
		}
		all = append(all, c)
	}
	return all, nil
}

func (b *box) Apply(ctx context.Context, layers ...sandbox.Layer) error {
	for _, l := range layers {
		b.driver.mu.Lock()
		b.driver.applied++
		b.driver.mu.Unlock()
		b.NewLayer()
		for c, err := range b.driver.changes(ctx, l) {
			if err != nil {
				return err
			}
			if c.Open != nil {
				r, err := c.Open()
				if err != nil {
					return err
				}
				text, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				b.content[c.Path] = string(text)
			} else if c.Hard != "" {
				b.content[c.Path] = b.content[c.Hard]
			}
			if err := b.Applied(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *box) Run(ctx context.Context, p sandbox.Process) error {
	b.driver.mu.Lock()
	b.driver.ran = append(b.driver.ran, strings.Join(p.Args, " "))
	b.driver.running++
	b.driver.mostRunning = max(b.driver.mostRunning, b.driver.running)
	b.driver.mu.Unlock()
	defer func() {
		b.driver.mu.Lock()
		b.driver.running--
		b.driver.mu.Unlock()
	}()
	args := append(p.Args, "", "")
	path := tree.Clean(args[1])
	switch args[0] {
	case "write":
		b.content[path] = args[2]
		n := tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(args[2])), MTime: time.Unix(1e9, 0)}
		b.seen = append(b.seen, sandbox.Observed{Path: path, Node: n})
	case "copy":
		text, to := b.content[path], tree.Clean(args[2])
		b.content[to] = text
		n := tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(text)), MTime: time.Unix(1e9, 0)}
		b.seen = append(b.seen, sandbox.Observed{Path: to, Node: n})
	case "rm":
		b.gone = append(b.gone, path)
	case "cat":
		text, ok := b.content[path]
		if n, known := b.Tree().Lookup(path); !ok || !known || n.Type != tree.File {
			return &sandbox.ExitError{Status: 1}
		}
		fmt.Fprint(p.Output, text)
	case "meet":
		if b.driver.reached.Add(1) == 2 {
			close(b.driver.met)
		}
		select {
		case <-b.driver.met:
		case <-ctx.Done():
			return ctx.Err()
		}
	case "linger": // so that others are likely to run meanwhile
		time.Sleep(5 * time.Millisecond)
	case "fail":
		return &sandbox.ExitError{Status: 3}
	default:
		return fmt.Errorf("unknown command %q", p.Args)
	}
	return nil
}

func (b *box) Commit(context.Context, string) layer.Changes {
	o := sandbox.Observation{Seen: b.seen, Gone: b.gone, Open: b.Open}
	b.seen, b.gone = nil, nil
	return b.Capture(o)
}

func (b *box) Close() error {
	b.driver.mu.Lock()
	defer b.driver.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.driver.open--
	}
	return nil
}

// shelf is a source of base images.
type shelf map[v1.Hash]v1.Image

func (s shelf) Image(_ context.Context, p *plan.Image) (v1.Image, error) {
	if img, ok := s[p.Digest]; ok {
		return img, nil
	}
	return nil, fmt.Errorf("no image %s", p.Ref)
}

// taker is an exporter that remembers.
type taker struct {
	mu     sync.Mutex
	layers []v1.Hash
	image  v1.Image
	fail   error // of Layer
}

func (t *taker) Layer(_ context.Context, l v1.Layer) error {
	if t.fail != nil {
		return t.fail
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	h, err := l.Digest()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.layers = append(t.layers, h)
	return err
}

func (t *taker) Image(_ context.Context, img v1.Image) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.image = img
	return nil
}

// sorted is commands in an order that does not depend on what ran first.
func sorted(commands []string) string {
	return strings.Join(slices.Sorted(slices.Values(commands)), "; ")
}
