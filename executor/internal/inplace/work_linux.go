package inplace

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// work is the directory of the build's own files, which a command that is root can remove.
type work struct {
	path string
	was  unix.Stat_t
}

// newWork remembers which directory it is. Without a path there is nothing to remember.
func newWork(path string) (work, error) {
	w := work{path: path}
	if path == "" {
		return w, nil
	}
	if err := unix.Lstat(path, &w.was); err != nil {
		return w, fmt.Errorf("look at %s: %w", path, err)
	}
	return w, nil
}

// check looks whether it is still there.
func (w work) check() error {
	if w.path == "" {
		return nil
	}
	var is unix.Stat_t
	if err := unix.Lstat(w.path, &is); err != nil || is.Dev != w.was.Dev || is.Ino != w.was.Ino {
		return &removedError{w.path}
	}
	return nil
}

// removedError is a command that has taken away what the build goes on with.
type removedError struct{ path string }

func (e *removedError) Error() string {
	return fmt.Sprintf("the command has removed %s, where the executor keeps the layers of this build", e.path)
}

// ExitCode is that of a Dockerfile which is wrong.
func (*removedError) ExitCode() int { return 65 }

// Hint says what helps.
func (*removedError) Hint() string {
	return "in place, the executor's directory is in the root of the commands: leave it alone, move it with --kaniko-dir, or build with --isolation=namespaces"
}
