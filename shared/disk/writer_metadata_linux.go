package disk

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// dress gives the open directory f the metadata of n; fresh says that it has no
// attributes yet. Its time is set when it is left.
func (w *Writer) dress(f *frame, n tree.Node, fresh bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return pathError("stat", w.name, f.path, err)
	}
	f.mode = uint32(st.Mode) & 0o7777
	f.mtime, f.dirty, f.chmod = timespec(n.MTime), true, false
	if err := w.chown(f.fd, f.path, &st, n); err != nil {
		return err
	}
	if want := uint32(n.Mode & tree.ModeMask); f.mode != want {
		now := want
		if !w.root && want&0o700 != 0o700 {
			f.chmod, f.final = true, want
			now |= 0o700
		}
		if f.mode != now {
			if err := unix.Fchmod(f.fd, now); err != nil {
				return pathError("chmod", w.name, f.path, err)
			}
		}
		f.mode = now
	}
	if !fresh {
		names, err := listXattrs(f.fd, "", w.xbuf)
		if err != nil {
			return pathError("list attributes", w.name, f.path, err)
		}
		for _, attr := range names {
			if _, ok := n.Xattrs[attr]; ok || hostXattr(attr) {
				continue
			}
			if err := unix.Fremovexattr(f.fd, attr); err != nil && err != unix.ENODATA {
				return pathError("remove attribute "+attr, w.name, f.path, err)
			}
		}
	}
	_, f.acl = n.Xattrs[defaultACL]
	return w.setXattrs(f.fd, "", f.path, n)
}

// chown gives the open file its owner, if it has another one.
func (w *Writer) chown(fd int, p tree.Path, st *unix.Stat_t, n tree.Node) error {
	if uint32(n.UID) == st.Uid && uint32(n.GID) == st.Gid {
		return nil
	}
	if err := unix.Fchown(fd, n.UID, n.GID); err != nil {
		return &OwnerError{Path: p, UID: n.UID, GID: n.GID, Err: err}
	}
	return nil
}

// OwnerError says that a file could not be given away.
type OwnerError struct {
	Path     tree.Path
	UID, GID int
	Err      error
}

func (e *OwnerError) Error() string {
	return fmt.Sprintf("give %s to %d:%d: %v", e.Path.Abs(), e.UID, e.GID, e.Err)
}

func (e *OwnerError) Unwrap() error { return e.Err }

// ExitCode is that of what this machine does not allow.
func (e *OwnerError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *OwnerError) Hint() string {
	switch e.Err {
	case unix.EINVAL, unix.EOVERFLOW:
		return "the user namespace has no such id: widen its range in /etc/subuid and /etc/subgid"
	}
	return "unpacking an image needs root, or the capability CHOWN, in the container"
}

// dressPath gives the new entry name, which is neither directory nor file, the
// metadata of n.
func (w *Writer) dressPath(dir *frame, name string, p tree.Path, n tree.Node) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("stat", w.name, p, err)
	}
	if uint32(n.UID) != st.Uid || uint32(n.GID) != st.Gid {
		if err := unix.Fchownat(dir.fd, name, n.UID, n.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &OwnerError{Path: p, UID: n.UID, GID: n.GID, Err: err}
		}
	}
	if n.Type != tree.Symlink {
		if dir.acl {
			_ = unix.Lremovexattr(procPath(dir.fd, name), accessACL)
		}
		if uint32(st.Mode)&0o7777 != uint32(n.Mode&tree.ModeMask) {
			if err := unix.Fchmodat(dir.fd, name, uint32(n.Mode&tree.ModeMask), 0); err != nil {
				return pathError("chmod", w.name, p, err)
			}
		}
	}
	if err := w.setXattrs(dir.fd, name, p, n); err != nil {
		return err
	}
	return w.settime(dir, name, p, n)
}

// setXattrs sets the attributes of n on the file fd, or on name in the directory fd.
func (w *Writer) setXattrs(fd int, name string, p tree.Path, n tree.Node) error {
	for attr, v := range n.Xattrs {
		if hostXattr(attr) {
			continue // another machine's label
		}
		var err error
		if name == "" {
			err = unix.Fsetxattr(fd, attr, []byte(v), 0)
		} else {
			err = unix.Lsetxattr(procPath(fd, name), attr, []byte(v), 0)
		}
		switch err {
		case nil:
		case unix.ENOTSUP, unix.EPERM, unix.EACCES, unix.EINVAL:
			// The file system, the namespace or the runtime knows no such attribute. The
			// image keeps it all the same: only commands see the file without.
			if err := w.refused(Refusal{Path: p, What: attr, Err: err}); err != nil {
				return err
			}
		default:
			return pathError("set attribute "+attr, w.name, p, err)
		}
	}
	return nil
}

func (w *Writer) refused(r Refusal) error {
	if w.o.Refused == nil {
		return r
	}
	return w.o.Refused(r)
}

func (w *Writer) settime(dir *frame, name string, p tree.Path, n tree.Node) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, timespec(n.MTime)}
	if err := unix.UtimesNanoAt(dir.fd, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("set time", w.name, p, err)
	}
	return nil
}

// timespec brings a time within what file systems can hold. The zero time, which
// a layer that is silent leaves, is 1970.
func timespec(t time.Time) unix.Timespec {
	if t.IsZero() {
		return unix.Timespec{}
	}
	s := min(max(t.Unix(), math.MinInt32), math.MaxUint32)
	ts, err := unix.TimeToTimespec(time.Unix(s, int64(t.Nanosecond())))
	if err != nil {
		return unix.Timespec{}
	}
	return ts
}
