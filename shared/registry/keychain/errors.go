package keychain

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Exit codes that errors of this package ask for, after sysexits.
const (
	exitCannotCreate = 73
	exitCredentials  = 77
	exitConfig       = 78
)

// maxReason bounds what of another's complaint is passed on, in bytes.
const maxReason = 300

// Error is credentials that are configured and cannot be had, or cannot be kept.
type Error struct {
	Path   string // of the file, or the variable, that configures them
	Helper string // the program that was asked; empty if none was
	Err    error
	verb   string // what was attempted, if it was not to read
	hint   string
	code   int
}

func (e *Error) Error() string {
	verb := e.verb
	switch {
	case e.Helper != "":
		if verb == "" {
			verb = "get credentials from"
		}
		return fmt.Sprintf("%s %s, which %s names: %v", verb, e.Helper, e.Path, e.Err)
	case verb == "":
		verb = "read credentials from"
	}
	return fmt.Sprintf("%s %s: %v", verb, e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// ExitCode is that of a faulty configuration, of refused credentials, or of a file
// that cannot be written.
func (e *Error) ExitCode() int { return e.code }

// bare is an error without the path, which is said already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// brief is what somebody said, in one line of bounded length.
func brief(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if len(said) > maxReason {
		said = strings.ToValidUTF8(said[:maxReason], "") + "…"
	}
	return said
}
