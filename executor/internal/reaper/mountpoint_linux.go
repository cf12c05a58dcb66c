package reaper

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ensure gives the mode of what is to be a mount point. A path that is missing in
// the root it makes, with the directories leading to it, and remembers to take all
// of it away again without a trace; the mode is then 01777. A link that leads
// nowhere is left and what it names is made.
func (p *initProcess) ensure(path string, isFile bool) (mode uint32, err error) {
	var st unix.Stat_t
	switch err := unix.Stat(path, &st); {
	case err == nil && isFile && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return 0, errors.New("there is a directory, where a file is to be")
	case err == nil && !isFile && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return 0, errors.New("there is a file, where a directory is to be")
	case err == nil:
		return st.Mode & 0o7777, nil
	case err != unix.ENOENT:
		return 0, err
	}
	const open = 0o1777
	return open, p.makePoint(path, isFile)
}

// makePoint makes a path that is missing.
func (p *initProcess) makePoint(path string, isFile bool) error {
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
	if _, err := p.ensure(filepath.Dir(path), false); err != nil {
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
	for unix.Unmount(name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil {
	}
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
