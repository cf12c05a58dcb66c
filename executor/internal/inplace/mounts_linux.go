package inplace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// mounts is what is in place for one command. Nobody may mount here, so what lies
// at a target is renamed away for that time, and what is to be seen there instead
// is renamed, copied or linked to it.
type mounts struct {
	d    *Driver
	user string                        // the command's, as in a USER instruction
	undo []func(context.Context) error // newest last
	// within are where earlier mounts of the command are: what lies there is not the
	// runtime's, whatever is mounted above.
	within []tree.Path
	// moved tells of the machine's directories that were moved where they are now.
	moved map[string]string
}

// put makes the mounts. What it has made when it fails, takeBack undoes too.
func (m *mounts) put(ctx context.Context, list []sandbox.Mount) error {
	m.moved = map[string]string{}
	if err := m.d.protect.refresh(); err != nil {
		return err
	}
	for _, mount := range list {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := m.one(ctx, mount); err != nil {
			return fmt.Errorf("mount %s: %w", mount.Target.Abs(), err)
		}
	}
	return nil
}

// takeBack undoes everything, also where some of it fails.
func (m *mounts) takeBack(ctx context.Context) error {
	var errs []error
	for i := len(m.undo) - 1; i >= 0; i-- {
		errs = append(errs, m.undo[i](ctx))
	}
	if len(m.undo) > 0 {
		// Not empty if something could not be undone: the next start tries again.
		_ = os.Remove(m.d.path(journalName))
		_ = os.Remove(asideRoot)
	}
	m.undo = nil
	return errors.Join(errs...)
}

// one makes one mount.
func (m *mounts) one(ctx context.Context, mount sandbox.Mount) (err error) {
	target, err := tree.Resolve(m.d.root, mount.Target)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	exists := unix.Lstat(target.Abs(), &st) == nil
	if err := m.allowed(target, exists); err != nil {
		return err
	}
	if exists {
		if err := fits(mount, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
			return err
		}
	}
	if err := m.way(target.Parent()); err != nil {
		return err
	}
	p, err := m.place(target)
	if err != nil {
		return err
	}
	m.undo = append(m.undo, func(ctx context.Context) error {
		return m.d.unseen(target.Parent(), func() error { return p.takeAway(ctx) })
	})
	if p.mode = 0o1777; exists { // as the kernel makes one; or what users of the image expect
		p.mode = st.Mode & 0o7777
	}
	m.within = append(m.within, target)
	return m.d.unseen(target.Parent(), func() error { return p.put(ctx, mount, exists) })
}

// put makes the mount; hide says that something is there.
func (p *placed) put(ctx context.Context, mount sandbox.Mount, hide bool) (err error) {
	// The directory shall look as if nothing had happened in it.
	defer func() { err = errors.Join(err, p.at.restore(p.at.before.Mtim)) }()
	if hide {
		if err := p.hide(); err != nil {
			return err
		}
	}
	p.ours = true
	return p.fill(ctx, mount)
}

// unseen changes the entries of the directory dir in a way that is undone before
// anybody asks what a command changed. If nothing else has changed in dir's own
// looks, the stamps go on to say that nothing has.
func (d *Driver) unseen(dir tree.Path, change func() error) error {
	known, err := d.stamped(dir)
	if err != nil {
		return err
	}
	err = change()
	if known {
		err = errors.Join(err, d.root.Restamp(d.scan(), d.stamps, dir))
	}
	return err
}

// stamped reports whether the entry p looks as the stamps say.
func (d *Driver) stamped(p tree.Path) (bool, error) {
	if d.stamps == nil {
		return false, nil
	}
	return d.root.Stamped(d.scan(), d.stamps, p)
}

// fits is an error where the kernel would not mount either.
func fits(mount sandbox.Mount, onDir bool) error {
	switch isDir := mount.Dir != nil || mount.Tmpfs != nil; {
	case mount.Files != nil: // it is seen when it is copied
		from, err := tree.Resolve(mount.Files.FS, mount.Files.From)
		if err != nil {
			return err
		}
		e, err := tree.Stat(mount.Files.FS, from)
		if err != nil {
			return fmt.Errorf("find %s: %w", mount.Files.From.Abs(), err)
		}
		isDir = e.Node.IsDir()
		fallthrough
	default:
		if isDir && !onDir {
			return unix.ENOTDIR
		}
		if !isDir && onDir {
			return unix.EISDIR
		}
	}
	return nil
}

// allowed is an error if nothing may be put at target.
func (m *mounts) allowed(target tree.Path, exists bool) error {
	pr := m.d.protect
	for _, p := range m.within {
		if target.Within(p) {
			return nil
		}
	}
	switch {
	case target == tree.Root || pr.all.in[target]:
		return &targetError{why: "it belongs to the container that the build runs in"}
	case pr.leads(target):
		return &targetError{why: "something in it belongs to the container that the build runs in"}
	case target.Within(m.d.dir) || target.Within(procPath) || target.Within(sysPath):
		return &targetError{why: "all in /" + target.Components()[0] + " belongs to the container that the build runs in"}
	case exists && pr.covers(target):
		return &targetError{why: "what is there is no part of the image, and is not moved away"}
	}
	return nil
}

// targetError says that nothing can be mounted somewhere.
type targetError struct{ why string }

func (e *targetError) Error() string { return "in place that is not possible: " + e.why }

// ExitCode is that of what this machine does not allow.
func (e *targetError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *targetError) Hint() string {
	return "mount somewhere else, or build where --isolation=namespaces works"
}

// way makes the directories that lead to a target, for the time of the command.
func (m *mounts) way(dir tree.Path) error {
	switch st, err := os.Lstat(dir.Abs()); {
	case err == nil && !st.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir.Abs(), Err: unix.ENOTDIR}
	case err == nil:
		return nil
	}
	if err := m.way(dir.Parent()); err != nil {
		return err
	}
	at, err := openEntry(dir)
	if err != nil {
		return err
	}
	err = m.d.unseen(dir.Parent(), func() error {
		err := unix.Mkdirat(at.fd(), at.name, 0o755)
		if err == nil {
			err = unix.Fchmodat(at.fd(), at.name, 0o755, 0) // whatever the umask
		}
		return errors.Join(err, at.restore(at.before.Mtim))
	})
	if err != nil {
		return errors.Join(&fs.PathError{Op: "mkdir", Path: dir.Abs(), Err: err}, at.close())
	}
	m.undo = append(m.undo, func(context.Context) error {
		defer at.close()
		return m.d.unseen(dir.Parent(), at.unmake)
	})
	return nil
}

// entry is a name in an open directory, wherever that is moved to.
type entry struct {
	dir  *os.File
	name string
	// What the directory was before anything was done to it.
	before unix.Stat_t
	names  string
}

func openEntry(p tree.Path) (e entry, err error) {
	e.name = p.Base()
	if e.dir, err = os.Open(p.Parent().Abs()); err != nil {
		return e, err
	}
	if e.before, err = e.stat(); err == nil {
		e.names, err = e.list()
	}
	if err != nil {
		err = errors.Join(err, e.close())
	}
	return e, err
}

func (e entry) fd() int { return int(e.dir.Fd()) }

// path is for calls that know no open directories.
func (e entry) path() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(e.fd()), e.name)
}

func (e entry) stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(e.fd(), &st)
	return st, err
}

// list is the names in the directory, in order.
func (e entry) list() (string, error) {
	if _, err := e.dir.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	names, err := e.dir.Readdirnames(-1)
	slices.Sort(names)
	return strings.Join(names, "/"), err
}

// end gives the directory the time that it had just now, before a mount was taken
// from it. Where the command did that itself, which with a mount is not possible,
// and did nothing else to the directory, it is the time of before the command.
func (e entry) end(now unix.Stat_t, deleted bool) error {
	if deleted {
		if names, err := e.list(); err == nil && names == e.names {
			now = e.before
		}
	}
	return e.restore(now.Mtim)
}

// restore sets the directory's time of modification.
func (e entry) restore(t unix.Timespec) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, t}
	err := unix.UtimesNanoAt(e.fd(), ".", times, 0)
	if err != nil && err != unix.ENOENT { // the directory itself is deleted
		return fmt.Errorf("restore the time of a mount's directory: %w", err)
	}
	return nil
}

// unmake removes a directory that was made to lead to a mount, unless the command
// put something into it.
func (e entry) unmake() error {
	now, err := e.stat()
	if err != nil {
		return err
	}
	err = unix.Unlinkat(e.fd(), e.name, unix.AT_REMOVEDIR)
	if err != nil && err != unix.ENOENT {
		return nil
	}
	return e.end(now, err != nil)
}

// where is the directory now.
func (e entry) where() string {
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(e.fd()))
	if err != nil {
		return ""
	}
	return dir
}

func (e entry) close() error { return e.dir.Close() }

// placed is one mount in place.
type placed struct {
	m      *mounts
	target tree.Path
	at     entry
	note   *note
	// thing is what was put there, found again wherever the command moves it; nil if
	// nothing was.
	thing *os.File
	// known says that what was at the target was as the stamps say, hidden how it
	// looked once it was put aside.
	known  bool
	hidden unix.Stat_t
	mode   uint32       // that an empty directory is to have
	ours   bool         // nothing is at the target that was there before
	wipe   bool         // overwrite it
	stop   func() error // ends who serves it
	cache  *cache       // where it is to be taken back to; nil if it is not
	// copies is set for a copy that may be of use again.
	copies *copies
}

// place begins a mount at target.
func (m *mounts) place(target tree.Path) (*placed, error) {
	at, err := openEntry(target)
	if err != nil {
		return nil, err
	}
	n, err := m.d.newNote(target)
	if err != nil {
		return nil, errors.Join(err, at.close())
	}
	return &placed{m: m, target: target, at: at, note: n}, nil
}

// asideRoot is where things are put aside that cannot be renamed into the driver's
// own directory, since that is on another file system than the root.
const asideRoot = "/.kaniko-mounts"

// hide puts aside what is at the target.
func (p *placed) hide() (err error) {
	if p.known, err = p.m.d.stamped(p.target); err != nil {
		return err
	}
	for _, dir := range []string{p.note.dir, filepath.Join(asideRoot, p.note.name()), p.sibling()} {
		p.note.Aside = filepath.Join(dir, "aside")
		if err := p.note.write(); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		err = unix.Renameat(p.at.fd(), p.at.name, unix.AT_FDCWD, p.note.Aside)
		if err == nil {
			return unix.Lstat(p.note.Aside, &p.hidden)
		}
		if dir != p.note.dir {
			_ = os.Remove(dir)
		}
		if err != unix.EXDEV {
			break
		}
	}
	p.note.Aside = ""
	return fmt.Errorf("put aside what is there: %w", err)
}

// sibling is a name beside the target that nobody else uses.
func (p *placed) sibling() string {
	return p.target.Parent().Join(".kaniko-mount-" + p.note.name()).Abs()
}

// fill puts there what is to be seen.
func (p *placed) fill(ctx context.Context, mount sandbox.Mount) (err error) {
	path := p.target.Abs()
	switch {
	case mount.Files != nil:
		err = p.files(ctx, mount.Files)
	case mount.Dir != nil && mount.ReadOnly:
		// What is written to it must be lost.
		err = p.copyDir(ctx, mount.Dir.Path)
	case mount.Dir != nil:
		err = p.directory(ctx, mount.Dir)
	case mount.Tmpfs != nil:
		if mount.Tmpfs.Size > 0 {
			p.m.d.warn("tmpfs size", "a tmpfs mount is a directory on disk here: its size is not limited (said once)")
		}
		if err = os.Mkdir(path, 0o700); err == nil {
			err = unix.Chmod(path, p.mode)
		}
	case mount.File != nil:
		p.wipe = true
		err = mountsource.WriteSecret(path, mount.File)
	case mount.Socket != nil:
		p.stop, err = mountsource.Listen(ctx, path, mount.Socket)
	default:
		err = errors.New("there is nothing to mount")
	}
	if err != nil {
		return err
	}
	return p.hold()
}

// hold remembers what is there now.
func (p *placed) hold() error {
	fd, err := unix.Openat(p.at.fd(), p.at.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.thing = os.NewFile(uintptr(fd), p.target.Abs())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	p.note.Dev, p.note.Ino = uint64(st.Dev), st.Ino
	return p.note.write()
}

// takeAway makes the target what it was before.
func (p *placed) takeAway(ctx context.Context) (err error) {
	defer func() {
		if p.thing != nil {
			p.thing.Close()
		}
		p.at.close()
		if err != nil {
			err = fmt.Errorf("take away the mount at %s: %w", p.target.Abs(), err)
		}
	}()
	now, err := p.at.stat()
	if err != nil {
		return err
	}
	path, found := p.find()
	deleted := p.thing != nil && !(found && filepath.Dir(path) == p.at.where() && filepath.Base(path) == p.at.name)
	var errs []error // that do not keep the rest from being done
	if p.stop != nil {
		errs = append(errs, p.stop())
	}
	if p.cache != nil {
		if err := p.cache.takeBack(ctx, p); err != nil {
			return err // and leave all of it: the cache may be there still
		}
	}
	if p.copies != nil {
		p.putBy(ctx)
	}
	if p.thing != nil && p.wipe {
		errs = append(errs, wipe(p.thing))
	}
	if path, ok := p.find(); ok {
		if err := disk.Remove(path); err != nil {
			return err
		}
	}
	// If the command deleted the directory, what was in it went too.
	if p.ours && now.Nlink > 0 {
		if err := p.uncover(); err != nil {
			return err
		}
	}
	errs = append(errs, p.note.close(), p.at.end(now, deleted))
	return errors.Join(errs...)
}

// uncover puts back what was at the target, in the stead of whatever the command
// put there: that is no more part of a layer than the mount was.
func (p *placed) uncover() error {
	if err := disk.Remove(p.at.path()); err != nil {
		return err
	}
	if p.note.Aside == "" {
		return nil
	}
	var st unix.Stat_t
	err := unix.Lstat(p.note.Aside, &st)
	if err == nil {
		err = unix.Renameat(unix.AT_FDCWD, p.note.Aside, p.at.fd(), p.at.name)
	}
	if err != nil {
		return fmt.Errorf("put back what was there: %w", err)
	}
	st.Atim = p.hidden.Atim
	if !p.known || st != p.hidden || !exists(p.target.Abs()) {
		return nil
	}
	return p.m.d.root.Restamp(p.m.d.scan(), p.m.d.stamps, p.target)
}

// find says where the thing put at the target is now, if it is anywhere.
func (p *placed) find() (string, bool) {
	if p.thing == nil {
		return "", false
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(p.thing.Fd())))
	if err != nil {
		return "", false
	}
	var is, at unix.Stat_t
	ok := unix.Fstat(int(p.thing.Fd()), &is) == nil && unix.Lstat(path, &at) == nil && is.Dev == at.Dev && is.Ino == at.Ino
	return path, ok
}

// wipe overwrites a file, under whatever other names it may have.
func wipe(f *os.File) error {
	w, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer w.Close()
	st, err := w.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return err
	}
	zeros := make([]byte, 4<<10)
	for n := st.Size(); n > 0; n -= int64(len(zeros)) {
		if _, err := w.Write(zeros[:min(n, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return w.Sync()
}
