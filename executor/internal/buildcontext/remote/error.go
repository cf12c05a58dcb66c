package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Redact is a URL as it may be shown: without user and password, and with only
// the names of its query's parameters, since signed addresses carry their secret
// there. Of a text that is no URL it keeps what cannot be either.
func Redact(source string) string {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" {
		scheme, rest, ok := strings.Cut(source, "://")
		if !ok {
			scheme, rest = "", source
		} else {
			scheme += "://"
		}
		rest, _, _ = strings.Cut(rest, "?")
		if i := strings.LastIndexByte(rest, '@'); i >= 0 && ok {
			rest = rest[i+1:]
		}
		return scheme + rest
	}
	u.User = nil
	if u.RawQuery != "" {
		parts := strings.Split(u.RawQuery, "&")
		for i, part := range parts {
			if name, _, ok := strings.Cut(part, "="); ok {
				parts[i] = name + "=…"
			} else {
				parts[i] = "…" // a token by itself, perhaps
			}
		}
		u.RawQuery = strings.Join(parts, "&")
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// An Error is a file that could not be fetched or kept.
type Error struct {
	URL string // redacted
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("fetch %s: %v", e.URL, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_UNAVAILABLE unless the cause has one.
func (e *Error) ExitCode() int {
	var inner interface{ ExitCode() int }
	if errors.As(e.Err, &inner) {
		return inner.ExitCode()
	}
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		return 74
	}
	return 69
}

// Hint says what may help.
func (e *Error) Hint() string {
	var verify *tls.CertificateVerificationError
	var inner interface{ Hint() string }
	var op *net.OpError
	switch {
	case errors.As(e.Err, &inner):
		return inner.Hint()
	case errors.As(e.Err, &verify):
		return "have SSL_CERT_FILE name the certificate of the authority that signed the server's"
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
		return ""
	case errors.As(e.Err, &op) && op.Op == "dial":
		return "check the address, and HTTPS_PROXY, HTTP_PROXY and NO_PROXY if the network has a proxy"
	}
	return ""
}

// A StatusError is an answer that is not the file.
type StatusError struct {
	URL    string // redacted
	Status int    // as in HTTP
	Tries  int    // how often it was asked for
	Via    string // the host that said so, if the one asked redirected there
}

func (e *StatusError) Error() string {
	who := "the server"
	if e.Via != "" {
		who = e.Via + ", to which the server redirects,"
	}
	text := fmt.Sprintf("fetch %s: %s answered %d %s", e.URL, who, e.Status, http.StatusText(e.Status))
	if e.Tries > 1 {
		text += fmt.Sprintf(" %d times", e.Tries)
	}
	return strings.TrimSpace(text)
}

// ExitCode tells missing credentials and what may pass from what is not there.
func (e *StatusError) ExitCode() int {
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return 77
	case passing(e.Status):
		return 75
	}
	return 69
}

// Hint says what may help.
func (e *StatusError) Hint() string {
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return "the file may need credentials: fetch it in a RUN with a secret mounted"
	case e.Status == http.StatusNotFound || e.Status == http.StatusGone:
		return "check the address: nothing is there, or not without credentials"
	}
	return ""
}

// A ChecksumError is a file that is not the one which was meant.
type ChecksumError struct {
	URL       string // redacted
	Want, Got string // with their algorithm
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("fetch %s: its checksum is %s, and not %s", e.URL, e.Got, e.Want)
}

// ExitCode is EX_DATAERR.
func (e *ChecksumError) ExitCode() int { return 65 }

// Hint says what it may mean.
func (e *ChecksumError) Hint() string {
	return "the file is not the one that the Dockerfile's author saw: find out why before you write the new checksum"
}
