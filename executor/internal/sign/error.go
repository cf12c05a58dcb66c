package sign

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Exit codes that errors of this package ask for, after sysexits.
const (
	exitData        = 65
	exitNoInput     = 66
	exitUnavailable = 69
	exitUnsigned    = 76 // sysexits has it for a partner who does not keep to the protocol
	exitCredentials = 77
	exitConfig      = 78
)

// Error is something that is needed to sign, and that is not usable.
type Error struct {
	Attempt string // such as "read the key cosign.key"
	Err     error
	code    int
	hint    string
}

func (e *Error) Error() string { return e.Attempt + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ExitCode says what kind of thing it is.
func (e *Error) ExitCode() int { return e.code }

// Hint says what may help; empty if nothing comes to mind.
func (e *Error) Hint() string { return e.hint }

// UnsignedError is an image that was pushed, and that could not be signed.
type UnsignedError struct {
	Image   name.Digest
	What    string // that was to be signed: "the image", or a kind of attestation of it
	Command string // that does it afterwards, as the user would type it; empty if none does
	Err     error
}

func (e *UnsignedError) Error() string {
	return fmt.Sprintf("sign %s: %v; %s is pushed", e.What, e.cause(), e.Image.Name())
}

// cause is what went wrong in one line: sigstore's own errors have whole answers of
// servers in them.
func (e *UnsignedError) cause() string {
	s := strings.Join(strings.Fields(e.Err.Error()), " ")
	if len(s) > maxCause {
		s = strings.ToValidUTF8(s[:maxCause], "") + "…"
	}
	return s
}

const maxCause = 500 // bytes

func (e *UnsignedError) Unwrap() error { return e.Err }

// ExitCode is one that says that the image is there all the same.
func (e *UnsignedError) ExitCode() int { return exitUnsigned }

// Hint says how to go on without another build.
func (e *UnsignedError) Hint() string {
	var inner interface{ Hint() string }
	var first string
	if errors.As(e.Err, &inner) {
		first = inner.Hint()
	}
	if e.Command == "" {
		return first
	}
	if first != "" {
		first += "; then "
	}
	return first + "sign it without another build: " + e.Command
}
