package reaper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
)

// openSources opens what the mounts show, in their order; what needs none, and
// what is optional and missing, is nil. It returns what it has opened even with an
// error. What has to be mounted for it is mounted at stage, an empty directory.
func openSources(mounts []Mount, stage string) ([]*os.File, error) {
	sources := make([]*os.File, len(mounts))
	s := sourceStage{at: stage}
	for i, m := range mounts {
		var err error
		if sources[i], err = s.open(m); err != nil && !m.Optional {
			return sources, err
		}
	}
	return sources, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// sourceStage is a file system in memory, which nothing but binds can lead a
// command to.
type sourceStage struct {
	at string
	n  int // how much is in it
}

func (s *sourceStage) open(m Mount) (*os.File, error) {
	switch {
	case m.Type == "file":
		path, err := s.name()
		if err != nil {
			return nil, err
		}
		if err := mountsource.WriteSecret(path, m.Secret); err != nil {
			e := &SetupError{Step: "mount " + m.Target, Err: err}
			if errors.Is(err, unix.EINVAL) {
				e.Help = idHelp
			}
			return nil, e
		}
		return openPath(path)
	case m.Type != "bind":
		return nil, nil
	case m.In != "":
		return openIn(m.In, m.Source)
	case m.Overlay == nil:
		return openPath(m.Source)
	}
	path, err := s.name()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, &SetupError{Step: "mount " + m.Target, Err: err}
	}
	if err := m.Overlay.Mount(path); err != nil {
		return nil, err
	}
	return openIn(path, m.Source)
}

// name is that of something new on the stage, which is there from the first on.
func (s *sourceStage) name() (string, error) {
	if s.n == 0 {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		// Where memory may be swapped out, secrets need not be: since Linux 6.4, and
		// not in a user namespace.
		err := unix.Mount("tmpfs", s.at, "tmpfs", flags, "mode=700,noswap")
		if err != nil {
			err = unix.Mount("tmpfs", s.at, "tmpfs", flags, "mode=700")
		}
		if err != nil {
			return "", &SetupError{Step: "mount a file system in memory", Err: err}
		}
	}
	s.n++
	return filepath.Join(s.at, fmt.Sprint(s.n)), nil
}

func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &SetupError{Step: "open " + path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openIn opens a path below dir in which no links are followed.
func openIn(dir, path string) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_CLOEXEC
	fd, err := unix.Open(dir, flags, 0)
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		if err != nil {
			break
		}
		parent := fd
		fd, err = unix.Openat(parent, name, flags|unix.O_NOFOLLOW, 0)
		unix.Close(parent)
	}
	if err != nil {
		return nil, &SetupError{Step: "open " + path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if st, err := f.Stat(); err != nil || st.Mode().Type() == os.ModeSymlink {
		f.Close()
		return nil, &SetupError{Step: "open " + path, Err: errors.New("it has become a link")}
	}
	return f, nil
}
