package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// Retry is how often and how patiently a request is repeated that failed for a
// reason which may pass: no answer, a broken connection, 408, 429 or a 5xx. A
// zero field means its default.
type Retry struct {
	// Tries is how often something is attempted in all; default 5. 1 means once.
	Tries int
	// Wait is the pause after the first failure, doubled after each further one
	// up to a minute, and varied by a fifth so that builds which failed together do
	// not come back together; default 500ms. A registry's Retry-After counts
	// instead if it is longer, up to five minutes.
	Wait time.Duration
	// Stall is how long a registry may be silent, before it answers a question
	// or amid a blob either way, until the connection is given up; default one
	// minute. To take in what it was sent, or to delete, it may need ten times as long.
	Stall time.Duration
	// Longest is how long a registry may ask to be left alone. If it asks for longer,
	// that is a refusal. The default is to wait whatever is asked, up to five minutes.
	Longest time.Duration
}

type retryKey struct{}

type triesKey struct{}

// counted has its requests tried as often as the user said.
type counted struct {
	inner http.RoundTripper
	tries int
}

func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	return c.inner.RoundTrip(req.WithContext(context.WithValue(req.Context(), triesKey{}, c.tries)))
}

// retry is how often and how patiently what is done with a registry is repeated.
func (c *Client) retry(r role) Retry {
	retry := c.cfg.Retry
	retry.Tries = c.cfg.Options.retries(r).or(retry.Tries)
	return retry
}

// WithRetry has what is asked and sent under the context repeated no more often, and
// no more patiently, than r says: where an answer is worth less than a long wait for
// it. How a layer is read is for the client.
func WithRetry(ctx context.Context, r Retry) context.Context {
	return context.WithValue(ctx, retryKey{}, r.fill())
}

// under is r, or less if the context says so.
func (r Retry) under(ctx context.Context) Retry {
	if tries, ok := ctx.Value(triesKey{}).(int); ok {
		r.Tries = tries
	}
	if c, ok := ctx.Value(retryKey{}).(Retry); ok {
		return Retry{min(r.Tries, c.Tries), min(r.Wait, c.Wait), min(r.Stall, c.Stall), c.Longest}
	}
	return r
}

// refuses tells whether a registry asked for more than it is given.
func (r Retry) refuses(asked time.Duration) bool { return r.Longest > 0 && asked > r.Longest }

// intake is how many times longer a registry may be silent that has been sent
// something, or asked to delete: some check and copy it before they answer, and Docker's
// registry reads every tag there is, and leaves tags without anything if it is stopped.
const intake = 10

const (
	maxWait       = time.Minute
	maxRetryAfter = 5 * time.Minute
)

func (r Retry) fill() Retry {
	if r.Tries <= 0 {
		r.Tries = 5
	}
	if r.Wait <= 0 {
		r.Wait = 500 * time.Millisecond
	}
	if r.Stall <= 0 {
		r.Stall = time.Minute
	}
	return r
}

// pause waits before the try that follows the given number of failed ones, but
// at least as long as the registry asked for.
func (r Retry) pause(ctx context.Context, failed int, asked time.Duration) error {
	wait := r.Wait << min(failed-1, 16)
	if wait <= 0 || wait > maxWait {
		wait = maxWait
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
	wait = max(wait, min(asked, maxRetryAfter))
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryAfter reads a Retry-After header; zero if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return min(time.Duration(min(s, 1<<20))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// passing tells whether a status may be another one next time.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		499, 520, 521, 522, 523, 524: // of nginx and Cloudflare: the connection behind them broke
		return true
	}
	return false
}

// broken tells whether err is a connection that broke or never answered, as
// opposed to one that was refused or that said no.
func broken(err error) bool {
	var (
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		author x509.UnknownAuthorityError
		dns    *net.DNSError
		op     *net.OpError
		nerr   net.Error
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &record), errors.As(err, &verify), errors.As(err, &author):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary || dns.IsTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return op.Timeout()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return true
	case errors.As(err, &nerr) && nerr.Timeout():
		return true
	}
	// net/http keeps these types to itself.
	s := err.Error()
	return strings.Contains(s, "http2: ") || strings.Contains(s, "stream error") || strings.Contains(s, "server closed idle connection") ||
		strings.Contains(s, "connection lost")
}

// refused tells whether nobody was there to talk to.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// silenceError is a registry that took a question and did not answer.
type silenceError struct{ after time.Duration }

func (e silenceError) Error() string { return "no answer within " + e.after.String() }
func (e silenceError) Timeout() bool { return true }

// Temporary is there to make silenceError a net.Error.
func (e silenceError) Temporary() bool { return true }

// retrying repeats requests that can be repeated: those without a body and those
// that can make it again. The others are for who sends them to repeat.
type retrying struct {
	inner http.RoundTripper
	retry Retry
	pace  *Pace // nil for none

	mu   sync.Mutex
	seen map[string]bool // hosts that have answered
}

func (t *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	retry := t.retry.under(ctx)
	bodyless := req.Body == nil || req.Body == http.NoBody
	if s, ok := req.Body.(*piece); ok && !s.take() {
		return nil, errSpent
	}
	for failed := 0; ; {
		// Outside of once, where to wait would count as silence of the registry.
		leave, err := t.pace.enter(ctx, req.URL.Host)
		if err != nil {
			return nil, err
		}
		resp, err := t.once(attempted(req, failed), retry.Stall)
		leave(resp)
		if err == nil && !passing(resp.StatusCode) && !limited(resp) {
			return resp, nil
		}
		failed++
		if failed >= retry.Tries || ctx.Err() != nil || !(bodyless || req.GetBody != nil) {
			return resp, err
		}
		var asked time.Duration
		if err == nil {
			if asked = rest(resp.Header, time.Now()); retry.refuses(asked) {
				return resp, nil
			}
			io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection can serve again
			resp.Body.Close()
		} else if !broken(err) && !(refused(err) && t.answered(req.URL.Host)) {
			return nil, err
		}
		if err := retry.pause(ctx, failed, asked); err != nil {
			return nil, err
		}
	}
}

// attemptKey is that of a context which says how often its request was sent before.
type attemptKey struct{}

func attempted(req *http.Request, before int) *http.Request {
	if before == 0 {
		return req
	}
	return req.WithContext(context.WithValue(req.Context(), attemptKey{}, before))
}

// Attempt is how often the request with this context was sent before, for those who
// look at requests from below.
func Attempt(ctx context.Context) int {
	n, _ := ctx.Value(attemptKey{}).(int)
	return n
}

func (t *retrying) once(req *http.Request, patience time.Duration) (*http.Response, error) {
	// Always a body of its own: go-containerregistry sends a request again after
	// renewing its token, and by then the first body is read and closed.
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	// A layer on its way out has a watch of its own, which knows when it is us who
	// have nothing to say.
	src, outgoing := req.Body.(*piece)
	ctx, stop := context.WithCancelCause(req.Context())
	watch := &watch{stop: stop, patience: patience}
	switch {
	case outgoing:
		src.watched(watch)
	case req.Method == http.MethodPut || req.Method == http.MethodPatch || req.Method == http.MethodDelete:
		watch.listen(intake)
	default:
		watch.listen(1)
	}
	resp, err := t.inner.RoundTrip(req.WithContext(ctx))
	watch.end()
	if err != nil {
		var silence silenceError
		if errors.As(context.Cause(ctx), &silence) {
			err = silence
		}
		stop(nil)
		return nil, err
	}
	t.note(req.URL.Host)
	resp.Body = &cancelBody{resp.Body, func() { stop(nil) }}
	return resp, nil
}

// watch ends a request when the other side is silent for too long.
type watch struct {
	stop     context.CancelCauseFunc
	patience time.Duration

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// listen starts to count silence, and allows for some times the usual of it.
func (w *watch) listen(times time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	after := times * w.patience
	w.timer = time.AfterFunc(after, func() { w.stop(silenceError{after}) })
}

// talk says that silence is ours for the time being.
func (w *watch) talk() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) end() {
	w.talk()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

func (t *retrying) note(host string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = make(map[string]bool)
	}
	t.seen[host] = true
}

func (t *retrying) answered(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[host]
}

type cancelBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
