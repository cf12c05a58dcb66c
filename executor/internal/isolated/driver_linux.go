package isolated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

const (
	// dirPrefix is of the directory of one driver. It begins as the directories of builds
	// do, so that a build which opens no sandbox removes what a killed one left, too.
	dirPrefix    = "kaniko-build-sandbox-"
	scaffoldName = "0"
	emptyName    = "empty"
)

// driver implements [sandbox.Driver].
type driver struct {
	grant *Grant
	dir   *disk.Temp // nil once it is closed
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

func newDriver(ctx context.Context, g *Grant) (*driver, error) {
	dir, err := disk.MakeTemp(g.Dir, dirPrefix)
	if err != nil {
		return nil, err
	}
	err = makeScaffold(ctx, filepath.Join(dir.Path, scaffoldName))
	if err == nil {
		err = os.Mkdir(filepath.Join(dir.Path, emptyName), 0o755)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &driver{
		grant: g,
		dir:   dir,
		store: &store{
			grant: g,
			dir:   dir.Path,
			slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
			byKey: map[string]*entry{},
		},
	}, nil
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

// Check implements [sandbox.Driver]: what it can not do, [Probe] has found out.
func (d *driver) Check(n sandbox.Needs) error {
	if n.Offline && d.grant.NoNetwork != "" {
		return &NoNetworkError{d.grant.NoNetwork}
	}
	return nil
}

// Close implements [sandbox.Driver]. No sandbox may be used after it.
func (d *driver) Close() error {
	if d.dir == nil {
		return nil
	}
	d.store.close()
	err := d.dir.Close()
	d.dir = nil
	return err
}
