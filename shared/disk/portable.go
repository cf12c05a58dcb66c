package disk

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// portable reads a directory with what every system has: enough for a build
// context. It knows no owners (all is root's), attributes, hard links or devices.
type portable struct {
	root *os.Root
	o    Options
}

func openPortable(dir string, o Options) (*portable, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &portable{root: r, o: o}, nil
}

func (d *portable) close() error { return d.root.Close() }

// stat looks p up without following a link, in no component. A socket or a device
// has no type.
func (d *portable) stat(p tree.Path) (tree.Node, error) {
	// os.Root follows links that stay inside, so the way is looked at first.
	for i, c := range []byte(p) {
		if c != '/' {
			continue
		}
		st, err := d.root.Lstat(filepath.FromSlash(string(p[:i])))
		if err == nil && !st.IsDir() {
			err = &fs.PathError{Op: "lstat", Path: d.name(p), Err: fs.ErrNotExist}
		}
		if err != nil {
			return tree.Node{}, err
		}
	}
	name := "."
	if p != tree.Root {
		name = filepath.FromSlash(string(p))
	}
	st, err := d.root.Lstat(name)
	if err != nil {
		return tree.Node{}, err
	}
	n := tree.Node{Mode: tree.Mode(st.Mode().Perm()), MTime: st.ModTime()}
	for bit, mode := range map[fs.FileMode]tree.Mode{fs.ModeSetuid: tree.SetUID, fs.ModeSetgid: tree.SetGID, fs.ModeSticky: tree.Sticky} {
		if st.Mode()&bit != 0 {
			n.Mode |= mode
		}
	}
	switch st.Mode().Type() {
	case 0:
		n.Type, n.Size = tree.File, st.Size()
	case fs.ModeDir:
		n.Type = tree.Dir
	case fs.ModeNamedPipe:
		n.Type = tree.Fifo
	case fs.ModeSymlink:
		n.Type, n.Mode = tree.Symlink, 0o777
		if n.Link, err = d.root.Readlink(name); err != nil {
			return tree.Node{}, err
		}
		n.Link = filepath.ToSlash(n.Link)
	}
	return n, nil
}

func (d *portable) walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		n, err := d.stat(from)
		if err == nil && n.Type == 0 {
			err = &fs.PathError{Op: "lstat", Path: d.name(from), Err: fs.ErrNotExist}
		}
		if err != nil {
			yield(tree.Entry{}, err)
			return
		}
		d.visit(tree.Entry{Path: from, Node: n}, yield)
	}
}

func (d *portable) visit(e tree.Entry, yield func(tree.Entry, error) bool) bool {
	if !yield(e, nil) {
		return false
	}
	if !e.Node.IsDir() {
		return true
	}
	name := "."
	if e.Path != tree.Root {
		name = filepath.FromSlash(string(e.Path))
	}
	f, err := d.root.Open(name)
	if err != nil {
		yield(tree.Entry{}, err)
		return false
	}
	names, err := f.Readdirnames(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		yield(tree.Entry{}, err)
		return false
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		p := e.Path.Join(name)
		n, err := d.stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it went away since its directory was read
		case err != nil:
			yield(tree.Entry{}, err)
			return false
		case n.Type == 0 || d.o.Skip != nil && d.o.Skip(p, n.Type):
			continue
		}
		if !d.visit(tree.Entry{Path: p, Node: n}, yield) {
			return false
		}
	}
	return true
}

func (d *portable) open(p tree.Path) (io.ReadCloser, error) {
	n, err := d.stat(p)
	if err == nil && n.Type != tree.File {
		err = &fs.PathError{Op: "open", Path: d.name(p), Err: errNotFile}
	}
	if err != nil {
		return nil, err
	}
	return d.root.Open(filepath.FromSlash(string(p)))
}

func (d *portable) name(p tree.Path) string {
	return filepath.Join(d.root.Name(), filepath.FromSlash(string(p)))
}
