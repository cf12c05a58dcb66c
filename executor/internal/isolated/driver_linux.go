package isolated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

const (
	dirPrefix    = "kaniko-sandbox-" // of the directory of one driver
	lockName     = "lock"            // in it; locked while the driver lives
	scaffoldName = "0"
)

// driver implements [sandbox.Driver].
type driver struct {
	grant *Grant
	lock  *os.File
	store *store
}

// New makes the driver. It must be called inside what g grants (see [Enter]), and
// it removes what a driver that was killed has left in the same directory.
func New(ctx context.Context, g *Grant) (sandbox.Driver, error) {
	d, err := newDriver(ctx, g)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox store in %s: %w", g.Dir, err)
	}
	return d, nil
}

func newDriver(ctx context.Context, g *Grant) (_ *driver, err error) {
	if err := sweep(g.Dir); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(g.Dir, dirPrefix)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, disk.Remove(dir))
		}
	}()
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := makeScaffold(ctx, filepath.Join(dir, scaffoldName)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &driver{
		grant: g,
		lock:  lock,
		store: &store{
			grant: g,
			dir:   dir,
			slots: make(chan struct{}, max(2, runtime.NumCPU())),
			byKey: map[string]*entry{},
		},
	}, nil
}

// sweep removes the directories of drivers that are no more.
func sweep(base string) error {
	names, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !n.IsDir() || !strings.HasPrefix(n.Name(), dirPrefix) {
			continue
		}
		dir := filepath.Join(base, n.Name())
		// In a directory that all may write to, others' are not ours to touch.
		st, err := os.Lstat(dir)
		if err != nil {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != os.Geteuid() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue // being made, or being removed
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = disk.Remove(dir)
		}
		lock.Close()
		if err != nil {
			return fmt.Errorf("remove what an earlier build left: %w", err)
		}
	}
	return nil
}

// New implements [sandbox.Driver].
func (d *driver) New(ctx context.Context, name string) (sandbox.Sandbox, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return &box{driver: d, name: name}, nil
}

// Limit implements [sandbox.Driver]: there may be any number of sandboxes.
func (d *driver) Limit() int { return 0 }

// Close implements [sandbox.Driver]. No sandbox may be used after it.
func (d *driver) Close() error {
	if d.lock == nil {
		return nil
	}
	d.store.close()
	err := errors.Join(disk.Remove(d.store.dir), d.lock.Close())
	d.lock = nil
	return err
}
