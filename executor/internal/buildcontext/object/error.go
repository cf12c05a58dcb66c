package object

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// An Error is an object that could not be opened or read.
type Error struct {
	Attempt string // "open", say
	Address string // names bucket and object, and no secret
	Err     error
	Code    int // exit code; 0 is found out from Err
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Attempt, e.Address, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_UNAVAILABLE unless the cause has one.
func (e *Error) ExitCode() int {
	var inner interface{ ExitCode() int }
	switch {
	case e.Code != 0:
		return e.Code
	case errors.As(e.Err, &inner):
		return inner.ExitCode()
	}
	return 69
}

// Hint says what may help.
func (e *Error) Hint() string {
	var verify *tls.CertificateVerificationError
	var inner interface{ Hint() string }
	var op *net.OpError
	var name x509.HostnameError
	switch {
	case errors.As(e.Err, &inner):
		return inner.Hint()
	case errors.As(e.Err, &name):
		return "check the address: the server there has another name"
	case errors.As(e.Err, &verify):
		return "have SSL_CERT_FILE name the certificate of the authority that signed the store's"
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		return ""
	case errors.As(e.Err, &op) && op.Op == "dial":
		return "check the address, and HTTPS_PROXY, HTTP_PROXY and NO_PROXY if the network has a proxy"
	}
	return ""
}

// An AnswerError is what a store said instead of sending the object.
type AnswerError struct {
	Status  int    // as in HTTP
	Code    string // the store's own word, if it has one
	Message string // the store's explanation, if it gave one
	Exit    int    // exit code; 0 is found out from Status
	Remedy  string // what may help, if anything is known to
}

// maxMessage is how many bytes of an explanation are repeated.
const maxMessage = 300

func (e *AnswerError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("the store answered %d %s", e.Status, http.StatusText(e.Status)))
	if e.Code != "" && strings.ReplaceAll(http.StatusText(e.Status), " ", "") != e.Code {
		text += ", " + e.Code
	}
	message, _, _ := strings.Cut(strings.TrimSpace(e.Message), "\n")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	if message = strings.TrimSpace(message); message != "" && message != http.StatusText(e.Status) {
		text += ": " + strings.TrimSuffix(message, ".")
	}
	return text
}

// ExitCode tells what is not there, what may not be read and what may pass.
func (e *AnswerError) ExitCode() int {
	switch {
	case e.Exit != 0:
		return e.Exit
	case e.Status == http.StatusNotFound:
		return 66
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return 77
	case e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return 75
	}
	return 69
}

// Hint is the remedy.
func (e *AnswerError) Hint() string { return e.Remedy }

// A CredentialsError is credentials that are there but come to nothing, or none
// where some are needed.
type CredentialsError struct {
	Err    error
	Remedy string
}

func (e *CredentialsError) Error() string { return e.Err.Error() }

func (e *CredentialsError) Unwrap() error { return e.Err }

// ExitCode is EX_NOPERM.
func (e *CredentialsError) ExitCode() int { return 77 }

// Hint says where credentials are looked for.
func (e *CredentialsError) Hint() string { return e.Remedy }

// A ReplacedError is an object that became another one while it was read.
type ReplacedError struct{}

func (e *ReplacedError) Error() string { return "the object was replaced or removed while it was read" }

// ExitCode is EX_TEMPFAIL.
func (e *ReplacedError) ExitCode() int { return 75 }

// Hint says how that does not happen.
func (e *ReplacedError) Hint() string {
	return "build again; an object of its own for each build is never replaced"
}

// Cause is what an SDK's error is about, without the address that net/http puts in
// front, which is said already and may hold a signature.
func Cause(err error) error {
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the store hung up: %w", err)
	}
	return err
}
