package disk

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Whiteouts says what a [Writer] makes of deletions.
type Whiteouts uint8

const (
	// Apply deletes what the directory holds: the directory is a whole root.
	Apply Whiteouts = iota
	// Trusted and User write overlayfs' own form, for a directory that is to be a
	// lower directory: a character device 0:0, and the attribute "opaque" with the
	// prefix [TrustedOverlay] or [UserOverlay].
	Trusted
	User
)

// WriterOptions say how a [Writer] writes.
type WriterOptions struct {
	Whiteouts Whiteouts
	// Held are paths that must stay as they are with all below them, because
	// something is mounted there: no deletion and no replacement touches them, and
	// a change at or below one is an error.
	Held []tree.Path
	// Refused is told what this machine does not let the writer make: a device
	// node, an extended attribute. If it returns nil the entry is left without;
	// if it is nil itself, such a refusal is an error.
	Refused func(Refusal) error
}

// Refusal is something that a file system or a missing right refused.
type Refusal struct {
	Path tree.Path
	What string // "device node" or an attribute's name
	// Gone is set if nothing is at Path now; otherwise it lacks only What.
	Gone bool
	Err  error
}

func (r Refusal) Error() string { return fmt.Sprintf("make %s of %s: %v", r.What, r.Path.Abs(), r.Err) }

// Unwrap gives the system's own error.
func (r Refusal) Unwrap() error { return r.Err }

// A Writer puts one stream of changes into a directory, as a layer is unpacked.
// It does what [tree.Tree] does to its nodes: whatever stands in the way of a
// parent becomes a directory, nothing is followed, and a deletion spares what the
// same stream puts, whichever comes first. Directories keep their own times, also
// those that the stream does not name.
//
// A Writer is used by one goroutine. After an error it can only be closed.
type Writer struct {
	name  string
	o     WriterOptions
	held  held
	stack []frame // the open directories from the root to where the last change was
	// put holds the hashes of all paths put (true) and of the directories that lead
	// to them (false). Hashes, because a layer may have a million paths.
	put     map[uint64]bool
	seed    maphash.Seed
	implied []tree.Path
	sum     hash.Hash64
	buf     []byte
	xbuf    []byte
	root    bool // acts as user 0, whom modes do not stop
	links   linkDir
}

// frame is an open directory.
type frame struct {
	path  tree.Path
	fd    int
	mode  uint32        // as it is on disk now
	mtime unix.Timespec // what to leave it with
	dirty bool          // mtime must be set on leaving
	chmod bool          // final must be set on leaving
	final uint32
	acl   bool // new entries inherit an access control list
	known bool // in Writer.put
}

// linkDir is the directory where the last hard link's target was.
type linkDir struct {
	path tree.Path
	fd   int
}

// writeBlock is how many bytes of a file are read and written at once. Blocks of
// zeros that are this long become holes.
const writeBlock = 64 << 10

// NewWriter opens a stream into the existing directory dir; links in dir itself
// are followed. Its own mode and owner change only if the stream puts the root.
func NewWriter(dir string, o WriterOptions) (*Writer, error) {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: dir, Err: err}
	}
	w := &Writer{
		name: dir, o: o, held: newHeld(o.Held),
		put: map[uint64]bool{}, seed: maphash.MakeSeed(),
		sum: tree.NewFingerprint(), buf: make([]byte, writeBlock), xbuf: make([]byte, 1024),
		root: unix.Geteuid() == 0, links: linkDir{fd: -1},
	}
	if err := w.push(tree.Root, fd); err != nil {
		return nil, err
	}
	return w, nil
}

// WriteAll puts the changes into dir and calls done, if not nil, for each with
// the node that it left (see [Writer.Put]).
func WriteAll(ctx context.Context, dir string, o WriterOptions, c layer.Changes, done func(layer.Change, tree.Node) error) error {
	w, err := NewWriter(dir, o)
	if err != nil {
		return err
	}
	err = func() error {
		for change, err := range c {
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := w.Put(change)
			if err != nil {
				return err
			}
			if done != nil {
				if err := done(change, n); err != nil {
					return err
				}
			}
		}
		return nil
	}()
	return errors.Join(err, w.Close())
}

// Put makes the change. It gives back the change's node as the layer says it, with
// the fingerprint of a file's content.
func (w *Writer) Put(c layer.Change) (tree.Node, error) {
	if w.held.within(c.Path) {
		return c.Node, pathError("write", w.name, c.Path, errHeld)
	}
	switch c.Kind {
	case layer.Delete:
		return c.Node, w.delete(c.Path)
	case layer.Opaque:
		return c.Node, w.opaque(c.Path)
	case layer.Put:
		return w.make(c)
	}
	return c.Node, pathError("write", w.name, c.Path, fmt.Errorf("unknown kind of change %d", c.Kind))
}

// Hold adds p to [WriterOptions.Held].
func (w *Writer) Hold(p tree.Path) {
	w.o.Held = append(slices.Clone(w.o.Held), p)
	w.held = newHeld(w.o.Held)
}

var errHeld = errors.New("the path is held by a mount")

// Implied are the directories that the stream needed and that were not there,
// unless it put them itself later: they have mode 0755, owner root and the time
// 0. A lower directory of an overlay hides by them what other layers say of
// those directories. One that no layer has at all holds only whiteouts of what is
// not there, and had better be removed.
func (w *Writer) Implied() []tree.Path {
	return slices.DeleteFunc(slices.Clone(w.implied), func(p tree.Path) bool {
		return w.put[w.hash(p)]
	})
}

// Close leaves the directories as the stream wants them. It must be called, and
// is safe to call twice.
func (w *Writer) Close() error {
	w.forgetLinks()
	var errs []error
	for len(w.stack) > 0 {
		errs = append(errs, w.pop())
	}
	return errors.Join(errs...)
}

func (w *Writer) make(c layer.Change) (tree.Node, error) {
	p, n := c.Path, c.Node
	if p == tree.Root {
		if !n.IsDir() {
			return n, &UnfitError{p, errors.New("the root must be a directory")}
		}
		if err := w.unwind(tree.Root); err != nil {
			return n, err
		}
		w.put[w.hash(p)] = true
		return n, w.dress(w.top(), n, false)
	}
	dir, err := w.enter(p.Parent(), true)
	if err != nil {
		return n, err
	}
	w.mark()
	w.put[w.hash(p)] = true
	name := p.Base()
	if c.Hard != "" {
		return n, w.link(dir, name, p, c.Hard)
	}
	switch n.Type {
	case tree.Dir:
		return n, w.mkdir(dir, name, p, n)
	case tree.File:
		sum, err := w.file(dir, name, p, c)
		n.Fingerprint = sum
		return n, err
	case tree.Symlink:
		err := w.create(dir, name, p, func() error { return unix.Symlinkat(n.Link, dir.fd, name) })
		if err != nil {
			return n, pathError("symlink", w.name, p, err)
		}
		return n, w.dressPath(dir, name, p, n)
	case tree.Fifo, tree.CharDevice, tree.BlockDevice:
		return n, w.mknod(dir, name, p, n)
	}
	return n, pathError("write", w.name, p, fmt.Errorf("unknown type of node %d", n.Type))
}

func (w *Writer) hash(p tree.Path) uint64 { return maphash.String(w.seed, string(p)) }

func (w *Writer) top() *frame { return &w.stack[len(w.stack)-1] }

// push opens a level: fd is the directory p, which was there already.
func (w *Writer) push(p tree.Path, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return pathError("stat", w.name, p, err)
	}
	f := frame{path: p, fd: fd, mode: uint32(st.Mode) & 0o7777, mtime: st.Mtim}
	if _, err := unix.Fgetxattr(fd, defaultACL, nil); err == nil {
		f.acl = true
	}
	if !w.root && f.mode&0o700 != 0o700 && p != tree.Root {
		if err := unix.Fchmod(fd, f.mode|0o700); err != nil {
			unix.Close(fd)
			return pathError("chmod", w.name, p, err)
		}
		f.chmod, f.final = true, f.mode
	}
	w.stack = append(w.stack, f)
	return nil
}

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// pop leaves the innermost open directory.
func (w *Writer) pop() error {
	f := w.top()
	defer func() {
		unix.Close(f.fd)
		w.stack = w.stack[:len(w.stack)-1]
	}()
	if f.chmod {
		if err := unix.Fchmod(f.fd, f.final); err != nil {
			return pathError("chmod", w.name, f.path, err)
		}
	}
	if f.dirty {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, f.mtime}
		at, name := f.fd, "."
		if len(w.stack) > 1 {
			at, name = w.stack[len(w.stack)-2].fd, f.path.Base()
		}
		if err := unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return pathError("set time", w.name, f.path, err)
		}
	}
	return nil
}

// unwind leaves directories until the innermost open one is dir or above it.
func (w *Writer) unwind(dir tree.Path) error {
	for !dir.Within(w.top().path) {
		if err := w.pop(); err != nil {
			return err
		}
	}
	return nil
}

// leave is unwind out of p, which is about to be replaced or removed.
func (w *Writer) leave(p tree.Path) error {
	for w.top().path != tree.Root && w.top().path.Within(p) {
		if err := w.pop(); err != nil {
			return err
		}
	}
	return nil
}

// enter opens dir. With create it makes what is missing and what is no directory;
// without, an error for which [absent] holds says that there is no such directory.
func (w *Writer) enter(dir tree.Path, create bool) (*frame, error) {
	if err := w.unwind(dir); err != nil {
		return nil, err
	}
	for w.top().path != dir {
		f := w.top()
		rest := string(dir.Rel(f.path))
		name := rest
		for i := 0; i < len(rest); i++ {
			if rest[i] == '/' {
				name = rest[:i]
				break
			}
		}
		p := dir[:len(dir)-len(rest)+len(name)]
		fd, err := openDirAt(f.fd, name)
		switch {
		case err == nil:
			if err := w.push(p, fd); err != nil {
				return nil, err
			}
		case absent(err) && create:
			if err := w.mkdir(f, name, p, tree.Node{Type: tree.Dir, Mode: 0o755}); err != nil {
				return nil, err
			}
			w.implied = append(w.implied, p)
		case absent(err):
			return nil, err
		default:
			return nil, pathError("open directory", w.name, p, err)
		}
	}
	return w.top(), nil
}

// mark notes that this stream puts something into the innermost open directory.
func (w *Writer) mark() {
	for i := len(w.stack) - 1; i > 0 && !w.stack[i].known; i-- {
		w.stack[i].known = true
		if h := w.hash(w.stack[i].path); !w.put[h] {
			w.put[h] = false
		}
	}
}

// create calls make, and once more if something stood in the way, which it
// removes.
func (w *Writer) create(dir *frame, name string, p tree.Path, make func() error) error {
	dir.dirty = true
	err := make()
	if err != unix.EEXIST {
		return err
	}
	if err := w.clear(dir, name, p); err != nil {
		return err
	}
	return make()
}

// clear removes whatever name in dir is, with all below it.
func (w *Writer) clear(dir *frame, name string, p tree.Path) error {
	if w.held.leads(p) {
		return errHeld
	}
	w.forgetLinks()
	w.implied = slices.DeleteFunc(w.implied, func(q tree.Path) bool { return q.Within(p) })
	r := remover{root: w.name}
	dir.dirty = true
	return r.at(dir.fd, name, p, unix.DT_UNKNOWN)
}

// mkdir makes the directory p, or makes the one that is there what n says, and
// leaves it open on the stack.
func (w *Writer) mkdir(dir *frame, name string, p tree.Path, n tree.Node) error {
	// It may be open: an earlier child needed it, or it is put twice.
	if err := w.leave(p); err != nil {
		return err
	}
	dir = w.top()
	mode := uint32(n.Mode) & 0o777
	if !w.root {
		mode |= 0o700 // so that children can be made
	}
	var hides bool
	err := unix.Mkdirat(dir.fd, name, mode)
	made := err == nil
	if err == unix.EEXIST {
		fd, err := openDirAt(dir.fd, name)
		if err == nil {
			if err := w.push(p, fd); err != nil {
				return err
			}
			return w.dress(w.top(), n, false)
		}
		if !absent(err) {
			return pathError("open directory", w.name, p, err)
		}
		// Something else is in the way. In a lower directory that is a whiteout or a
		// file of this same layer: what other layers have here must stay hidden.
		hides = w.o.Whiteouts != Apply
		err = unix.Unlinkat(dir.fd, name, 0)
		if err == nil {
			err = unix.Mkdirat(dir.fd, name, mode)
			made = err == nil
		}
		if err != nil {
			return pathError("make directory", w.name, p, err)
		}
	}
	if !made {
		return pathError("make directory", w.name, p, err)
	}
	dir.dirty = true
	fd, err := openDirAt(dir.fd, name)
	if err != nil {
		return pathError("open directory", w.name, p, err)
	}
	acl := dir.acl
	w.stack = append(w.stack, frame{path: p, fd: fd})
	if hides {
		if err := w.setOpaque(fd, p); err != nil {
			return err
		}
	}
	return w.dress(w.top(), n, !acl)
}

func (w *Writer) file(dir *frame, name string, p tree.Path, c layer.Change) (sum uint64, err error) {
	n := c.Node
	fd := -1
	err = w.create(dir, name, p, func() (err error) {
		fd, err = openat(dir.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, uint32(n.Mode)&0o777)
		return err
	})
	if err != nil {
		return 0, pathError("create", w.name, p, err)
	}
	defer func() {
		if e := unix.Close(fd); e != nil && err == nil {
			err = pathError("close", w.name, p, e)
		}
	}()
	w.sum.Reset()
	if err := w.fits(fd, p, n.Size); err != nil {
		return 0, err
	}
	if n.Size > 0 {
		if c.Open == nil {
			return 0, pathError("write", w.name, p, tree.ErrNoContent)
		}
		r, err := c.Open()
		if err != nil {
			return 0, err
		}
		err = w.copy(fd, p, r, n.Size)
		if e := r.Close(); err == nil && e != nil {
			err = e
		}
		if err != nil {
			return 0, err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, pathError("stat", w.name, p, err)
	}
	if dir.acl {
		_ = unix.Fremovexattr(fd, accessACL) // inherited; not there is as good
	}
	if err := w.chown(fd, p, &st, n); err != nil {
		return 0, err
	}
	// After the owner: giving a file away takes its set-id bits.
	if uint32(st.Mode)&0o7777 != uint32(n.Mode&tree.ModeMask) {
		if err := unix.Fchmod(fd, uint32(n.Mode&tree.ModeMask)); err != nil {
			return 0, pathError("chmod", w.name, p, err)
		}
	}
	// After the content and the owner: both strip security.capability.
	if err := w.setXattrs(fd, "", p, n); err != nil {
		return 0, err
	}
	return w.sum.Sum64(), w.settime(dir, name, p, n)
}

// fits refuses a file that is larger than all of its file system. Its holes would fit,
// but who says so in a layer of a few bytes has it read for hours.
func (w *Writer) fits(fd int, p tree.Path, size int64) error {
	const small = 1 << 30 // not worth the question
	if size < small {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return pathError("statfs", w.name, p, err)
	}
	// A file system that does not tell, as some remote ones, has no blocks.
	if fs.Blocks > 0 && uint64(size)/uint64(fs.Bsize) > fs.Blocks { //nolint:unconvert // its sign depends on the architecture
		return pathError("write", w.name, p, unix.ENOSPC)
	}
	return nil
}

// copy writes exactly size bytes of r, which must end there.
func (w *Writer) copy(fd int, p tree.Path, r io.Reader, size int64) error {
	var done int64
	hole := false
	for done < size {
		block := w.buf[:min(size-done, writeBlock)]
		n, err := io.ReadFull(r, block)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return pathError("write", w.name, p, fmt.Errorf("content ends after %d of %d bytes: %w", done+int64(n), size, io.ErrUnexpectedEOF))
		}
		if err != nil {
			return err
		}
		w.sum.Write(block)
		if n == writeBlock && zero(block) {
			hole = true
		} else {
			if hole {
				if _, err := unix.Seek(fd, done, io.SeekStart); err != nil {
					return pathError("seek", w.name, p, err)
				}
				hole = false
			}
			if err := writeAll(fd, block); err != nil {
				return pathError("write", w.name, p, err)
			}
		}
		done += int64(n)
	}
	if hole {
		if err := unix.Ftruncate(fd, size); err != nil {
			return pathError("truncate", w.name, p, err)
		}
	}
	// A reader that has more would leave its stream out of step.
	switch n, err := io.ReadFull(r, w.buf[:1]); {
	case n > 0:
		return pathError("write", w.name, p, fmt.Errorf("content is longer than %d bytes", size))
	case err != nil && err != io.EOF:
		return err
	}
	return nil
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := retry(func() (int, error) { return unix.Write(fd, b) })
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (w *Writer) mknod(dir *frame, name string, p tree.Path, n tree.Node) error {
	var kind uint32
	dev := int(unix.Mkdev(n.Dev.Major, n.Dev.Minor))
	switch n.Type {
	case tree.Fifo:
		kind, dev = unix.S_IFIFO, 0
	case tree.CharDevice:
		kind = unix.S_IFCHR
	case tree.BlockDevice:
		kind = unix.S_IFBLK
	}
	err := error(unix.EPERM)
	if n.Type == tree.CharDevice && dev == 0 && w.o.Whiteouts != Apply {
		// It would be taken for a whiteout: what is there goes, and it stays a ghost.
		if e := w.clear(dir, name, p); e != nil {
			return pathError("remove", w.name, p, e)
		}
	} else {
		err = w.create(dir, name, p, func() error {
			return unix.Mknodat(dir.fd, name, kind|uint32(n.Mode)&0o777, dev)
		})
	}
	if err == unix.EPERM && n.Type != tree.Fifo {
		// Whatever was there is not what the layer says: gone is nearer to it.
		if e := w.clear(dir, name, p); e != nil {
			return pathError("remove", w.name, p, e)
		}
		return w.refused(Refusal{Path: p, What: "device node", Gone: true, Err: err})
	}
	if err != nil {
		return pathError("mknod", w.name, p, err)
	}
	return w.dressPath(dir, name, p, n)
}

// link makes name in dir another name of the file at target.
func (w *Writer) link(dir *frame, name string, p, target tree.Path) error {
	if p == target {
		return nil
	}
	if target.Within(p) {
		return &UnfitError{p, fmt.Errorf("its hard link's target %s would be removed for it", target.Abs())}
	}
	err := w.create(dir, name, p, func() error {
		at, err := w.linkParent(dir, target.Parent())
		if err != nil {
			return err
		}
		return unix.Linkat(at, target.Base(), dir.fd, name, 0)
	})
	switch {
	case absent(err):
		return &UnfitError{p, fmt.Errorf("its hard link's target %s is not there", target.Abs())}
	case err == unix.EPERM && w.isDir(target):
		return &UnfitError{p, fmt.Errorf("its hard link's target %s is a directory", target.Abs())}
	case err != nil:
		return pathError("link to "+target.Abs()+" from", w.name, p, err)
	}
	return nil
}

// isDir reports whether a directory is at p.
func (w *Writer) isDir(p tree.Path) bool {
	fd, err := openBelow(w.stack[0].fd, p, unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// linkParent opens the directory p that a link's target is in; dir is where the
// link goes.
func (w *Writer) linkParent(dir *frame, p tree.Path) (int, error) {
	if p == dir.path {
		return dir.fd, nil
	}
	if w.links.fd < 0 || w.links.path != p {
		w.forgetLinks()
		fd, err := openBelow(w.stack[0].fd, p, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return -1, err
		}
		w.links = linkDir{path: p, fd: fd}
	}
	return w.links.fd, nil
}

func (w *Writer) forgetLinks() {
	if w.links.fd >= 0 {
		unix.Close(w.links.fd)
		w.links.fd = -1
	}
}
