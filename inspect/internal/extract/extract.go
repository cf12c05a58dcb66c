// Package extract saves files of an image on this machine: in the place that it is given
// and nowhere else, whatever names and links the image has, and there only when all of
// it is.
package extract

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
)

// WriteError says that something could not be saved.
type WriteError struct {
	Path string // on this machine
	Err  error
}

// Error implements error.
func (e *WriteError) Error() string { return fmt.Sprintf("save %s: %v", e.Path, e.Err) }

// Unwrap is the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// To saves a file or a directory of an image as dest. A file replaces what is there; a
// directory must not be there. It returns how many devices and pipes were left out.
// What could not be written is a [WriteError], the rest are errors of [files.FS].
func To(ctx context.Context, dest string, from *files.FS, name string) (left int, err error) {
	e, err := from.Stat(ctx, name, true)
	if err != nil {
		return 0, err
	}
	if e.Header.Typeflag == tar.TypeDir {
		return saveTree(ctx, dest, from, name)
	}
	return 0, saveFile(ctx, dest, from, name)
}

// permissions are those bits of an entry's mode that others may give to files of this
// machine.
func permissions(e *files.Entry) fs.FileMode { return fs.FileMode(e.Header.Mode) & 0o777 }

// saveFile writes beside dest, and puts the file there when it is whole.
func saveFile(ctx context.Context, dest string, from *files.FS, name string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(dest), ".inspect-*")
	if err != nil {
		return &WriteError{dest, err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	e, err := from.Read(ctx, &writer{file, dest}, name)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	err = errors.Join(file.Chmod(permissions(e)), file.Close())
	if err == nil && !e.Header.ModTime.IsZero() {
		err = os.Chtimes(file.Name(), e.Header.ModTime, e.Header.ModTime)
	}
	if err == nil {
		err = os.Rename(file.Name(), dest)
	}
	if err != nil {
		return &WriteError{dest, err}
	}
	return nil
}

// writer tells errors of writing from those of reading.
type writer struct {
	file *os.File
	path string
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil {
		err = &WriteError{w.path, err}
	}
	return n, err
}

// Close implements [io.Closer].
func (w *writer) Close() error {
	if err := w.file.Close(); err != nil {
		return &WriteError{w.path, err}
	}
	return nil
}
