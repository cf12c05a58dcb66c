package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Retry is how often and how patiently a request is repeated. A zero field means
// its default.
type Retry struct {
	// Tries is how often something is attempted in all; default 5.
	Tries int
	// Wait is the pause after the first failure, doubled after each further one up
	// to a minute, and varied by a fifth so that builds which failed together do not
	// come back together; default 500ms. A server's Retry-After counts instead if
	// it is longer, up to five minutes.
	Wait time.Duration
	// Stall is how long a server may be silent until it is given up; default two
	// minutes.
	Stall time.Duration
}

const (
	maxWait       = time.Minute
	maxRetryAfter = 5 * time.Minute
	// maxDrain is how many bytes of an answer that nobody wants are read so that
	// its connection can serve again.
	maxDrain = 16 << 10
)

// Filled has the defaults where r has zeros.
func (r Retry) Filled() Retry {
	if r.Tries <= 0 {
		r.Tries = 5
	}
	if r.Wait <= 0 {
		r.Wait = 500 * time.Millisecond
	}
	if r.Stall <= 0 {
		r.Stall = 2 * time.Minute
	}
	return r
}

// Pause waits before the try that follows the given number of failed ones, but
// at least as long as the server asked for. The error is why ctx ended.
func (r Retry) Pause(ctx context.Context, failed int, asked time.Duration) error {
	wait := r.Wait << min(failed-1, 16)
	if wait <= 0 || wait > maxWait {
		wait = maxWait
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
	t := time.NewTimer(max(wait, min(asked, maxRetryAfter)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A Patient repeats requests that failed for a reason which may pass: no
// connection, a broken one, 408, 429 or a 5xx. What is sent again must have no
// body, or a GetBody. A server that falls silent, before or amid its answer, is
// given up.
type Patient struct {
	Base  http.RoundTripper // nil is [http.DefaultTransport]
	Retry Retry
}

// RoundTrip implements [http.RoundTripper]. The last answer is given as it is.
func (p *Patient) RoundTrip(req *http.Request) (*http.Response, error) {
	retry, ctx := p.Retry.Filled(), req.Context()
	for failed := 0; ; {
		resp, err := p.once(req, retry.Stall)
		if err == nil && !passing(resp.StatusCode) {
			return resp, nil
		}
		failed++
		repeatable := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
		if failed >= retry.Tries || ctx.Err() != nil || !repeatable || err != nil && !broken(err) && !unreachable(err) {
			return resp, err
		}
		var asked time.Duration
		if err == nil {
			asked = retryAfter(resp.Header, time.Now())
			io.CopyN(io.Discard, resp.Body, maxDrain)
			resp.Body.Close()
		}
		if err := retry.Pause(ctx, failed, asked); err != nil {
			return nil, err
		}
	}
}

func (p *Patient) once(req *http.Request, stall time.Duration) (*http.Response, error) {
	base := p.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	ctx, stop := context.WithCancelCause(req.Context())
	w := &watched{ctx: ctx, stop: stop, stall: stall}
	w.timer = time.AfterFunc(stall, func() { stop(silenceError{stall}) })
	resp, err := base.RoundTrip(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.cause(err)
		stop(nil)
		return nil, err
	}
	w.body = resp.Body
	resp.Body = w
	return resp, nil
}

// watched is a body whose server may not fall silent.
type watched struct {
	body  io.ReadCloser
	ctx   context.Context
	stop  context.CancelCauseFunc
	stall time.Duration
	timer *time.Timer
	once  sync.Once
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF {
		err = w.cause(err)
	}
	return n, err
}

func (w *watched) Close() error {
	err := w.body.Close()
	w.once.Do(func() { w.timer.Stop(); w.stop(nil) })
	return err
}

// cause is why err came about, if it was the watch that ended the request.
func (w *watched) cause(err error) error {
	var silence silenceError
	if errors.As(context.Cause(w.ctx), &silence) {
		return silence
	}
	return err
}

// silenceError is a server that took a question and did not answer.
type silenceError struct{ after time.Duration }

func (e silenceError) Error() string { return fmt.Sprintf("the server said nothing for %s", e.after) }

// retryAfter reads a Retry-After header; zero if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return time.Duration(min(s, int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// passing tells whether a status may be another one next time.
func passing(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
		status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported
}

// broken tells whether err is a connection that broke amid a conversation.
func broken(err error) bool {
	var silence silenceError
	switch {
	case errors.As(err, &silence):
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return true
	}
	// net/http keeps these types to itself.
	s := err.Error()
	return strings.Contains(s, "http2: ") || strings.Contains(s, "stream error") || strings.Contains(s, "server closed idle connection")
}

// unreachable tells whether err is a connection that did not come about, for
// another reason than that one side does not trust the other.
func unreachable(err error) bool {
	var (
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		author x509.UnknownAuthorityError
		dns    *net.DNSError
		op     *net.OpError
		nerr   net.Error
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &record), errors.As(err, &verify), errors.As(err, &author):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary || dns.IsTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return true
	}
	return errors.As(err, &nerr) && nerr.Timeout()
}
