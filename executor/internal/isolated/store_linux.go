package isolated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// store keeps layers, each in a lower directory of its own, for all sandboxes of
// a driver.
type store struct {
	grant *Grant
	dir   string
	slots chan struct{} // bounds the layers written at the same time

	mu    sync.Mutex
	next  int
	byKey map[string]*entry
}

// entry is a layer with a key, perhaps still being written.
type entry struct {
	done  chan struct{} // closed when lower and err are set
	lower *lower
	err   error
}

// lower is a layer on disk.
type lower struct {
	name    string // of its directory in the store
	dir     *disk.Dir
	changes []layer.Change // without contents, in the order of the stream
	implied []tree.Path    // directories that only lead to something
	links   []layer.Change // hard links to files of other layers, not in the directory
	// shared says that the store keeps it for any sandbox; otherwise it goes with
	// the one that made it.
	shared bool
	// over are the names of the directories that a commit was made on, topmost
	// first; nil for a layer that was unpacked. What a command left in passing,
	// such as a directory that is as it was, is right on top of these only.
	over []string
	// copied is, in a copy for binds, what they show.
	copied string

	mu    sync.Mutex
	fixed []tree.Node // what implied was given, in its order; nil before
}

// directory makes a new directory in the store. Its name is short, because an
// overlay's mount options are bounded.
func (s *store) directory() (name, path string, err error) {
	s.mu.Lock()
	s.next++
	name = strconv.FormatInt(int64(s.next), 36)
	s.mu.Unlock()
	path = filepath.Join(s.dir, name)
	return name, path, os.Mkdir(path, 0o755)
}

// get is the layer l, written now or before.
func (s *store) get(ctx context.Context, l sandbox.Layer) (*lower, error) {
	if l.Key == "" {
		return s.write(ctx, l)
	}
	return s.once(ctx, "layer\x00"+l.Key, func() (*lower, error) { return s.write(ctx, l) })
}

// once is what make makes, for all who ask with the same key.
func (s *store) once(ctx context.Context, key string, make1 func() (*lower, error)) (*lower, error) {
	for {
		s.mu.Lock()
		e, ok := s.byKey[key]
		if !ok {
			e = &entry{done: make(chan struct{})}
			s.byKey[key] = e
		}
		s.mu.Unlock()
		if ok {
			select {
			case <-e.done:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if e.err == nil {
				return e.lower, nil
			}
			// The other one's failure may be its own: its stage was cancelled, say.
			// Its entry is gone, so this is a try with a stream of one's own.
			continue
		}
		e.lower, e.err = make1()
		if e.err == nil {
			e.lower.shared = true
		} else {
			s.mu.Lock()
			delete(s.byKey, key)
			s.mu.Unlock()
		}
		close(e.done)
		return e.lower, e.err
	}
}

// keep makes a committed layer known by its key, unless there is one already.
func (s *store) keep(key string, l *lower) (kept bool) {
	if key == "" {
		return false
	}
	key = "layer\x00" + key
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byKey[key]; ok {
		return false
	}
	l.shared = true
	e := &entry{done: make(chan struct{}), lower: l}
	close(e.done)
	s.byKey[key] = e
	return true
}

// close closes the layers' directories.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.byKey {
		select {
		case <-e.done:
			if e.lower != nil && e.lower.dir != nil {
				e.lower.dir.Close()
			}
		default: // a sandbox is still being made: its caller broke the rules
		}
	}
	s.byKey = nil
}

// write unpacks a layer into a directory of its own.
func (s *store) write(ctx context.Context, l sandbox.Layer) (_ *lower, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	name, path, err := s.directory()
	if err != nil {
		return nil, err
	}
	out := &lower{name: name}
	defer func() {
		if err != nil {
			err = errors.Join(s.explain(err), out.remove(s))
		}
	}()
	if out.dir, err = disk.Open(path, disk.Options{}); err != nil {
		return nil, err
	}
	var ghosts []tree.Path
	w, err := disk.NewWriter(path, disk.WriterOptions{
		Whiteouts: s.grant.whiteouts(),
		// What cannot be made here is in the image all the same.
		Refused: func(r disk.Refusal) error {
			if r.Gone {
				ghosts = append(ghosts, r.Path)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for c, err := range l.Changes(ctx) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		foreign := c.Kind == layer.Put && c.Hard != "" && !out.has(c.Hard)
		if foreign {
			out.links = append(out.links, c)
		} else if c.Node, err = w.Put(c); err != nil {
			return nil, err
		}
		c.Open = nil
		out.changes = append(out.changes, c)
	}
	out.implied = w.Implied()
	if err := w.Close(); err != nil {
		return nil, err
	}
	// A file of a lower layer must not show where a device could not be made.
	return out, disk.WriteAll(ctx, path, disk.WriterOptions{Whiteouts: s.grant.whiteouts()}, func(yield func(layer.Change, error) bool) {
		for _, p := range ghosts {
			if out.is(p) == 0 && !yield(layer.Change{Path: p, Kind: layer.Delete}, nil) {
				return
			}
		}
	}, nil)
}

// is the type of what the directory itself has at p; 0 if there is nothing.
func (l *lower) is(p tree.Path) tree.Type {
	e, err := tree.Stat(l.dir, p)
	if err != nil {
		return 0
	}
	return e.Node.Type
}

func (l *lower) has(p tree.Path) bool {
	t := l.is(p)
	return t != 0 && t != tree.Dir
}

// remove deletes the layer's directory.
func (l *lower) remove(s *store) error {
	var err error
	if l.dir != nil {
		err = l.dir.Close()
		l.dir = nil
	}
	return errors.Join(err, disk.Remove(filepath.Join(s.dir, l.name)))
}

// explain adds to an error what helps where there is a single user id.
func (s *store) explain(err error) error {
	var oe *disk.OwnerError
	if errors.As(err, &oe) && s.grant.Method.User {
		return &IDError{UID: oe.UID, GID: oe.GID, Path: oe.Path, IDs: s.grant.IDs, Err: err}
	}
	return err
}

// IDError says that a file's owner does not exist in the build's user namespace.
type IDError struct {
	Path     tree.Path
	UID, GID int
	IDs      int64 // how many user ids there are
	Err      error
}

func (e *IDError) Error() string {
	return fmt.Sprintf("%v (this user namespace has %d user ids)", e.Err, e.IDs)
}

func (e *IDError) Unwrap() error { return e.Err }

// Hint says what helps.
func (e *IDError) Hint() string {
	if e.IDs == 1 {
		return "install newuidmap and newgidmap and give the user ranges of ids in /etc/subuid and /etc/subgid, or build as root"
	}
	return "widen the user's ranges of ids in /etc/subuid and /etc/subgid, or build as root"
}

// bare lists the directories of a layer in which whiteouts would be listed by
// name: those that no directory of a lower layer is merged with. The kernel
// takes whiteouts out only where it merges. before is the root without the layer.
func (l *lower) bare(before *tree.Tree) []tree.Path {
	if l.over != nil {
		return nil // the kernel itself wrote it
	}
	var parents []tree.Path
	opaque := map[tree.Path]bool{}
	for _, c := range l.changes {
		switch c.Kind {
		case layer.Opaque:
			opaque[c.Path] = true
		case layer.Delete:
			opaque[c.Path] = true // if the same layer has a directory there
			if n := len(parents); n == 0 || parents[n-1] != c.Path.Parent() {
				parents = append(parents, c.Path.Parent())
			}
		}
	}
	return slices.DeleteFunc(parents, func(p tree.Path) bool {
		if n, ok := before.Lookup(p); !ok || !n.IsDir() {
			return p == tree.Root
		}
		for ; p != tree.Root; p = p.Parent() {
			if opaque[p] {
				return false
			}
		}
		return true
	})
}

// fix brings a layer's directory in line with what is below it in one sandbox:
// directories that only lead to something look as lower layers have them, hard
// links to files of other layers get the content, and whiteouts in bare
// directories are not seen. after is the sandbox's root with the layer. It gives
// the directories to mount, topmost first: l, and perhaps one on top of it.
func (s *store) fix(ctx context.Context, l *lower, below []*lower, bare []tree.Path, after *tree.Tree) ([]*lower, error) {
	nodes := make([]tree.Node, len(l.implied))
	empty := false
	for i, p := range l.implied {
		n, ok := after.Lookup(p)
		if !ok || !n.IsDir() {
			empty = true // it holds whiteouts of what is not there
		}
		nodes[i] = n
	}
	stack := []*lower{l}
	own := len(l.links) > 0 || len(bare) > 0 || empty
	if !own {
		done, err := l.dress(ctx, s, nodes)
		if err != nil {
			return nil, err
		}
		own = !done
	}
	if !own {
		return stack, nil
	}
	write := func() (*lower, error) { return s.writeFix(ctx, l, below, bare, after) }
	var f *lower
	var err error
	if l.shared && !slices.ContainsFunc(below, func(l *lower) bool { return !l.shared }) {
		key := "fix\x00" + l.name
		for _, b := range below {
			key += "\x00" + b.name
		}
		f, err = s.once(ctx, key, write)
	} else {
		f, err = write()
	}
	if err != nil {
		return nil, err
	}
	return append([]*lower{f}, stack...), nil
}

func (s *store) writeFix(ctx context.Context, l *lower, below []*lower, bare []tree.Path, after *tree.Tree) (*lower, error) {
	name, path, err := s.directory()
	if err != nil {
		return nil, err
	}
	f := &lower{name: name}
	if f.dir, err = disk.Open(path, disk.Options{}); err == nil {
		err = disk.WriteAll(ctx, path, disk.WriterOptions{
			Whiteouts: s.grant.whiteouts(),
			Refused:   func(disk.Refusal) error { return nil },
		}, fixes(l, below, bare, after), nil)
	}
	if err != nil {
		return nil, errors.Join(s.explain(err), f.remove(s))
	}
	return f, nil
}

// dress gives the layer's implied directories their nodes in place. It can do so
// for the first sandbox only: the others see the same directory, and are done if
// they want the same.
func (l *lower) dress(ctx context.Context, s *store, nodes []tree.Node) (done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil || len(nodes) == 0 {
		return true, nil
	}
	if l.fixed != nil {
		return slices.EqualFunc(l.fixed, nodes, tree.Node.SameMetadata), nil
	}
	err = disk.WriteAll(ctx, filepath.Join(s.dir, l.name), disk.WriterOptions{
		Whiteouts: s.grant.whiteouts(),
		Refused:   func(disk.Refusal) error { return nil },
	}, func(yield func(layer.Change, error) bool) {
		for i, p := range l.implied {
			if !yield(layer.Change{Path: p, Kind: layer.Put, Node: nodes[i]}, nil) {
				return
			}
		}
	}, nil)
	if err != nil {
		return false, s.explain(err)
	}
	l.fixed = nodes
	return true, nil
}

// fixes are the changes of a directory that goes on top of l.
func fixes(l *lower, below []*lower, bare []tree.Path, after *tree.Tree) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		at := map[tree.Path]layer.Change{}
		// Whatever is put must not change the looks of what leads there.
		lead := func(p tree.Path) {
			for p != tree.Root {
				p = p.Parent()
				if n, ok := after.Lookup(p); ok && n.IsDir() && p != tree.Root {
					at[p] = layer.Change{Path: p, Kind: layer.Put, Node: n}
				}
			}
		}
		// restore puts a file that is below once more, by all its names.
		restore := func(p, from tree.Path) {
			n, _ := after.Lookup(p)
			names := after.Links(p)
			if len(names) == 0 {
				names = []tree.Path{p}
			}
			slices.SortFunc(names, tree.Compare)
			for i, p := range names {
				put := layer.Change{Path: p, Kind: layer.Put, Node: n, Open: func() (io.ReadCloser, error) {
					return open(below, from)
				}}
				if i > 0 && n.Type == tree.File {
					put.Hard, put.Open = names[0], nil
				}
				at[p] = put
				lead(p)
			}
		}
		for _, p := range bare {
			if n, ok := after.Lookup(p); ok && n.IsDir() {
				at[p] = layer.Change{Path: p, Kind: layer.Put, Node: n}
				lead(p)
			}
		}
		for _, p := range l.implied {
			n, ok := after.Lookup(p)
			parent, _ := after.Lookup(p.Parent())
			switch {
			case ok && n.IsDir():
				at[p] = layer.Change{Path: p, Kind: layer.Put, Node: n}
				lead(p)
			case ok:
				restore(p, p)
			case parent.IsDir():
				at[p] = layer.Change{Path: p, Kind: layer.Delete}
				lead(p)
			}
		}
		source := map[tree.Path]tree.Path{} // what is below, of a link to a link
		for _, c := range l.links {
			from, ok := source[c.Hard]
			if !ok {
				from = c.Hard
			}
			source[c.Path] = from
			// Unless the same layer has replaced one of them since.
			if names := after.Links(c.Path); slices.Contains(names, c.Hard) || slices.Contains(names, from) {
				restore(c.Path, from)
			}
		}
		paths := make([]tree.Path, 0, len(at))
		for p := range at {
			paths = append(paths, p)
		}
		slices.SortFunc(paths, tree.Compare)
		for _, p := range paths {
			if !yield(at[p], nil) {
				return
			}
		}
	}
}

// open reads a file that is known to be there from the topmost directory that
// has a file by that name.
func open(stack []*lower, p tree.Path) (io.ReadCloser, error) {
	for _, l := range stack {
		if l.is(p) == tree.File {
			return l.dir.Open(p)
		}
	}
	return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
}
