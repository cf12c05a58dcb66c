package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// errMount says that a removal met another file system, which it does not empty.
var errMount = errors.New("another file system is mounted here")

// Remove deletes the directory dir and everything below it, or the file dir. No
// link below it is followed, and no other file system that is mounted in it is
// touched: that is an error. A missing dir is no error.
func Remove(dir string) error {
	dir = strings.TrimRight(dir, "/")
	if dir == "" {
		return errors.New("remove /: that is never meant")
	}
	r := remover{root: dir}
	if err := r.at(unix.AT_FDCWD, dir, tree.Root, unix.DT_UNKNOWN); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// Empty deletes everything below the directory dir but the paths in held, what is
// below those, and the directories that lead to them.
func Empty(dir string, held []tree.Path) error {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &fs.PathError{Op: "empty", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "empty", Path: dir, Err: err}
	}
	r := remover{root: dir, dev: uint64(st.Dev), held: newHeld(held)}
	if _, err := r.children(fd, tree.Root); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return nil
}

// remover deletes trees. Paths are relative to root and used for held, keep and
// messages only.
type remover struct {
	root string
	dev  uint64 // device of the first directory; 0 until there is one
	held held
	// keep, if not nil, says which entries stay; of a directory that stays, what is
	// in it is asked about.
	keep func(p tree.Path) bool
	buf  []byte
}

// at deletes name in the directory fd. It is no error if something held stays.
func (r *remover) at(fd int, name string, p tree.Path, typ uint8) error {
	_, err := r.remove(fd, name, p, typ)
	return err
}

// remove is at that also says whether the entry is gone.
func (r *remover) remove(at int, name string, p tree.Path, typ uint8) (gone bool, err error) {
	if r.held.covers(p) {
		return false, nil
	}
	if r.keep != nil && r.keep(p) {
		if typ != unix.DT_DIR && typ != unix.DT_UNKNOWN {
			return false, nil
		}
		return false, r.below(at, name, p)
	}
	if typ != unix.DT_DIR {
		switch err := unix.Unlinkat(at, name, 0); err {
		case nil, unix.ENOENT:
			return true, nil
		case unix.EISDIR, unix.EPERM:
			// A directory: EPERM is what POSIX says, EISDIR what Linux does.
			if typ != unix.DT_UNKNOWN {
				return false, r.error(p, err)
			}
		default:
			return false, r.error(p, err)
		}
	}
	// Most directories hold something, so opening comes before trying rmdir.
	fd, err := r.open(at, name, p)
	switch {
	case err == unix.ENOENT:
		return true, nil
	case err != nil:
		return false, err
	}
	empty, err := r.children(fd, p)
	unix.Close(fd)
	if err != nil || !empty {
		return false, err
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return false, r.error(p, err)
	}
	return true, nil
}

// below goes on in an entry that stays. If it is a directory it keeps its time.
func (r *remover) below(at int, name string, p tree.Path) error {
	fd, err := r.open(at, name, p)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return r.error(p, err)
	}
	if _, err := r.children(fd, p); err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	if err := unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return r.error(p, err)
	}
	return nil
}

// children deletes what is in the directory fd and says whether it is empty now.
func (r *remover) children(fd int, p tree.Path) (empty bool, err error) {
	if r.buf == nil {
		r.buf = make([]byte, direntBuffer)
	}
	names, err := readNames(fd, r.buf, nil)
	if err != nil {
		return false, r.error(p, err)
	}
	empty = true
	for _, e := range names {
		child := tree.Path(e.name)
		if p != tree.Root {
			child = p + "/" + child
		}
		gone, err := r.remove(fd, e.name, child, e.typ)
		if err != nil {
			return false, err
		}
		empty = empty && gone
	}
	return empty, nil
}

func (r *remover) open(at int, name string, p tree.Path) (int, error) {
	fd, err := openDirAt(at, name)
	if err == unix.EACCES {
		// Not root, and the directory lets not even its owner in.
		if unix.Fchmodat(at, name, 0o700, 0) == nil {
			fd, err = openDirAt(at, name)
		}
	}
	if err == unix.ENOENT {
		return -1, err
	}
	if err != nil {
		return -1, r.error(p, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, r.error(p, err)
	}
	switch dev := uint64(st.Dev); {
	case r.dev == 0:
		r.dev = dev
	case r.dev != dev:
		unix.Close(fd)
		return -1, r.error(p, errMount)
	}
	return fd, nil
}

func (r *remover) error(p tree.Path, err error) error { return pathError("remove", r.root, p, err) }

// held is a set of paths that must stay.
type held struct {
	paths map[tree.Path]struct{}
	above map[tree.Path]struct{} // the directories that lead to them
}

func newHeld(paths []tree.Path) held {
	if len(paths) == 0 {
		return held{}
	}
	h := held{paths: map[tree.Path]struct{}{}, above: map[tree.Path]struct{}{}}
	for _, p := range paths {
		h.paths[p] = struct{}{}
		for p != tree.Root {
			p = p.Parent()
			h.above[p] = struct{}{}
		}
	}
	return h
}

// covers reports whether p is held. A walk that asks at every step needs not ask
// for what is above p.
func (h held) covers(p tree.Path) bool {
	_, ok := h.paths[p]
	return ok
}

// within reports whether p or a directory above it is held.
func (h held) within(p tree.Path) bool {
	if len(h.paths) == 0 {
		return false
	}
	for {
		if h.covers(p) {
			return true
		}
		if p == tree.Root {
			return false
		}
		p = p.Parent()
	}
}

// leads reports whether something held lies below p.
func (h held) leads(p tree.Path) bool {
	_, ok := h.above[p]
	return ok
}
