package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Replace makes a file of mode 0644 appear with what write writes, or leaves the
// older one. A path that is no regular file, or that cannot be replaced because
// it is a mount point or in a directory that cannot be written, as
// /dev/termination-log is, is written in place; write is called again for that.
// Missing directories are made.
func Replace(path string, write func(io.Writer) error) error {
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// Behind a link it is the file that is replaced, not the link.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return inPlace(path, write)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		if irreplaceable(err) {
			return inPlace(path, write)
		}
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		os.Remove(f.Name())
		if irreplaceable(err) {
			return inPlace(path, write)
		}
		return err
	}
	return nil
}

// irreplaceable tells whether err is about the directory or a mount, so that the
// file itself may still be writable.
func irreplaceable(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrPermission)
}

func inPlace(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
