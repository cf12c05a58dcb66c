package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Exit codes that errors of this package ask for, after sysexits.
const (
	exitData        = 65
	exitUnavailable = 69
	exitOutput      = 73
	exitTryAgain    = 75
	exitCredentials = 77
)

const (
	maxErrorBody = 64 << 10
	maxExcerpt   = 200 // of an answer that is not a registry's, in bytes
)

// ErrNotFound is in the chain of an [Error] when the registry answered that it
// has no such manifest, blob or repository.
var ErrNotFound = errors.New("not found")

// ErrIncomplete is in the chain of an [Error] when the registry refused a manifest
// for want of a blob that it speaks of.
var ErrIncomplete = errors.New("the repository lacks a blob of the manifest")

// ErrTooLarge is in the chain of an [Error] when the registry has more bytes than
// whoever asked wanted to read.
var ErrTooLarge = errors.New("too large")

// errAbandoned tells those who wait for an answer that who asked went away.
var errAbandoned = errors.New("abandoned by who asked first")

// Error is a registry that could not be used for what was wanted.
type Error struct {
	Attempt    string // such as "pull debian:12"
	Host       string // as it was addressed, with the port if it has one
	Repository string // at that host
	Status     int    // of HTTP; 0 if there was no answer
	// Credentials says where those in use came from, never what they are; empty
	// if there were none.
	Credentials string
	// Tried is where credentials were looked for before, and why there were none.
	Tried []string
	// Scope is what was asked to be allowed, as registries write it, such as
	// repository:app:push,pull.
	Scope string
	Err   error
}

func (e *Error) Error() string {
	var several *mirrorsError // each of which says this of itself
	if e.Status != http.StatusUnauthorized && e.Status != http.StatusForbidden || errors.As(e.Err, &several) {
		return e.Attempt + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: %v (%s; %s)", e.Attempt, e.Err, e.asked(), e.identified())
}

// asked says for what we wanted to be let in.
func (e *Error) asked() string {
	if e.Repository == "" {
		return e.Host
	}
	where := fmt.Sprintf("repository %s at %s", e.Repository, e.Host)
	var answer *statusError
	if e.Scope != "" && !(errors.As(e.Err, &answer) && answer.refused != "") {
		where += ", scope " + e.Scope
	}
	return where
}

// identified says who we said we were.
func (e *Error) identified() string {
	switch {
	case e.Credentials != "":
		return "credentials from " + e.Credentials
	case len(e.Tried) > 0:
		return "no credentials; tried " + strings.Join(e.Tried, "; ")
	}
	return "no credentials"
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the status a program should end with when this stopped it.
func (e *Error) ExitCode() int {
	var inner interface{ ExitCode() int }
	switch {
	case errors.As(e.Err, &inner):
		return inner.ExitCode()
	case errors.Is(e.Err, ErrImmutable):
		return exitOutput
	case e.limited():
		return exitTryAgain
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return exitCredentials
	case e.Status != 0 && passing(e.Status):
		return exitTryAgain
	case e.Status == 0 && broken(e.Err):
		return exitTryAgain
	}
	return exitUnavailable
}

// limited tells whether the host said that it was asked too often.
func (e *Error) limited() bool {
	var s *statusError
	return e.Status == http.StatusTooManyRequests || errors.As(e.Err, &s) && s.limited && s.status != http.StatusServiceUnavailable
}

// Hint is what might help, in a sentence; empty if nothing comes to mind.
func (e *Error) Hint() string {
	var inner interface{ Hint() string }
	if errors.As(e.Err, &inner) {
		return inner.Hint()
	}
	var (
		unknown x509.UnknownAuthorityError
		wrong   x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		ended   *hungUpError
		dns     *net.DNSError
	)
	switch {
	case errors.Is(e.Err, ErrImmutable):
		return "give the image a tag that is not there yet, or --push-ignore-immutable-tag-errors to leave the one that is"
	case errors.Is(e.Err, ErrUnsupported):
		return fmt.Sprintf("have deletion allowed at %s (Docker's registry: REGISTRY_STORAGE_DELETE_ENABLED=true), or use its own way to expire images", e.Host)
	case errors.Is(e.Err, ErrLocked):
		return "it stays until the registry's own rules let it go"
	case errors.Is(e.Err, ErrReferenced):
		return "delete first what refers to it"
	case e.limited():
		return fmt.Sprintf("%s limits how often it may be asked; credentials usually raise the limit", e.Host)
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		if e.Credentials == "" {
			return fmt.Sprintf("put credentials for %s into config.json of $DOCKER_CONFIG, as executor login does", e.Host)
		}
		if e.Repository == "" {
			return fmt.Sprintf("check the user and the password for %s", e.Host)
		}
		return fmt.Sprintf("the credentials for %s came from %s; check that they may use %s", e.Host, e.Credentials, e.Repository)
	case e.Status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("a proxy in front of %s limits the size of uploads; raise its limit (nginx: client_max_body_size)", e.Host)
	case errors.Is(e.Err, ErrNotFound):
		return "check the spelling of the name and the tag; some registries also answer so when credentials are missing"
	case errors.As(e.Err, &unknown), errors.As(e.Err, &wrong), errors.As(e.Err, &invalid):
		return fmt.Sprintf("name a file with its certificate authority in --registry-certificate=%s=FILE, or give --skip-tls-verify-registry=%s", e.Host, e.Host)
	case errors.As(e.Err, &ended), alert(e.Err) != nil && strings.Contains(e.Err.Error(), "certificate"):
		return fmt.Sprintf("%s asks for a certificate that it knows; name yours with --registry-client-cert=%s=CERT,KEY", e.Host, e.Host)
	case errors.Is(e.Err, http.ErrSchemeMismatch), errors.As(e.Err, &record) && strings.Contains(e.Err.Error(), "HTTP response"):
		return fmt.Sprintf("%s speaks plain HTTP; allow it with --insecure-registry=%s", e.Host, e.Host)
	case errors.As(e.Err, &dns):
		return fmt.Sprintf("check the name %s, and the DNS of this machine", e.Host)
	case refused(e.Err):
		return fmt.Sprintf("nothing listens at %s, or a proxy is needed (HTTPS_PROXY)", e.Host)
	}
	return ""
}

// Unreachable reports whether err is of a registry that could not be reached, or that
// could not answer: one that may know the answer another time.
func Unreachable(err error) bool {
	var e *Error
	var dns *net.DNSError
	switch {
	case !errors.As(err, &e):
		return false
	case e.Status != 0:
		return passing(e.Status)
	}
	return broken(e.Err) || refused(e.Err) || errors.As(e.Err, &dns)
}

// ReferenceError is a name of an image that is not one.
type ReferenceError struct {
	Ref string
	Err error
}

func (e *ReferenceError) Error() string { return fmt.Sprintf("read reference %q: %v", e.Ref, e.Err) }
func (e *ReferenceError) Unwrap() error { return e.Err }

// ExitCode is that of wrong input.
func (e *ReferenceError) ExitCode() int { return exitData }

// CorruptError is content that is not what its digest and size promise.
type CorruptError struct {
	Want     v1.Hash
	Got      v1.Hash // zero if the size was wrong already
	WantSize int64   // in bytes
	GotSize  int64   // in bytes; WantSize+1 stands for any more
}

func (e *CorruptError) Error() string {
	if e.WantSize != e.GotSize {
		return fmt.Sprintf("content of %s is corrupt: %d bytes instead of %d", e.Want, e.GotSize, e.WantSize)
	}
	return fmt.Sprintf("content of %s is corrupt: its digest is %s", e.Want, e.Got)
}

// ExitCode is that of a source out of reach: what is there is something else.
func (e *CorruptError) ExitCode() int { return exitUnavailable }

// PlatformError is an image that exists, but not for the platform wanted.
type PlatformError struct {
	Want v1.Platform
	Have []v1.Platform
}

func (e *PlatformError) Error() string {
	have := make([]string, len(e.Have))
	for i, p := range e.Have {
		have[i] = p.String()
	}
	if len(have) == 0 {
		return fmt.Sprintf("no image for platform %s, nor for any other", e.Want)
	}
	return fmt.Sprintf("no image for platform %s; there is %s", e.Want, strings.Join(have, ", "))
}

// Hint names the way to ask for another platform.
func (e *PlatformError) Hint() string {
	return "give a platform that the image has, with --platform in FROM or on the command line"
}

// statusError is an answer other than the one hoped for.
type statusError struct {
	request string // method and address, without what might be secret
	status  int
	codes   []transport.Diagnostic
	excerpt string
	refused string // the scope a token was refused for
	after   time.Duration
	limited bool // for that there were too many requests
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.request, e.status, http.StatusText(e.status))
	for _, d := range e.codes {
		s += ": " + string(d.Code)
		if d.Message != "" {
			s += ": " + d.Message
		}
	}
	if e.excerpt != "" {
		s += ": " + e.excerpt
	}
	if e.refused != "" {
		s += ": scope " + e.refused + " was not granted"
	}
	return s
}

func (e *statusError) Is(target error) bool {
	return target == ErrNotFound && e.status == http.StatusNotFound ||
		target == ErrIncomplete && e.has(transport.ManifestBlobUnknownErrorCode) ||
		target == ErrImmutable && e.immutable() ||
		(target == ErrUnsupported || target == ErrReferenced || target == ErrLocked) && e.undeleted() == target
}

func (e *statusError) has(code transport.ErrorCode) bool {
	for _, d := range e.codes {
		if d.Code == code {
			return true
		}
	}
	return false
}

// check turns an answer whose status is not among want into an error, and
// closes it then.
func check(resp *http.Response, want ...int) error {
	for _, w := range want {
		if resp.StatusCode == w {
			return nil
		}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what could be read has to do
	e := &statusError{
		request: address(resp.Request),
		status:  resp.StatusCode,
		after:   retryAfter(resp.Header, time.Now()),
		limited: limited(resp),
	}
	var said struct {
		Errors []transport.Diagnostic `json:"errors"`
	}
	if json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 {
		e.codes = said.Errors
	} else if !strings.Contains(resp.Header.Get("Content-Type"), "html") {
		e.excerpt = excerpt(string(body))
	}
	if resp.StatusCode == http.StatusUnauthorized {
		if _, after, ok := strings.Cut(resp.Header.Get("WWW-Authenticate"), `scope="`); ok {
			e.refused, _, _ = strings.Cut(after, `"`)
		}
	}
	return e
}

// excerpt makes one short line of what somebody else wrote.
func excerpt(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxExcerpt {
		s = strings.ToValidUTF8(s[:maxExcerpt], "") + "…"
	}
	return s
}

// address is a request's method and URL without its query, which may hold a
// signature, and without user information.
func address(req *http.Request) string {
	if req == nil || req.URL == nil {
		return "request"
	}
	return fmt.Sprintf("%s %s://%s%s", req.Method, req.URL.Scheme, req.URL.Host, req.URL.Path)
}

// fail wraps err in what was attempted in which talk with a registry.
func fail(attempt string, s *session, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	var several *mirrorsError
	wrapped := errors.As(err, &done)
	if errors.As(err, &several) {
		wrapped = done.Err == error(several) // rather than one of its parts
	}
	if wrapped {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	e := &Error{
		Attempt: attempt, Host: s.repo.RegistryStr(), Repository: s.repo.RepositoryStr(),
		Credentials: s.credentials.source, Tried: s.credentials.tried, Scope: strings.Join(s.scopes, " "), Err: err, Status: status(err),
	}
	if several != nil {
		return e
	}
	// A token server's answer may be a whole page, and the address in an url.Error
	// one that a redirect led to, signature and all. Where plain HTTP was tried after
	// TLS, what went wrong with the certificate says more than what came of HTTP.
	var (
		c *tls.CertificateVerificationError
		t *transport.Error
		u *url.Error
	)
	switch {
	case errors.As(err, &c):
		e.Status, e.Err = 0, c
	case alert(err) != nil:
		e.Status, e.Err = 0, alert(err)
	case hungUp(err):
		errors.As(err, &u)
		e.Status, e.Err = 0, &hungUpError{text: reword(u), err: u}
	case errors.As(err, &t):
		said := &statusError{request: address(t.Request), status: t.StatusCode, codes: t.Errors}
		text := said.Error()
		if t.Request == nil || t.Request.URL.Path != "/v2/" {
			text = "get a token: " + text
		}
		e.Err = &reworded{text: text, err: err}
	case errors.As(err, &u):
		e.Err = &reworded{text: reword(u), err: err}
	}
	return e
}

// alert is what the other side of TLS said when it hung up, such as that it wants a
// certificate; nil if that is not what err is.
func alert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op
	}
	return nil
}

// hungUp tells whether the other side ended a connection under TLS without a word, and
// then would not be spoken to without TLS. Of a side that ends it for the want of a
// certificate, the alert that says so may be lost: it and our request cross.
func hungUp(err error) bool {
	var t *transport.Error
	var u *url.Error
	return errors.As(err, &t) && t.StatusCode == http.StatusBadRequest && t.Request != nil && t.Request.URL.Scheme == "http" &&
		errors.As(err, &u) && broken(u)
}

// hungUpError is that of a connection that was ended under TLS.
type hungUpError struct {
	text string
	err  error
}

func (e *hungUpError) Error() string {
	return e.text + ", as a server does that wants another certificate of its clients"
}
func (e *hungUpError) Unwrap() error { return e.err }

// ExitCode is that of a host that does not let us in; that it may be for another reason is
// said by the error.
func (e *hungUpError) ExitCode() int { return exitUnavailable }

type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }

func reword(u *url.Error) string {
	where := "an address that is none"
	if at, err := url.Parse(u.URL); err == nil {
		where = fmt.Sprintf("%s://%s%s", at.Scheme, at.Host, at.Path)
	}
	var inner *url.Error
	cause := u.Err.Error()
	if errors.As(u.Err, &inner) {
		cause = reword(inner)
	}
	return fmt.Sprintf("%s %s: %s", strings.ToUpper(u.Op), where, cause)
}

// status is the HTTP status in err's chain, 0 without one.
func status(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	var t *transport.Error // of a token server
	if errors.As(err, &t) {
		return t.StatusCode
	}
	return 0
}
