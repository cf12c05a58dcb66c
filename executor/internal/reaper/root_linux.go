package reaper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// enter makes the root and switches to it. Sources of binds are opened before,
// targets are found from inside, where no link of the image can lead out.
func (p *initProcess) enter(r Root) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return &SetupError{Step: "make mounts private", Err: err}
	}
	if err := r.Overlay.Mount(r.At); err != nil {
		return err
	}
	sources := make([]*os.File, len(r.Mounts))
	for i, m := range r.Mounts {
		if m.Type != "bind" {
			continue
		}
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			if m.Optional {
				continue
			}
			return &SetupError{Step: "open " + m.Source, Err: err}
		}
		sources[i] = os.NewFile(uintptr(fd), m.Source)
		defer sources[i].Close()
	}

	old, err := unix.Open("/", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &SetupError{Step: "open the old root", Err: err}
	}
	defer unix.Close(old)
	// For the time of mounting, absolute paths lead into the new root, and
	// relative ones, from the working directory, into the old. The old root must
	// not be mounted on the new one meanwhile, as it is between pivot_root and
	// umount: ".." in a link of the image would then lead to it.
	if err := unix.Chroot(r.At); err != nil {
		return &SetupError{Step: "chroot", Err: err}
	}
	if err := unix.Fchdir(old); err != nil {
		return &SetupError{Step: "return to the old root", Err: err}
	}
	for i, m := range r.Mounts {
		if err := p.mount(m, sources[i]); err != nil && !m.Optional {
			return err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return &SetupError{Step: "return to the old root", Err: err}
	}

	if err := unix.Chdir(r.At); err != nil {
		return &SetupError{Step: "enter the new root", Err: err}
	}
	// With both arguments the same, the old root comes to lie on top of the new
	// one: no directory is needed in the image to put it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return &SetupError{Step: "pivot_root", Err: err}
	}
	if err := unix.Fchdir(old); err != nil {
		return &SetupError{Step: "return to the old root", Err: err}
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return &SetupError{Step: "leave the old root", Err: err}
	}
	if err := unix.Chdir("/"); err != nil {
		return &SetupError{Step: "enter the new root", Err: err}
	}
	return nil
}

// Mount mounts the overlay at an existing directory. It changes the working
// directory of the whole process and leaves it at o.Dir.
func (o Overlay) Mount(at string) error {
	if err := unix.Chdir(o.Dir); err != nil {
		return &SetupError{Step: "enter " + o.Dir, Err: err}
	}
	data := "lowerdir=" + strings.Join(o.Lower, ":")
	if o.Upper != "" {
		data += ",upperdir=" + o.Upper + ",workdir=" + o.Work
	}
	if o.Options != "" {
		data += "," + o.Options
	}
	if len(data) >= os.Getpagesize() {
		return &SetupError{Step: "mount overlay", Err: fmt.Errorf("%d layers are more than one mount can take", len(o.Lower)),
			Help: "join RUN instructions, or use --single-snapshot"}
	}
	if err := unix.Mount("overlay", at, "overlay", o.Flags, data); err != nil {
		return &SetupError{Step: "mount overlay", Err: err}
	}
	return nil
}

// mount makes one mount; the working directory is the old root.
func (p *initProcess) mount(m Mount, source *os.File) error {
	step := "mount " + m.Target
	if m.Existing {
		if _, err := os.Stat(m.Target); err != nil {
			return nil
		}
	}
	if m.Type == "symlink" {
		if err := os.Symlink(m.Source, m.Target); err != nil && !errors.Is(err, os.ErrExist) {
			return &SetupError{Step: "make link " + m.Target, Err: err}
		}
		return nil
	}
	if m.Type == "bind" && source == nil {
		return &SetupError{Step: step, Err: os.ErrNotExist}
	}
	if err := p.ensure(m.Target, m.File); err != nil {
		return &SetupError{Step: "make " + m.Target, Err: err}
	}
	switch m.Type {
	case "restrict":
		if err := unix.Mount(m.Target, m.Target, "", unix.MS_BIND|m.Flags&unix.MS_REC, ""); err != nil {
			return &SetupError{Step: step, Err: err}
		}
		return restrict(m)
	case "bind":
		// The old root's /proc leads to the opened source, through a link that the
		// kernel follows by itself.
		from := "proc/self/fd/" + strconv.Itoa(int(source.Fd()))
		if err := unix.Mount(from, m.Target, "", unix.MS_BIND|m.Flags&unix.MS_REC, ""); err != nil {
			return &SetupError{Step: step, Err: err}
		}
		return restrict(m)
	}
	data := m.Data
	if len(data) == 0 {
		data = []string{""}
	}
	var err error
	for _, d := range data {
		if err = unix.Mount(m.Type, m.Target, m.Type, m.Flags, d); err == nil {
			return nil
		}
	}
	return &SetupError{Step: step, Err: err}
}

// restrict gives a bind its flags, which the kernel takes only in a second step.
func restrict(m Mount) error {
	if m.Flags&^unix.MS_REC == 0 {
		return nil
	}
	step := "restrict mount " + m.Target
	var st unix.Statfs_t
	if err := unix.Statfs(m.Target, &st); err != nil {
		return &SetupError{Step: step, Err: err}
	}
	// What the source has may be locked, and then must be asked for again.
	const keep = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_RDONLY
	flags := m.Flags&^unix.MS_REC | uintptr(st.Flags)&keep
	if err := unix.Mount("", m.Target, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		return &SetupError{Step: step, Err: err}
	}
	if m.Flags&unix.MS_REC == 0 || m.Flags&unix.MS_RDONLY == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	err := unix.MountSetattr(unix.AT_FDCWD, m.Target, unix.AT_RECURSIVE, &attr)
	if err != nil && err != unix.ENOSYS { // Linux 5.12
		return &SetupError{Step: step, Err: err}
	}
	return nil
}

// ensure makes a path that is missing in the root, with the directories leading
// to it, and remembers to take all of it away again without a trace. A link that
// leads nowhere is left and what it names is made.
func (p *initProcess) ensure(path string, isFile bool) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	const maxLinks = 40
	for range maxLinks {
		link, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return err
			}
			link = filepath.Join(dir, link)
		}
		path = filepath.Clean(link)
	}
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := p.ensure(filepath.Dir(path), false); err != nil {
		return err
	}

	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	var before unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &before); err != nil {
		dir.Close()
		return err
	}
	name := filepath.Base(path)
	if isFile {
		var fd int
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		unix.Close(fd)
	} else {
		err = unix.Mkdirat(int(dir.Fd()), name, 0o755)
	}
	if err != nil {
		dir.Close()
		return err
	}
	setMTime(dir, before.Mtim)
	p.undo = append(p.undo, func() {
		defer dir.Close()
		takeAway(dir, name, isFile)
	})
	return nil
}

// takeAway removes what ensure made, and what may still be mounted on it. A
// directory that meanwhile holds something stays, as does a file with content.
func takeAway(dir *os.File, name string, isFile bool) {
	fd := int(dir.Fd())
	unix.Fchdir(fd)
	unix.Unmount(name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	var before, st unix.Stat_t
	if unix.Fstat(fd, &before) != nil || unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return
	}
	flags := unix.AT_REMOVEDIR
	if isFile {
		if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != 0 {
			return
		}
		flags = 0
	}
	if unix.Unlinkat(fd, name, flags) == nil {
		setMTime(dir, before.Mtim)
	}
}

func setMTime(dir *os.File, t unix.Timespec) {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, t}
	unix.UtimesNanoAt(int(dir.Fd()), ".", times, 0)
}
