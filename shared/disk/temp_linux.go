package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tempLock is the file in a Temp's directory that is locked while the Temp lives.
const tempLock = "lock"

// Temp is a directory of one process. If the process is killed, whoever makes the
// next one beside it removes it.
type Temp struct {
	Path string
	lock *os.File
}

// MakeTemp makes a directory in parent, whose name begins with prefix, and first
// removes those with that prefix whose process is gone.
func MakeTemp(parent, prefix string) (_ *Temp, err error) {
	if err := sweep(parent, prefix); err != nil {
		return nil, err
	}
	t := &Temp{}
	if t.Path, err = os.MkdirTemp(parent, prefix); err != nil {
		return nil, err
	}
	t.lock, err = os.OpenFile(filepath.Join(t.Path, tempLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = unix.Flock(int(t.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return t, nil
		}
		t.lock.Close()
	}
	return nil, errors.Join(err, Remove(t.Path))
}

// Close removes the directory.
func (t *Temp) Close() error { return errors.Join(Remove(t.Path), t.lock.Close()) }

// sweep removes the directories of processes that are no more.
func sweep(parent, prefix string) error {
	names, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !n.IsDir() || !strings.HasPrefix(n.Name(), prefix) {
			continue
		}
		if err := sweepOne(filepath.Join(parent, n.Name())); err != nil {
			return fmt.Errorf("remove what an earlier build left: %w", err)
		}
	}
	return nil
}

func sweepOne(dir string) error {
	// In a directory that all may write to, others' are not ours to touch.
	info, err := os.Lstat(dir)
	if err != nil {
		return nil
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != os.Geteuid() {
		return nil
	}
	lock, err := os.OpenFile(filepath.Join(dir, tempLock), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil // being made, or being removed
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	if err := Remove(dir); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil // made in a namespace, of files that only one can remove
}
