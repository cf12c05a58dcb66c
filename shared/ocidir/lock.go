package ocidir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"time"
)

// poll is how long a lock that another has is left alone before it is tried again. A
// lock has no way to wait that also ends with a context.
const poll = 50 * time.Millisecond

const (
	sweepLock = "sweep" // shared by writers, exclusive for who sweeps
	indexLock = "index" // exclusive for who writes index.json
)

// errLocked says that another has the lock.
var errLocked = errors.New("locked")

// Hold keeps a [Dir.Sweep] from starting until release is called. Who writes several
// blobs and a ref holds from before the first [Dir.Keep] or [Dir.Put] until after the
// ref is made. Where a file system has no locks, only a sweep's grace protects.
func (d *Dir) Hold(ctx context.Context) (release func(), err error) {
	return d.lock(ctx, sweepLock, false)
}

func (d *Dir) lock(ctx context.Context, name string, exclusive bool) (release func(), err error) {
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	if err := d.root.MkdirAll(lockDir, 0o777); err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	f, err := d.root.OpenFile(path.Join(lockDir, name), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	for {
		err := flock(f, exclusive)
		if err == nil || !errors.Is(err, errLocked) {
			return func() { f.Close() }, nil // where there are no locks, without
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for the lock of %s: %w", d.path, context.Cause(ctx))
		case <-time.After(poll):
		}
	}
}
