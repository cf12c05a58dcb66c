package disk

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Dir reads a directory as a [tree.FS]. It may be used by several goroutines.
type Dir struct {
	fd   int
	name string
	o    Options
}

// Open opens the directory dir; links in dir itself are followed.
func Open(dir string, o Options) (*Dir, error) {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: dir, Err: err}
	}
	return &Dir{fd: fd, name: dir, o: o}, nil
}

// Close frees the directory's descriptor. Files that Open gave stay readable.
func (d *Dir) Close() error {
	if d.fd < 0 {
		return nil
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return err
}

// Inode is the identity of a file on this machine. Numbers alone would make links
// of files on different file systems.
type Inode struct{ Dev, Ino uint64 }

// Stat is an entry with what only this machine knows of it.
type Stat struct {
	tree.Entry
	Inode Inode
	Links uint64    // names that the file has, in this directory or elsewhere
	CTime time.Time // when the kernel last saw the file or its metadata change
	// Whiteout and Opaque are set only with [Options.Overlay]. A whiteout's Node
	// is the character device that overlayfs keeps in its place.
	Whiteout, Opaque bool
}

// Walk implements [tree.FS]. Sockets are left out.
func (d *Dir) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return d.Prune(from, nil) }

// Prune implements [tree.Pruner]: a directory that is skipped is not opened, and
// of other entries that are skipped no more than the name is read. A nil skip
// leaves out no more than [Options.Skip].
func (d *Dir) Prune(from tree.Path, skip func(tree.Path, tree.Type) bool) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		w := d.newWalker(func(s *Stat, err error) bool {
			if err != nil {
				return yield(tree.Entry{}, err)
			}
			return yield(s.Entry, nil)
		})
		w.skip = either(w.skip, skip)
		w.walk(from)
	}
}

// Stats is Walk with what only this machine knows. The Stat is valid until the
// next one is asked for.
func (d *Dir) Stats(from tree.Path) iter.Seq2[*Stat, error] {
	return func(yield func(*Stat, error) bool) { d.walk(from, yield) }
}

// List implements [tree.Lister].
func (d *Dir) List(dir tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		w := d.newWalker(func(s *Stat, err error) bool {
			switch {
			case err != nil:
				return yield(tree.Entry{}, err)
			case s.Path != dir:
				return yield(s.Entry, nil)
			case !s.Node.IsDir():
				return yield(tree.Entry{}, pathError("list", d.name, dir, fs.ErrNotExist))
			}
			return true
		})
		w.shallow = true
		w.walk(dir)
	}
}

// walker is one walk under way.
type walker struct {
	d *Dir
	// shallow walks look no further than what is directly in the first directory.
	shallow bool
	depth   int
	skip    func(tree.Path, tree.Type) bool // nil skips nothing
	yield   func(*Stat, error) bool
	first   map[Inode]tree.Path
	stat    Stat
	buf     []byte
	xbuf    []byte
}

func (d *Dir) walk(from tree.Path, yield func(*Stat, error) bool) {
	d.newWalker(yield).walk(from)
}

func (d *Dir) newWalker(yield func(*Stat, error) bool) *walker {
	w := &walker{d: d, skip: d.o.Skip, yield: yield}
	if d.o.Xattrs || d.o.Overlay != "" {
		w.xbuf = make([]byte, 1024)
	}
	return w
}

// either skips what one of the two does; nil skips nothing.
func either(a, b func(tree.Path, tree.Type) bool) func(tree.Path, tree.Type) bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(p tree.Path, t tree.Type) bool { return a(p, t) || b(p, t) }
}

func (w *walker) walk(from tree.Path) {
	at, name := w.d.fd, ""
	if from != tree.Root {
		parent, err := openBelow(w.d.fd, from.Parent(), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			w.fail("lstat", from, err, true)
			return
		}
		defer unix.Close(parent)
		at, name = parent, from.Base()
	}
	if err := w.lookup(at, name, from); err != nil {
		w.fail("lstat", from, err, true)
		return
	}
	if w.stat.Node.Type == 0 {
		w.fail("lstat", from, unix.ENOENT, true)
		return
	}
	w.visit(at, name)
}

func (w *walker) fail(op string, p tree.Path, err error, start bool) bool {
	if start && absent(err) {
		err = fs.ErrNotExist
	}
	w.yield(nil, pathError(op, w.d.name, p, err))
	return false
}

// lookup fills w.stat with the entry name of the directory at; "" is at itself.
// A socket has no type.
func (w *walker) lookup(at int, name string, p tree.Path) error {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	for {
		err := unix.Fstatat(at, name, &st, flags)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return err
		}
	}
	s := &w.stat
	*s = Stat{
		Entry: tree.Entry{Path: p, Node: nodeOf(&st)},
		Inode: Inode{Dev: uint64(st.Dev), Ino: st.Ino}, //nolint:unconvert // int32 on some architectures
		Links: uint64(st.Nlink),
		CTime: time.Unix(st.Ctim.Unix()),
	}
	n := &s.Node
	switch n.Type {
	case 0:
		return nil
	case tree.Symlink:
		link, err := readlink(at, name, int(st.Size))
		if err != nil {
			return err
		}
		n.Link = link
	case tree.CharDevice:
		s.Whiteout = w.d.o.Overlay != "" && n.Dev == tree.Dev{}
	case tree.Dir:
		if w.d.o.Overlay != "" {
			v, ok, err := getXattr(at, name, w.d.o.Overlay+"opaque", w.xbuf)
			if err != nil {
				return err
			}
			s.Opaque = ok && v == "y"
		}
	}
	if w.d.o.Xattrs && !s.Whiteout {
		xattrs, err := readXattrs(at, name, w.xbuf)
		if err != nil {
			return err
		}
		n.Xattrs = xattrs
	}
	// Whiteouts share one inode, but are no links of each other.
	if s.Links > 1 && n.Type != tree.Dir && !s.Whiteout {
		if first, ok := w.first[s.Inode]; ok {
			s.Hard = first
		} else {
			if w.first == nil {
				w.first = map[Inode]tree.Path{}
			}
			w.first[s.Inode] = p
		}
	}
	return nil
}

// visit yields w.stat, which is name in at, and what is below it.
func (w *walker) visit(at int, name string) bool {
	dir, p := w.stat.Node.IsDir(), w.stat.Path
	if !w.yield(&w.stat, nil) {
		return false
	}
	if !dir || w.shallow && w.depth > 0 {
		return true
	}
	w.depth++
	defer func() { w.depth-- }()
	if name == "" {
		name = "."
	}
	fd, err := openDirAt(at, name)
	if err != nil {
		return w.fail("open directory", p, err, false)
	}
	defer unix.Close(fd)
	if w.buf == nil {
		w.buf = make([]byte, direntBuffer)
	}
	names, err := readNames(fd, w.buf, nil)
	if err != nil {
		return w.fail("read directory", p, err, false)
	}
	slices.SortFunc(names, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	prefix := string(p)
	if p != tree.Root {
		prefix += "/"
	}
	for _, e := range names {
		if e.typ == unix.DT_SOCK {
			continue
		}
		child := tree.Path(prefix + e.name)
		if w.skip != nil && e.typ != unix.DT_UNKNOWN && w.skip(child, typeOfDirent(e.typ)) {
			continue
		}
		err := w.lookup(fd, e.name, child)
		switch {
		case err == unix.ENOENT:
			continue // it went away since its directory was read
		case err != nil:
			return w.fail("lstat", child, err, false)
		case w.stat.Node.Type == 0:
			continue
		case w.skip != nil && e.typ == unix.DT_UNKNOWN && w.skip(child, w.stat.Node.Type):
			if w.first[w.stat.Inode] == child {
				delete(w.first, w.stat.Inode)
			}
			continue
		}
		if !w.visit(fd, e.name) {
			return false
		}
	}
	return true
}

// Open implements [tree.FS]. What is not a regular file is an error; nothing
// blocks and no device is touched.
func (d *Dir) Open(p tree.Path) (io.ReadCloser, error) {
	// Looked at first, since merely opening some devices does something.
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, atPath(p), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotFile
	}
	if err != nil {
		return nil, pathError("open", d.name, p, err)
	}
	fd, err := openBelow(d.fd, p, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, pathError("open", d.name, p, err)
	}
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, pathError("open", d.name, p, errNotFile)
	}
	return &file{fd: fd, name: string(p), size: st.Size}, nil
}

func atPath(p tree.Path) string {
	if p == tree.Root {
		return "."
	}
	return string(p)
}

// readlink reads the target of the symlink name in at; size is a guess.
func readlink(at int, name string, size int) (string, error) {
	for size = max(size+1, 64); ; size *= 2 {
		buf := make([]byte, size)
		n, err := retry(func() (int, error) { return unix.Readlinkat(at, name, buf) })
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// nodeOf is what a layer says of a file but for its link target and attributes.
// A socket has no type.
func nodeOf(st *unix.Stat_t) tree.Node {
	n := tree.Node{
		Mode:  tree.Mode(st.Mode) & tree.ModeMask,
		UID:   int(st.Uid),
		GID:   int(st.Gid),
		MTime: time.Unix(st.Mtim.Unix()),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Type, n.Size = tree.File, st.Size
	case unix.S_IFDIR:
		n.Type = tree.Dir
	case unix.S_IFLNK:
		n.Type = tree.Symlink
	case unix.S_IFIFO:
		n.Type = tree.Fifo
	case unix.S_IFCHR:
		n.Type = tree.CharDevice
	case unix.S_IFBLK:
		n.Type = tree.BlockDevice
	}
	if n.Type == tree.CharDevice || n.Type == tree.BlockDevice {
		dev := uint64(st.Rdev) //nolint:unconvert // its width depends on the architecture
		n.Dev = tree.Dev{Major: unix.Major(dev), Minor: unix.Minor(dev)}
	}
	return n
}

func typeOfDirent(t uint8) tree.Type {
	switch t {
	case unix.DT_REG:
		return tree.File
	case unix.DT_DIR:
		return tree.Dir
	case unix.DT_LNK:
		return tree.Symlink
	case unix.DT_FIFO:
		return tree.Fifo
	case unix.DT_CHR:
		return tree.CharDevice
	case unix.DT_BLK:
		return tree.BlockDevice
	}
	return 0
}

// Plain implements [Plain].
func (d *Dir) Plain() (dir string, ok bool) { return d.name, d.o.Skip == nil && d.o.Overlay == "" }

func (d *Dir) String() string { return fmt.Sprintf("directory %s", d.name) }
