package disk

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// delete makes p gone, but for what this stream put there.
func (w *Writer) delete(p tree.Path) error {
	if p == tree.Root {
		return &UnfitError{p, errors.New("a layer cannot delete the root")}
	}
	_, known := w.put[w.hash(p)]
	if w.o.Whiteouts != Apply {
		if known {
			return w.hide(p)
		}
		dir, err := w.enter(p.Parent(), true)
		if err != nil {
			return err
		}
		err = w.create(dir, p.Base(), p, func() error {
			return unix.Mknodat(dir.fd, p.Base(), unix.S_IFCHR, 0)
		})
		if err != nil {
			return pathError("make whiteout", w.name, p, err)
		}
		return nil
	}
	dir, err := w.enter(p.Parent(), false)
	if err != nil {
		if absent(err) {
			return nil
		}
		return err
	}
	if err := w.leave(p); err != nil {
		return err
	}
	w.forgetLinks()
	dir = w.top()
	r := remover{root: w.name, held: w.held}
	dir.dirty = true
	if !known {
		return r.at(dir.fd, p.Base(), p, unix.DT_UNKNOWN)
	}
	r.keep = w.keep
	return w.prune(r, p)
}

// keep spares what this stream put, and what leads there.
func (w *Writer) keep(p tree.Path) bool {
	_, known := w.put[w.hash(p)]
	return known
}

// opaque removes what other layers have below p.
func (w *Writer) opaque(p tree.Path) error {
	if w.o.Whiteouts != Apply {
		return w.hide(p)
	}
	r := remover{root: w.name, held: w.held, keep: w.keep}
	return w.prune(r, p)
}

// prune removes what r does not keep below the directory p. If that is no
// directory, nothing is below it.
func (w *Writer) prune(r remover, p tree.Path) error {
	dir, err := w.enter(p, false)
	if err != nil {
		if absent(err) {
			return nil
		}
		return err
	}
	w.forgetLinks()
	dir.dirty = true
	// A second descriptor, since reading moves its position.
	fd, err := openDirAt(dir.fd, ".")
	if err != nil {
		return pathError("open directory", w.name, p, err)
	}
	defer unix.Close(fd)
	_, err = r.children(fd, p)
	return err
}

// hide marks p opaque, if it is a directory or not there.
func (w *Writer) hide(p tree.Path) error {
	if put, known := w.put[w.hash(p)]; known && put {
		if _, err := w.enter(p, false); err != nil {
			if absent(err) {
				return nil // a file: nothing shows through it
			}
			return err
		}
	}
	dir, err := w.enter(p, true)
	if err != nil {
		return err
	}
	return w.setOpaque(dir.fd, p)
}

func (w *Writer) setOpaque(fd int, p tree.Path) error {
	prefix := TrustedOverlay
	if w.o.Whiteouts == User {
		prefix = UserOverlay
	}
	if err := unix.Fsetxattr(fd, prefix+"opaque", []byte("y"), 0); err != nil {
		return pathError("mark opaque", w.name, p, err)
	}
	return nil
}
