package conformance

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// plant makes what lines say below dir.
func plant(dir string, lines []line) error {
	for _, l := range lines {
		n, err := l.node()
		if err != nil {
			return err
		}
		if err := plantNode(dir, n); err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	return nil
}

func plantNode(dir string, n node) error {
	name := filepath.Join(dir, n.path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if n.kind == "tar" {
		data, err := tarBytes(n.line)
		if err != nil {
			return err
		}
		n.content = content{given: true, data: data, size: int64(len(data))}
	}
	if err := makeNode(dir, name, n); err != nil {
		return err
	}
	if n.kind == "link" {
		return nil
	}
	if n.hasOwner {
		if err := os.Lchown(name, n.uid, n.gid); err != nil {
			return err
		}
	}
	if n.kind != "symlink" {
		if err := syscall.Chmod(name, uint32(n.mode)); err != nil {
			return &os.PathError{Op: "chmod", Path: name, Err: err}
		}
	}
	for attr, value := range n.xattrs {
		if err := syscall.Setxattr(name, attr, []byte(value), 0); err != nil {
			return &os.PathError{Op: "setxattr " + attr, Path: name, Err: err}
		}
	}
	return nil
}

// makeNode makes what stands at a path; metadata come later.
func makeNode(dir, name string, n node) error {
	switch n.kind {
	case "dir":
		return os.MkdirAll(name, 0o755)
	case "file", "tar":
		// A line without content gives a look to a file that is there as a part.
		if _, err := os.Lstat(name); err == nil && !n.content.given {
			return nil
		}
		return writeContent(name, n.content)
	case "symlink":
		return os.Symlink(n.to, name)
	case "link":
		return os.Link(filepath.Join(dir, n.to), name)
	case "fifo":
		return syscall.Mkfifo(name, 0o644)
	case "char":
		return syscall.Mknod(name, syscall.S_IFCHR|0o644, device(n.dev))
	case "block":
		return syscall.Mknod(name, syscall.S_IFBLK|0o644, device(n.dev))
	case "socket":
		return syscall.Mknod(name, syscall.S_IFSOCK|0o644, 0)
	}
	return fmt.Errorf("no %s can be made on disk", n.kind)
}

// device is a device number as the kernel takes it: the low byte, twelve bits of
// major number, the rest of the minor one.
func device(d [2]int64) int { return int(d[1]&0xff | d[0]&0xfff<<8 | d[1]&^0xff<<12) }

func writeContent(name string, c content) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(c.offset, io.SeekStart); err != nil {
		return err
	}
	if _, err := f.Write(c.data); err != nil {
		return err
	}
	if err := f.Truncate(c.size); err != nil {
		return err
	}
	return f.Close()
}

// settle gives everything below dir the time of contexts, and to what lines name
// its own.
func settle(dir string, trees []part) error {
	own := map[string]time.Time{}
	for _, t := range trees {
		for _, l := range t.lines {
			n, err := l.node()
			if err != nil {
				return err
			}
			if !n.mtime.IsZero() && n.kind != "link" {
				own[filepath.Join(dir, t.name, n.path)] = n.mtime
			}
		}
	}
	var all []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		all = append(all, name)
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(all) // a directory's time is set after what is in it
	for _, name := range all {
		at, ok := own[name]
		if !ok {
			at = time.Unix(contextTime, 0)
		}
		if err := setTime(name, at); err != nil {
			return err
		}
	}
	return nil
}

// setTime sets the times of a file, of a link its own.
func setTime(name string, at time.Time) error {
	const (
		atCwd    = -100
		noFollow = 0x100
	)
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	ts := [2]syscall.Timespec{{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}, {Sec: at.Unix(), Nsec: int64(at.Nanosecond())}}
	cwd := atCwd
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(cwd), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&ts)), noFollow, 0, 0)
	if errno != 0 {
		return &os.PathError{Op: "utimensat", Path: name, Err: errno}
	}
	return nil
}

// local reports whether a tree's entries stay below its directory.
func local(lines []line) error {
	for _, l := range lines {
		if !filepath.IsLocal(strings.TrimPrefix(l.path, "/")) && l.path != "/" && l.path != "." {
			return fmt.Errorf("line %d: %s leads out of the tree", l.number, l.path)
		}
	}
	return nil
}
