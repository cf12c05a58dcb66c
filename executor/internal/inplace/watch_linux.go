package inplace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// watching is how the driver learns from the kernel what a command did, so that it
// needs not look at all of the root.
type watching struct {
	// never says why it is not done at all; empty if it is.
	never string
	watch *disk.Watch // nil while there are no stamps
	// held are the paths that were left out when stamps were taken.
	held []tree.Path
}

// baseline makes the stamps say how the root is now, and the watch begin there.
func (d *Driver) baseline(ctx context.Context) error {
	if err := d.protect.refresh(); err != nil {
		return err
	}
	refresh := d.refresh
	if d.stamps == nil {
		refresh = d.lookAtAll
	}
	if err := refresh(ctx); err != nil {
		return err
	}
	d.touched = map[tree.Path]bool{}
	d.past.counted(d.stamps)
	return d.settled(ctx)
}

// lookAtAll takes stamps of the whole root.
func (d *Driver) lookAtAll(ctx context.Context) error {
	if err := d.listen(); err != nil {
		return err
	}
	diff, err := d.root.Scan(ctx, d.scan(), nil)
	if err != nil {
		return err
	}
	d.stamps = diff.Stamps
	return d.listening()
}

// listen makes a watch, if that is of use here, in the stead of any that there is.
func (d *Driver) listen() error {
	if err := d.unwatch(); err != nil || d.watching.never != "" {
		return err
	}
	// No file has names on both sides of a mount.
	w, err := d.root.NewWatch(d.protect.mounted)
	if err != nil {
		d.watching.never = err.Error()
		return nil
	}
	d.watching.watch = w
	return nil
}

// listening completes a watch with which all of the root has just been looked at. It
// is dropped for good where it cannot be complete.
func (d *Driver) listening() error {
	w := d.watching.watch
	if w == nil {
		return nil
	}
	d.watching.held = d.protect.held()
	// Commands can give files of the root names in what no image has, and change them
	// by these.
	for _, p := range d.watching.held {
		if err := w.Aside(p); err != nil {
			return err
		}
	}
	if err := w.Err(); err != nil {
		d.watching.never = err.Error()
		return d.unwatch()
	}
	return nil
}

// unwatch ends the watch.
func (d *Driver) unwatch() error {
	w := d.watching.watch
	d.watching.watch = nil
	if w == nil {
		return nil
	}
	return w.Close()
}

// refresh brings the stamps up to date with the layers that were applied since.
func (d *Driver) refresh(ctx context.Context) error {
	w := d.watching.watch
	var marked []tree.Path
	if w != nil {
		marked = w.Idle()
		if !slices.Equal(d.watching.held, d.protect.held()) {
			w.Doubt("mounts came or went")
		}
	}
	if len(d.touched) > 0 {
		dirs := make([]tree.Path, 0, len(d.touched))
		for p := range d.touched {
			dirs = append(dirs, p)
		}
		stamps, err := d.root.Refresh(ctx, d.scan(), d.stamps, dirs)
		if err != nil {
			return err
		}
		d.stamps = stamps
	}
	if w == nil {
		return nil
	}
	for _, p := range marked {
		if !d.touched[p.Parent()] { // it was not the driver
			w.Again(p)
		}
	}
	return w.Confirm()
}

// changes is what differs from the stamps.
func (d *Driver) changes(ctx context.Context) (disk.Diff, error) {
	if err := d.protect.refresh(); err != nil {
		return disk.Diff{}, err
	}
	why := d.watching.never
	if w := d.watching.watch; w != nil {
		m := w.Take()
		why = m.Unsure
		if why == "" && !slices.Equal(d.watching.held, d.protect.held()) {
			why = "mounts came or went"
		}
		if why == "" {
			l, err := d.root.Look(ctx, d.scan(), d.stamps, m.Entries)
			if err != nil {
				return disk.Diff{}, err
			}
			if why = l.Unsure; why == "" {
				d.debug(fmt.Sprintf("looked at %d of %d entries: of %d directories the kernel told nothing else", l.Entries, l.Stamps.Len(), w.Dirs()))
				return l.Diff, nil
			}
		}
	}
	diff, err := d.root.Scan(ctx, d.scan(), d.stamps)
	if err != nil {
		return diff, err
	}
	d.debug(fmt.Sprintf("looked at all %d entries: %s", diff.Stamps.Len(), why))
	return diff, d.listening()
}

func (d *Driver) debug(text string) {
	if d.o.Debug != nil {
		d.o.Debug(text)
	}
}

// deaf says why the kernel does not tell enough of what commands do; empty if it does.
func deaf(dir string, q quirks) (string, error) {
	if q.silentXattr {
		return "this kernel is not Linux", nil
	}
	for _, why := range []func() string{deafKernel, deafRoot, powerful} {
		if s := why(); s != "" {
			return s, nil
		}
	}
	return deafTest(dir)
}

// Kernels before these lose events: a directory's watch when the directory falls out
// of a cache (overlayfs, 4.16; others are not tried that old), and writes by
// io_uring (5.18).
const (
	oldestKernel  = 5<<8 | 4
	oldestIOURing = 5<<8 | 18
)

func deafKernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	var major, minor int
	release := unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return "kernel " + release + " is not known"
	}
	switch version := major<<8 | min(minor, 255); {
	case version < oldestKernel:
		return "kernel " + release + " is too old"
	case version < oldestIOURing:
		// Without a place to put anything this fails, if not for another reason first.
		if _, _, err := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); err != unix.ENOSYS && err != unix.EPERM {
			return "kernel " + release + " does not tell of writes by io_uring"
		}
	}
	return ""
}

// deafRoot looks at the root's file system: what others than this kernel see to, or
// what it merely passes on, may change otherwise.
func deafRoot() string {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return err.Error()
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return ""
	}
	return fmt.Sprintf("the root's file system (%#x) is not known to tell", uint32(st.Type))
}

// powerful reports whether commands can change files in ways that no directory is
// told of: through a device that a file is behind, or by a handle.
func powerful() string {
	for _, c := range []struct {
		number uintptr
		name   string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}} {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c.number, 0, 0, 0); err != nil || has != 0 {
			return "commands have " + c.name + ", and can change files unseen"
		}
	}
	return ""
}

// deafTest does what commands do and sees whether it is told of.
func deafTest(dir string) (why string, err error) {
	at, err := os.MkdirTemp(dir, ".probe-")
	if err != nil {
		return "", fmt.Errorf("probe watching: %w", err)
	}
	defer func() { err = errors.Join(err, disk.Remove(at)) }()
	acts := []struct {
		name string
		do   func(path string) error
	}{
		{"write", func(p string) error { return os.WriteFile(p, []byte("2"), 0o600) }},
		{"memory", writeMapped},
		{"truncate", func(p string) error { return os.Truncate(p, 0) }},
		{"chmod", func(p string) error { return os.Chmod(p, 0o640) }},
		{"utimes", func(p string) error { return os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)) }},
		{"unlink", os.Remove},
	}
	for _, a := range acts {
		if err := os.WriteFile(filepath.Join(at, a.name), []byte("1"), 0o600); err != nil {
			return "", fmt.Errorf("probe watching: %w", err)
		}
	}
	fsys, err := disk.Open(at, disk.Options{})
	if err != nil {
		return "", err
	}
	defer fsys.Close()
	w, err := fsys.NewWatch(nil)
	if err != nil {
		return err.Error(), nil
	}
	defer w.Close()
	if _, err := fsys.Scan(context.Background(), disk.Scan{Watch: w}, nil); err != nil {
		return "", err
	}
	if err := w.Err(); err != nil {
		return err.Error(), nil
	}
	for _, a := range acts {
		if err := a.do(filepath.Join(at, a.name)); err != nil {
			return fmt.Sprintf("%s cannot be tried: %v", a.name, err), nil
		}
	}
	m := w.Take()
	for _, a := range acts {
		if !slices.Contains(m.Entries, tree.Path(a.name)) {
			return "this kernel does not tell of " + a.name, nil
		}
	}
	return m.Unsure, nil
}

// writeMapped changes a file through memory alone.
func writeMapped(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	b[0]++
	return unix.Munmap(b)
}
