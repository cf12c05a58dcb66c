package inplace

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// quirks are where a kernel departs from Linux.
type quirks struct {
	// silentXattr: setting an attribute leaves the change time as it was (gVisor).
	// Links do too there, but their number is compared anyway.
	silentXattr bool
}

// grain is more than the distance between two change times that kernels before
// 6.13, with a clock of 100 Hz, can tell apart.
const grain = 12 * time.Millisecond

// probe finds the quirks by doing.
func probe(dir string) (q quirks, err error) {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return q, fmt.Errorf("probe the file system: %w", err)
	}
	name := f.Name()
	defer os.Remove(name)
	defer f.Close()
	var before, after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return q, fmt.Errorf("probe the file system: %w", err)
	}
	time.Sleep(grain)
	switch err := unix.Fsetxattr(int(f.Fd()), "user.probe", []byte("1"), 0); err {
	case nil:
	case unix.ENOTSUP, unix.EPERM, unix.EACCES, unix.ENOSYS:
		return q, nil // what cannot be set needs not be found
	default:
		return q, fmt.Errorf("probe attributes in %s: %w", filepath.Dir(name), err)
	}
	if err := unix.Fstat(int(f.Fd()), &after); err != nil {
		return q, fmt.Errorf("probe the file system: %w", err)
	}
	q.silentXattr = before.Ctim == after.Ctim
	return q, nil
}
