package disk

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// file is an open regular file. It is not an *os.File because that one costs
// three more system calls per file (is it pollable?), which tens of thousands of
// small files feel.
type file struct {
	fd   int
	name string
	size int64 // when it was opened
	read int64
	end  bool
}

func (f *file) Read(b []byte) (int, error) {
	if f.fd < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
	}
	if len(b) == 0 {
		return 0, nil
	}
	if f.end {
		return 0, io.EOF
	}
	n, err := retry(func() (int, error) { return unix.Read(f.fd, b) })
	switch {
	case err != nil:
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
	case n == 0:
		return 0, io.EOF
	}
	// Less than was asked for is the end of a regular file, if it is where that was:
	// one system call less for each of many small files.
	f.read += int64(n)
	f.end = n < len(b) && f.read == f.size
	return n, nil
}

func (f *file) Close() error {
	if f.fd < 0 {
		return nil
	}
	err := unix.Close(f.fd)
	f.fd = -1
	return err
}

// retry repeats a system call that a signal interrupted. Go's own preemption
// signals restart most calls, but not those of every file system.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// openat opens name in the directory at; the new descriptor is not inherited.
func openat(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC|unix.O_LARGEFILE, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openDirAt opens the directory name in at for reading; a symbolic link is ENOTDIR.
func openDirAt(at int, name string) (int, error) {
	return openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// openBelow opens p below the directory root without following a link in any
// component: such a link is ELOOP or ENOTDIR. The flags must not create.
func openBelow(root int, p tree.Path, flags int) (int, error) {
	if p == tree.Root {
		return openat(root, ".", flags, 0)
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_LARGEFILE),
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := retry(func() (int, error) { return unix.Openat2(root, string(p), &how) })
	// Not there before Linux 5.6 and in older gVisor; refused by seccomp profiles
	// that do not know it.
	if err != unix.ENOSYS && err != unix.EPERM {
		return fd, err
	}
	names := p.Components()
	at := root
	for i, name := range names {
		last := i == len(names)-1
		f := unix.O_PATH | unix.O_DIRECTORY
		if last {
			f = flags
		}
		fd, err = openat(at, name, f|unix.O_NOFOLLOW, 0)
		if at != root {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

// absent reports whether err says that nothing is at a path when no link on the
// way is followed: a component is missing, or is no directory.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func pathError(op, root string, p tree.Path, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &FullError{Path: filepath.Join(root, string(p)), Err: err}
	}
	return &fs.PathError{Op: op, Path: filepath.Join(root, string(p)), Err: err}
}

// FullError says that a file system has no room left.
type FullError struct {
	Path string // what was being written
	Err  error  // ENOSPC or EDQUOT
}

func (e *FullError) Error() string { return "write " + e.Path + ": " + e.Err.Error() }

func (e *FullError) Unwrap() error { return e.Err }

// Hint says what helps.
func (e *FullError) Hint() string {
	return "the disk that holds " + filepath.Dir(e.Path) + " is full, has no inodes left or is over its quota: " +
		"give the container more storage (ephemeral-storage in Kubernetes) or a volume"
}

// dirent is one name of a directory.
type dirent struct {
	name string
	typ  uint8 // unix.DT_*; DT_UNKNOWN where the file system does not tell
}

// direntBuffer is how much of a directory one system call reads, in bytes.
const direntBuffer = 32 << 10

// readNames appends what is in the directory fd, without "." and "..", in no order.
func readNames(fd int, buf []byte, names []dirent) ([]dirent, error) {
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return names, err
		}
		if n <= 0 {
			return names, nil
		}
		// One string for all names of the buffer: they live as long as each other.
		s := string(buf[:n])
		for len(s) > direntName {
			length := int(hostUint16(s[direntLength:]))
			if length <= direntName || length > len(s) {
				return names, unix.EIO
			}
			name := s[direntName:length]
			for i := 0; i < len(name); i++ {
				if name[i] == 0 {
					name = name[:i]
					break
				}
			}
			if name != "." && name != ".." && name != "" {
				names = append(names, dirent{name: name, typ: s[direntType]})
			}
			s = s[length:]
		}
	}
}
