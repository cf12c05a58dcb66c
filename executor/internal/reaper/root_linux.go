package reaper

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// enter makes the root and switches to it, and makes the working directory dir.
// Sources of binds are opened before, targets are found from inside, where no link
// of the image can lead out.
func (p *initProcess) enter(r Root, dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return &SetupError{Step: "make mounts private", Err: err}
	}
	mounts := append(slices.Clip(r.Mounts), r.Last...)
	sources, err := openSources(mounts, r.At)
	defer closeAll(sources)
	if err != nil {
		return err
	}
	// On top of what the sources needed at the same place.
	if err := r.Overlay.Mount(r.At); err != nil {
		return err
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
	for i, m := range mounts {
		if i == len(r.Mounts) {
			if err := makeWorkingDir(dir); err != nil {
				return err
			}
		}
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
	lower := make([]string, len(o.Lower))
	for i, name := range o.Lower {
		if !strings.ContainsAny(name, `:,\`) {
			lower[i] = name
			continue
		}
		// A name that means something in the options is told by its descriptor.
		fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &SetupError{Step: "open " + name, Err: err}
		}
		defer unix.Close(fd)
		lower[i] = descriptor + strconv.Itoa(fd)
	}
	data := "lowerdir=" + strings.Join(lower, ":")
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
	isFile := false
	if m.Type == "bind" || m.Type == "file" {
		if source == nil {
			return &SetupError{Step: step, Err: os.ErrNotExist}
		}
		st, err := source.Stat()
		if err != nil {
			return &SetupError{Step: step, Err: err}
		}
		isFile = !st.IsDir()
	}
	mode, err := p.ensure(m.Target, isFile)
	if err != nil {
		return &SetupError{Step: "make " + m.Target, Err: err}
	}
	switch m.Type {
	case "restrict":
		if err := unix.Mount(m.Target, m.Target, "", unix.MS_BIND|m.Flags&unix.MS_REC, ""); err != nil {
			return &SetupError{Step: step, Err: err}
		}
		return restrict(m)
	case "bind", "file":
		// The old root's /proc leads to the opened source.
		from := strings.TrimPrefix(descriptor, "/") + strconv.Itoa(int(source.Fd()))
		if err := unix.Mount(from, m.Target, "", unix.MS_BIND|m.Flags&unix.MS_REC, ""); err != nil {
			return &SetupError{Step: step, Err: err}
		}
		return restrict(m)
	}
	data := m.Data
	if len(data) == 0 {
		data = []string{""}
	}
	for _, d := range data {
		if m.Alike {
			d = strings.TrimPrefix(fmt.Sprintf("%s,mode=%o", d, mode), ",")
		}
		if err = unix.Mount(m.Type, m.Target, m.Type, m.Flags, d); err == nil {
			return nil
		}
	}
	return &SetupError{Step: step, Err: err}
}

// descriptor leads, with a number, to an open file, by a link that the kernel
// follows by itself.
const descriptor = "/proc/self/fd/"

// makeWorkingDir is done by root, so that a user whom its parents shut out can
// still be put there, as container runtimes do.
func makeWorkingDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &SetupError{Step: "make the working directory", Err: err, Dockerfile: errors.Is(err, unix.ENOTDIR)}
	}
	return nil
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
	// What is mounted below has flags of its own.
	var attr unix.MountAttr
	for _, f := range []struct {
		flag uintptr
		attr uint64
	}{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY}, {unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV}, {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	} {
		if m.Flags&f.flag != 0 {
			attr.Attr_set |= f.attr
		}
	}
	if m.Flags&unix.MS_REC == 0 || attr.Attr_set == 0 {
		return nil
	}
	err := unix.MountSetattr(unix.AT_FDCWD, m.Target, unix.AT_RECURSIVE, &attr)
	if err != nil && err != unix.ENOSYS { // Linux 5.12
		return &SetupError{Step: step, Err: err}
	}
	return nil
}
