package files

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxLinks bounds the symlinks that are followed on one way, as Linux does.
const maxLinks = 40

// FS is the files of an image. It is not safe for use by several goroutines at once.
type FS struct {
	name   string
	dir    string // where contents are kept meanwhile
	layers []*Layer
	view   *view
	spools []*os.File
}

// PathError says that something cannot be had of a path of an image.
type PathError struct {
	Image string
	Op    string // such as "read"
	Path  string
	Err   error
}

// Error implements error.
func (e *PathError) Error() string {
	return fmt.Sprintf("%s %s of %s: %v", e.Op, e.Path, e.Image, e.Err)
}

// Unwrap is the cause.
func (e *PathError) Unwrap() error { return e.Err }

// The causes of a [PathError] beside [fs.ErrNotExist].
var (
	ErrNotFile = errors.New("it is not a regular file")
	ErrNotDir  = errors.New("it is not a directory")
	ErrLinks   = fmt.Errorf("more than %d symbolic links on the way", maxLinks)
)

// Open opens the files of an image. Nothing is read yet. name is the image's, for
// errors; contents are kept in dir, a directory of this machine, where a layer has to be
// read whole; it is not written to before.
func Open(name, dir string, img v1.Image) (*FS, error) {
	layers, err := Layers(img)
	if err != nil {
		return nil, fmt.Errorf("open the layers of %s: %w", name, err)
	}
	return &FS{name: name, dir: dir, layers: layers, view: newView(layers)}, nil
}

// Layers are an image's layers, the lowest first.
func Layers(img v1.Image) ([]*Layer, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err == nil && len(layers) != len(m.Layers) {
		err = fmt.Errorf("%d layers, and %d in the manifest", len(layers), len(m.Layers))
	}
	if err != nil {
		return nil, err
	}
	var all []*Layer
	for i, l := range layers {
		all = append(all, &Layer{N: i + 1, Layer: l, Desc: m.Layers[i]})
	}
	return all, nil
}

// Close deletes what was kept.
func (f *FS) Close() error {
	var all []error
	for _, s := range f.spools {
		all = append(all, s.Close(), os.Remove(s.Name()))
	}
	f.spools = nil
	return errors.Join(all...)
}

func (f *FS) keep() (*os.File, error) {
	s, err := os.CreateTemp(f.dir, "inspect-*")
	if err != nil {
		return nil, err
	}
	f.spools = append(f.spools, s)
	return s, nil
}

// Layers are the image's layers, the lowest first.
func (f *FS) Layers() []*Layer { return f.layers }

// Read writes the content of a regular file, links followed, and returns its entry.
func (f *FS) Read(ctx context.Context, w io.Writer, name string) (*Entry, error) {
	f.view.wanted, f.view.keep = path.Clean("/"+name), f.keep
	e, err := f.resolve(ctx, name, true)
	if err == nil {
		err = f.content(ctx, w, e)
	}
	if err != nil {
		return nil, f.failed("read", name, err)
	}
	return e, nil
}

// content writes the content of an entry that is no symlink.
func (f *FS) content(ctx context.Context, w io.Writer, e *Entry) error {
	file, err := f.file(ctx, e)
	if err != nil {
		return err
	}
	return f.layers[file.Layer-1].copy(ctx, w, file)
}

// file is the regular file that an entry is, or is a hard link to: an earlier file of the
// same layer, or one of those below it, whatever layers above have in its place.
func (f *FS) file(ctx context.Context, e *Entry) (*Entry, error) {
	for range maxLinks {
		switch e.Header.Typeflag {
		case tar.TypeReg:
			return e, nil
		case tar.TypeLink:
		default:
			return nil, fmt.Errorf("%w, but a %s", ErrNotFile, e.Type())
		}
		target := path.Clean("/" + e.Header.Linkname)
		own := f.layers[e.Layer-1].list.entries[target]
		if own == nil || own == e {
			var err error
			if own, err = newView(f.layers[:e.Layer-1]).lookup(ctx, target); err != nil {
				return nil, fmt.Errorf("it is a hard link to %s: %w", target, err)
			}
		}
		e = own
	}
	return nil, ErrLinks
}

func (f *FS) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist
	}
	return &PathError{Image: f.name, Op: op, Path: path.Clean("/" + name), Err: err}
}

// Stat is the entry of a path, links followed on the way and, if follow is set, at its
// end.
func (f *FS) Stat(ctx context.Context, name string, follow bool) (*Entry, error) {
	e, err := f.resolve(ctx, name, follow)
	return e, f.failed("look up", name, err)
}

// Size is how many bytes a file or a hard link to one has, 0 of all else.
func (f *FS) Size(ctx context.Context, e *Entry) int64 {
	if file, err := f.file(ctx, e); err == nil {
		return file.Header.Size
	}
	return 0
}

// resolve finds an entry. A link leads on from the root of the image, however many ".."
// it has.
func (f *FS) resolve(ctx context.Context, name string, follow bool) (*Entry, error) {
	rest := strings.Split(path.Clean("/"+name), "/")[1:]
	at := "/"
	followed := 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		e, err := f.view.lookup(ctx, next)
		if err != nil {
			return nil, err
		}
		if e.Header.Typeflag == tar.TypeSymlink && (follow || len(rest) > 0) {
			if followed++; followed > maxLinks {
				return nil, ErrLinks
			}
			if strings.HasPrefix(e.Header.Linkname, "/") {
				at = "/"
			}
			rest = append(strings.Split(e.Header.Linkname, "/"), rest...)
			continue
		}
		if len(rest) == 0 {
			return e, nil
		}
		if e.Header.Typeflag != tar.TypeDir && strings.Join(rest, "") != "" {
			return nil, fmt.Errorf("%s: %w", next, ErrNotDir)
		}
		at = next
	}
	return f.view.lookup(ctx, at)
}

// List are the entries of a directory in the order of their names, or of all that is
// below it; of anything else it is the entry itself. All layers are read.
func (f *FS) List(ctx context.Context, name string, recursive bool) ([]*Entry, error) {
	e, err := f.resolve(ctx, name, true)
	if err == nil {
		err = f.view.all(ctx)
	}
	if err != nil {
		return nil, f.failed("list", name, err)
	}
	if e.Header.Typeflag != tar.TypeDir {
		return []*Entry{e}, nil
	}
	prefix := strings.TrimSuffix(e.Path, "/") + "/"
	var all []*Entry
	for _, entries := range []map[string]*Entry{f.view.entries, f.view.implied} {
		for p, e := range entries {
			if p == "/" || !strings.HasPrefix(p, prefix) || !recursive && strings.Contains(p[len(prefix):], "/") || p == prefix {
				continue
			}
			if e.Implied && f.view.entries[p] != nil {
				continue
			}
			all = append(all, e)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all, nil
}
