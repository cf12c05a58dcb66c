package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"syscall"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// Code is the status that a process ends with.
type Code int

// The exit codes. A command of a RUN that fails ends the build with its own
// status instead.
const (
	OK           Code = 0
	Usage        Code = 64 // the command line
	BadData      Code = 65 // the Dockerfile
	NoInput      Code = 66 // the build context, or a file named by a flag, is not there
	Unavailable  Code = 69 // a registry or a source is out of reach
	Internal     Code = 70 // a fault of ours
	CannotCreate Code = 73 // an output cannot be written
	DiskFull     Code = 74 // no room, or the disk fails
	TryAgain     Code = 75 // may go better the next time
	Unsigned     Code = 76 // the image is pushed, and could not be signed
	NoPermission Code = 77 // credentials are missing or refused
	BadConfig    Code = 78 // a configuration file, or what this machine does not allow
	Interrupted  Code = 130
	Terminated   Code = 143
)

// Status is the error of a command that has done what it was to do, and whose answer
// is a status: that two things differ, say. Nothing is printed for it.
type Status Code

// Error implements error.
func (s Status) Error() string { return fmt.Sprintf("the answer is status %d", int(s)) }

// ExitCode is the status.
func (s Status) ExitCode() int { return int(s) }

// CodeOf is the exit code for an error. The outermost error of the chain which
// has a method ExitCode decides; else what the chain is known to mean. It is
// [Internal] if nothing says better.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if code, ok := ownCode(err); ok {
		return code
	}
	// A failing RUN. Pipelines rely on getting its status.
	var exit *sandbox.ExitError
	if errors.As(err, &exit) && exit.Status > 0 && exit.Status < 256 {
		return Code(exit.Status)
	}
	var fault *dockerfile.Error
	var unsupported *dockerfile.UnsupportedError
	if errors.As(err, &fault) || errors.As(err, &unsupported) {
		return BadData
	}
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, errno) {
			return DiskFull
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && !dns.IsTemporary {
		return Unavailable
	}
	var timeout interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return TryAgain
	}
	var op *net.OpError
	if errors.As(err, &op) || dns != nil {
		return Unavailable
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		switch {
		case errors.Is(path, fs.ErrNotExist):
			return NoInput
		case errors.Is(path, fs.ErrPermission):
			return NoPermission
		case errors.Is(path, syscall.EROFS):
			return CannotCreate
		}
	}
	return Internal
}

// ownCode finds the outermost error with an ExitCode of its own. What os/exec
// returns has such a method as well, but that is the status of a helper, not ours.
func ownCode(err error) (Code, bool) {
	if _, helper := err.(*exec.ExitError); helper {
		return 0, false
	}
	if coder, ok := err.(interface{ ExitCode() int }); ok {
		return Code(coder.ExitCode()), true
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			return ownCode(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			if code, ok := ownCode(inner); ok {
				return code, true
			}
		}
	}
	return 0, false
}
