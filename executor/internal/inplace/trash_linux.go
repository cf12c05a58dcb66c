package inplace

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// trash is where a root goes that is not needed any more: moved away at once,
// deleted meanwhile.
type trash struct {
	dir   string
	n     int
	going sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

// take empties the root but for what is kept.
func (t *trash) take(keep pathSet) error {
	return t.away(func(to string) error { return t.move("/", tree.Root, keep, to) })
}

// bare empties the directory dir, on the way to something kept, but for that.
func (t *trash) bare(dir tree.Path, keep pathSet) error {
	return t.away(func(to string) error { return t.stay(dir, keep, to) })
}

// away has a new directory filled, and deletes it meanwhile.
func (t *trash) away(fill func(to string) error) error {
	t.n++
	to := filepath.Join(t.dir, strconv.Itoa(t.n))
	// What an earlier process left goes too.
	if err := disk.Remove(to); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := fill(to); err != nil {
		return err
	}
	t.going.Go(func() {
		if err := disk.Remove(to); err != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.errs = append(t.errs, err)
		}
	})
	return nil
}

// move moves the entries of the directory dir to the directory to.
func (t *trash) move(dir string, at tree.Path, keep pathSet, to string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, name := range names {
		child := at.Join(name)
		switch {
		case keep.in[child]:
			continue
		case keep.above[child]:
			// The way to something protected stays, as bare as a missing directory would be
			// made.
			if err := t.stay(child, keep, to); err != nil {
				return err
			}
			continue
		}
		// A number, since names of different directories meet here.
		t.n++
		err := os.Rename(child.Abs(), filepath.Join(to, strconv.Itoa(t.n)))
		if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOTEMPTY) {
			// Another file system; or a directory of a lower layer of the container's own
			// overlay, which cannot be moved.
			err = disk.Remove(child.Abs())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *trash) stay(dir tree.Path, keep pathSet, to string) error {
	st, err := os.Lstat(dir.Abs())
	if err != nil {
		return err
	}
	if !st.IsDir() {
		// Not the way itself but a link on it: the protected path is named through it.
		return nil
	}
	if err := t.move(dir.Abs(), dir, keep, to); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Lchown(dir.Abs(), 0, 0); err != nil {
		return err
	}
	return os.Chmod(dir.Abs(), 0o755)
}

// wait returns when all is deleted, with what could not be.
func (t *trash) wait() error {
	t.going.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	err := errors.Join(t.errs...)
	t.errs = nil
	if err == nil {
		err = disk.Remove(t.dir)
	}
	return err
}
