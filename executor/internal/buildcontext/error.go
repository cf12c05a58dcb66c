package buildcontext

import (
	"errors"
	"fmt"
	"io/fs"
)

// Error is a build context, Dockerfile or ignore file that cannot be had.
type Error struct {
	What   string // empty means the build context
	Name   string
	Err    error
	Remedy string
	Code   int // exit code; 0 is that of Err, or EX_NOINPUT
}

func (e *Error) Error() string {
	what := e.What
	if what == "" {
		what = "build context"
	}
	return fmt.Sprintf("open %s %s: %v", what, e.Name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_NOINPUT unless more is known.
func (e *Error) ExitCode() int {
	var inner interface{ ExitCode() int }
	switch {
	case e.Code != 0:
		return e.Code
	case errors.As(e.Err, &inner):
		return inner.ExitCode()
	}
	return 66
}

// Hint says what to do.
func (e *Error) Hint() string {
	var inner interface{ Hint() string }
	if e.Remedy == "" && errors.As(e.Err, &inner) {
		return inner.Hint()
	}
	return e.Remedy
}

// exitUsage is the exit code of a wrong command line.
const exitUsage = 64

// reason strips a path error down to its cause: the path is said already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
