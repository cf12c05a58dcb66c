package inplace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Driver has one root and hence one sandbox at a time. The root is left as it
// is between sandboxes: the next one may start from what it holds.
type Driver struct {
	o       Options
	dir     tree.Path
	protect *protection
	work    work
	quirks  quirks
	trash   trash
	root    *disk.Dir // reads what is in place
	shadow  *disk.Dir // reads what layers have at paths held; nil while there is none
	open    bool      // a sandbox is
	warned  map[string]bool
	notes   int // of mounts so far
	binds   map[bindKey]kept
	closed  sync.Once
	cerr    error

	// What the disk holds.
	valid  bool // the fields below are true
	past   past
	state  *sandbox.State
	ran    bool         // a command ran since stamps were taken
	stamps *disk.Stamps // nil if not known
	// touched are directories whose entries changed since stamps were taken.
	touched  map[tree.Path]bool
	watching watching
}

// New looks at the root and makes a driver of it. It changes nothing yet, but
// for the marker that it leaves in Options.Dir, and what a killed build left.
func New(ctx context.Context, o Options) (*Driver, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	d := &Driver{o: o, dir: tree.Clean(o.Dir), warned: map[string]bool{}, binds: map[bindKey]kept{}}
	if d.dir == tree.Root || !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("use %s for the executor's own files: it must be an absolute path other than /", o.Dir)
	}
	var err error
	if d.protect, err = protected(d.dir, o); err != nil {
		return nil, err
	}
	if d.root, err = disk.Open("/", disk.Options{Xattrs: true}); err != nil {
		return nil, err
	}
	if err := d.disposable(ctx); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if err := os.MkdirAll(d.path(""), 0o755); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if d.quirks, err = probe(d.path("")); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if d.watching.never = "not all changes of files are wanted"; o.Mode == Full {
		if d.watching.never, err = deaf(d.path(""), d.quirks); err != nil {
			return nil, errors.Join(err, d.root.Close())
		}
	}
	if err := unreadable(); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if d.work, err = newWork(o.Work); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	d.trash.dir = d.path("trash")
	if err := errors.Join(d.recover(), disk.Remove(d.path(bindsName))); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	return d, nil
}

// unreadable keeps this process's memory and environment, which hold secrets and
// credentials, from the commands that it runs: nobody without CAP_SYS_PTRACE, root or not,
// reads them or traces a process that is not dumpable (prctl(2)). gVisor does not look at
// it. It ends with exec, so that what this process starts is as any other.
func unreadable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep commands from reading this process: %w", err)
	}
	return nil
}

// path names something in the driver's own directory.
func (d *Driver) path(name string) string { return filepath.Join(d.dir.Abs(), name) }

// Limit implements [sandbox.Driver]: there is one root.
func (d *Driver) Limit() int { return 1 }

// Check implements [sandbox.Driver].
func (d *Driver) Check(n sandbox.Needs) error {
	if n.Offline {
		return &offlineError{}
	}
	return nil
}

// offlineError says that a command cannot be kept from the network.
type offlineError struct{}

func (e *offlineError) Error() string {
	return "run a command without network: in place it has the network of this container, and only namespaces could take that away"
}

// ExitCode is that of what this machine does not allow.
func (e *offlineError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *offlineError) Hint() string {
	return "leave --network=none out, or build where --isolation=namespaces works"
}

// New implements [sandbox.Driver]. The root is not touched before it is used.
func (d *Driver) New(_ context.Context, name string) (sandbox.Sandbox, error) {
	if d.open {
		return nil, fmt.Errorf("open a sandbox for %s: there is one root, and it is in use", name)
	}
	d.open = true
	return &box{d: d, fresh: true}, nil
}

// Close implements [sandbox.Driver].
func (d *Driver) Close() error {
	d.closed.Do(func() {
		var errs []error
		if d.o.Cleanup {
			errs = append(errs, d.empty())
		}
		errs = append(errs, d.unwatch(), d.trash.wait(), d.dropShadow(), disk.Remove(d.path(bindsName)), d.root.Close())
		d.cerr = errors.Join(errs...)
	})
	return d.cerr
}

// empty takes everything from the root that is not protected.
func (d *Driver) empty() error {
	d.valid, d.past, d.state, d.stamps, d.touched, d.ran = false, past{}, nil, nil, nil, false
	d.protect.blocked = nil
	if err := d.unwatch(); err != nil {
		return err
	}
	if err := d.dropShadow(); err != nil {
		return err
	}
	if err := d.protect.refresh(); err != nil {
		return err
	}
	// What could not be taken away after a command may hold a cache.
	if err := d.recover(); err != nil {
		return err
	}
	if err := d.trash.take(d.protect.kept); err != nil {
		return err
	}
	// What the runtime left is no part of any image: a root without layers is the
	// same everywhere.
	if err := unix.Chown("/", 0, 0); err != nil && os.Geteuid() == 0 {
		return fmt.Errorf("give / to root: %w", err)
	}
	if err := os.Chmod("/", 0o755); err != nil && os.Geteuid() == 0 {
		return err
	}
	d.valid, d.state, d.touched = true, &sandbox.State{}, map[tree.Path]bool{}
	d.past.held = d.protect.held()
	return nil
}

func (d *Driver) dropShadow() error {
	if d.shadow != nil {
		if err := d.shadow.Close(); err != nil {
			return err
		}
		d.shadow = nil
	}
	return disk.Remove(d.path("shadow"))
}

// scan is what all walks of the root look at.
func (d *Driver) scan() disk.Scan {
	s := disk.Scan{
		Held:    d.protect.held(),
		Workers: min(4, max(2, runtime.GOMAXPROCS(0))),
		Watch:   d.watching.watch,
	}
	switch d.o.Mode {
	case Redo:
		s.Fields = disk.Redo
	case Time:
		s.Fields = disk.TimeOnly
	default:
		s.Xattrs = d.quirks.silentXattr
	}
	return s
}

// warn says something once.
func (d *Driver) warn(what, text string) {
	if d.o.Warn != nil && !d.warned[what] {
		d.warned[what] = true
		d.o.Warn(text)
	}
}

// begin makes the disk hold nothing but a beginning of the layers, the longest that is
// cheap, and gives back the rest.
func (d *Driver) begin(ctx context.Context, layers []sandbox.Layer) ([]sandbox.Layer, error) {
	// What a command did and nobody committed has no key.
	if to, same := d.past.match(layers); d.valid && !d.ran && !d.past.mixed && to == len(d.past.levels) {
		return layers[same:], nil
	}
	if rest, ok, err := d.goBack(ctx, layers); ok || err != nil {
		return rest, err
	}
	if err := d.empty(); err != nil {
		return nil, fmt.Errorf("empty the root: %w", err)
	}
	return layers, nil
}

var _ sandbox.Driver = (*Driver)(nil)
