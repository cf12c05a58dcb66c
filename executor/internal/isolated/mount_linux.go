package isolated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// mounter makes ready what one command's mounts show.
type mounter struct {
	driver *driver
	// name is that of a directory in the store, and path its path, which goes with
	// the command.
	name, path string
	n          int // how much was made in it
	closers    []func() error
}

// close ends what serves the mounts.
func (m *mounter) close() {
	for _, c := range m.closers {
		_ = c() // the command has ended, and its directory goes in any case
	}
}

// own is the name, in the store, of something new in the mounter's directory.
func (m *mounter) own() string {
	m.n++
	return fmt.Sprintf("%s/m%d", m.name, m.n)
}

func (m *mounter) inStore(name string) string { return filepath.Join(m.driver.store.dir, name) }

// mount is what init is to mount.
func (m *mounter) mount(ctx context.Context, want sandbox.Mount) (reaper.Mount, error) {
	if want.Target == tree.Root {
		return reaper.Mount{}, errors.New("nothing can be mounted in place of the whole root")
	}
	// No device node can be opened in a sandbox, and only a program of an image has
	// the rights of its owner.
	const plain = unix.MS_NOSUID | unix.MS_NODEV
	out := reaper.Mount{Type: "bind", Target: want.Target.Abs(), Flags: plain}
	if want.ReadOnly {
		out.Flags |= unix.MS_RDONLY
	}
	var err error
	switch {
	case want.Files != nil:
		err = m.bind(ctx, want, &out)
	case want.Dir != nil:
		out.Source = want.Dir.Path
		out.Flags |= unix.MS_REC
	case want.Tmpfs != nil:
		out.Type, out.Alike = "tmpfs", true
		if want.Tmpfs.Size > 0 {
			out.Data = []string{fmt.Sprintf("size=%d", want.Tmpfs.Size)}
		}
	case want.File != nil:
		out.Type, out.Secret = "file", want.File
		out.Flags |= unix.MS_NOEXEC | unix.MS_RDONLY
	case want.Socket != nil:
		out.Flags |= unix.MS_NOEXEC
		out.Source, err = m.listen(ctx, want)
	default:
		err = errors.New("it is not said what")
	}
	return out, err
}

// listen serves a socket until the command has ended, and gives its path.
func (m *mounter) listen(ctx context.Context, want sandbox.Mount) (string, error) {
	path := m.inStore(m.own())
	stop, err := mountsource.Listen(ctx, path, want.Socket)
	if err == nil {
		m.closers = append(m.closers, stop)
		return path, nil
	}
	if g := m.driver.grant; g.Method.User && errors.Is(err, unix.EINVAL) {
		return "", &IDError{UID: want.Socket.UID, GID: want.Socket.GID, Path: want.Target, IDs: g.IDs, Err: err}
	}
	return "", err
}

// bind makes out show a part of a file system.
func (m *mounter) bind(ctx context.Context, want sandbox.Mount, out *reaper.Mount) error {
	s, err := m.show(ctx, want.Files)
	if err != nil {
		return err
	}
	out.Source = s.path
	if s.ofImage {
		out.Flags &^= unix.MS_NOSUID
	}
	if want.ReadOnly && s.dir != "" {
		out.In = s.dir
		out.Flags |= unix.MS_REC
		return nil
	}
	out.Overlay = &reaper.Overlay{Dir: m.driver.store.dir, Lower: s.lowers, Options: m.driver.grant.Options, Flags: unix.MS_NODEV}
	if !want.ReadOnly {
		out.Overlay.Upper, out.Overlay.Work, err = m.upper(ctx, s.root)
	}
	return err
}

// shown is how a part of a file system can be had without the file system.
type shown struct {
	// lowers, topmost first, make together the file system, or at least that part.
	lowers []string
	dir    string // absolute; holds the same, if it can be had without an overlay
	path   string // of the part, in both
	root   tree.Node
	// ofImage says that set-id programs in it may be as good as those in a root.
	ofImage bool
}

// show finds the part of b.FS in another sandbox's layers, or in a directory of
// this machine; what is in neither is copied.
func (m *mounter) show(ctx context.Context, b *sandbox.Bind) (shown, error) {
	from, err := tree.Resolve(b.FS, b.From)
	if err != nil {
		return shown{}, fmt.Errorf("find %s: %w", b.From.Abs(), err)
	}
	e, err := tree.Stat(b.FS, from)
	if err != nil {
		return shown{}, fmt.Errorf("find %s: %w", b.From.Abs(), err)
	}
	if !e.Node.IsDir() && e.Node.Type != tree.File {
		return shown{}, fmt.Errorf("%s is neither a file nor a directory", b.From.Abs())
	}
	root, err := tree.Stat(b.FS, tree.Root)
	if err != nil {
		return shown{}, err
	}
	if stack, ok := m.driver.stack(b.FS); ok {
		// A single directory would be no overlay.
		return shown{lowers: append(names(stack), emptyName), path: string(from), root: root.Node, ofImage: true}, nil
	}
	if dir, ok, err := m.driver.plain(b.FS); ok || err != nil {
		return shown{lowers: []string{dir}, dir: dir, path: string(from), root: root.Node}, err
	}
	name, source, err := m.copy(ctx, b)
	return shown{lowers: []string{name}, dir: m.inStore(name), path: source, root: scaffolding(), ofImage: true}, err
}

// scaffolding is a directory that is in no image.
func scaffolding() tree.Node { return tree.Node{Type: tree.Dir, Mode: 0o755, MTime: time.Unix(0, 0)} }

// stack is that of a sandbox of this driver.
func (d *driver) stack(fsys tree.FS) ([]*lower, bool) {
	for {
		switch f := fsys.(type) {
		case *box:
			return f.stack, f.driver == d
		case interface{ Unwrap() sandbox.Sandbox }:
			fsys = f.Unwrap()
		default:
			return nil, false
		}
	}
}

// plain is the directory of this machine that fsys is.
func (d *driver) plain(fsys tree.FS) (dir string, ok bool, err error) {
	p, isPlain := fsys.(disk.Plain)
	if !isPlain {
		return "", false, nil
	}
	if dir, ok = p.Plain(); !ok {
		return "", false, nil
	}
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", false, err
	}
	if strings.HasPrefix(d.dir.Path+"/", strings.TrimSuffix(dir, "/")+"/") {
		return "", false, &insideError{dir, d.dir.Path}
	}
	return dir, true, nil
}

type insideError struct{ dir, store string }

func (e *insideError) Error() string {
	return fmt.Sprintf("%s cannot be shown to a command: the build keeps its layers in it, in %s", e.dir, e.store)
}

// ExitCode is that of a wrong configuration.
func (e *insideError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *insideError) Hint() string {
	return "name another directory with --kaniko-dir"
}

// copy makes a directory with what b shows, or finds one that is like it, and says
// what it is called there.
func (m *mounter) copy(ctx context.Context, b *sandbox.Bind) (name, source string, err error) {
	st := m.driver.store
	write := func(name string) (string, error) {
		path, err := mountsource.Materialize(ctx, b, m.inStore(name))
		if err != nil {
			return "", st.explain(err)
		}
		return filepath.Rel(m.inStore(name), path)
	}
	if b.Key == "" {
		name := m.own()
		if err := os.Mkdir(m.inStore(name), 0o755); err != nil {
			return "", "", err
		}
		source, err := write(name)
		return name, source, err
	}
	l, err := st.once(ctx, "bind\x00"+b.Key+"\x00"+string(b.From), func() (*lower, error) {
		name, _, err := st.directory()
		if err != nil {
			return nil, err
		}
		l := &lower{name: name}
		if l.copied, err = write(name); err != nil {
			return nil, errors.Join(err, l.remove(st))
		}
		return l, nil
	})
	if err != nil {
		return "", "", err
	}
	return l.name, l.copied, nil
}

// upper makes the directories for what a command writes onto a mount. The root of
// an overlay looks as its upper directory does: as root says.
func (m *mounter) upper(ctx context.Context, root tree.Node) (upper, work string, err error) {
	upper, work = m.own(), m.own()
	for _, name := range []string{upper, work} {
		if err := os.Mkdir(m.inStore(name), 0o755); err != nil {
			return "", "", err
		}
	}
	put := func() error {
		return disk.WriteAll(ctx, m.inStore(upper), disk.WriterOptions{Refused: func(disk.Refusal) error { return nil }},
			all([]layer.Change{{Kind: layer.Put, Node: root}}), nil)
	}
	err = put()
	var owner *disk.OwnerError
	if errors.As(err, &owner) {
		// On this machine it belongs to somebody who is nobody here.
		root.UID, root.GID = 0, 0
		err = put()
	}
	return upper, work, err
}
