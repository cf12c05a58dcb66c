package extract

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
)

// ownerMay are permissions that a directory has in any case: who made it can delete it.
const ownerMay = 0o700

// saveTree fills a directory beside dest, and puts it there when it is whole.
func saveTree(ctx context.Context, dest string, from *files.FS, name string) (left int, _ error) {
	if _, err := os.Lstat(dest); err == nil {
		return 0, &WriteError{dest, fs.ErrExist}
	}
	top, err := from.Stat(ctx, name, true)
	if err != nil {
		return 0, err
	}
	all, err := from.List(ctx, name, true)
	if err != nil {
		return 0, err
	}
	t := &tree{top: top, all: all, dest: dest}
	err = t.save(ctx, from)
	return t.left, err
}

// tree is a directory that is filled. All is written through root, which leads out of
// it by no link and no name.
type tree struct {
	root *os.Root
	dest string       // for errors
	top  *files.Entry // the directory of the image
	all  []*files.Entry
	left int
}

// save makes and fills the directory.
func (t *tree) save(ctx context.Context, from *files.FS) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(t.dest), ".inspect-*")
	if err != nil {
		return &WriteError{t.dest, err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if t.root, err = os.OpenRoot(dir); err != nil {
		return &WriteError{t.dest, err}
	}
	if err := errors.Join(t.fill(ctx, from), t.root.Close()); err != nil {
		return err
	}
	if err := os.Rename(dir, t.dest); err != nil {
		return &WriteError{t.dest, err}
	}
	return nil
}

// fill writes directories, then files, then symbolic links, so that nothing is written
// through one, and at last what writing would change.
func (t *tree) fill(ctx context.Context, from *files.FS) error {
	var regular []*files.Entry
	for _, e := range t.all {
		switch e.Header.Typeflag {
		case tar.TypeDir:
			if err := t.did(e, t.root.Mkdir(t.name(e), ownerMay)); err != nil {
				return err
			}
		case tar.TypeReg, tar.TypeLink:
			regular = append(regular, e)
		case tar.TypeSymlink:
		default:
			t.left++
		}
	}
	if err := from.Contents(ctx, regular, t.create); err != nil {
		return err
	}
	for _, e := range t.all {
		if e.Header.Typeflag == tar.TypeSymlink {
			if err := t.did(e, t.root.Symlink(e.Header.Linkname, t.name(e))); err != nil {
				return err
			}
		}
	}
	return t.finish()
}

// name is where an entry goes, below the root.
func (t *tree) name(e *files.Entry) string {
	name := strings.TrimPrefix(strings.TrimPrefix(e.Path, t.top.Path), "/")
	if name == "" {
		return "."
	}
	return filepath.FromSlash(name)
}

// did gives an error the path that it is about.
func (t *tree) did(e *files.Entry, err error) error {
	if err == nil {
		return nil
	}
	return &WriteError{filepath.Join(t.dest, t.name(e)), err}
}

func (t *tree) create(e *files.Entry) (io.WriteCloser, error) {
	file, err := t.root.OpenFile(t.name(e), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, t.did(e, err)
	}
	return &writer{file, filepath.Join(t.dest, t.name(e))}, nil
}

// finish gives permissions and times, to directories after all that is in them.
func (t *tree) finish() error {
	for _, e := range slices.Backward(append([]*files.Entry{t.top}, t.all...)) {
		mode := permissions(e)
		switch e.Header.Typeflag {
		case tar.TypeDir:
			mode |= ownerMay
		case tar.TypeReg, tar.TypeLink:
		default:
			continue
		}
		if err := t.did(e, t.root.Chmod(t.name(e), mode)); err != nil {
			return err
		}
		at := e.Header.ModTime
		if at.IsZero() {
			continue
		}
		if err := t.did(e, t.root.Chtimes(t.name(e), at, at)); err != nil {
			return err
		}
	}
	return nil
}
