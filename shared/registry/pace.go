package registry

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// rounds is how many times as many requests as may be under way have to go well before
// one more may be.
const rounds = 8

// maxRest is the longest that a host is left alone for once it asks for that.
const maxRest = time.Hour

// Pace is how fast a program asks registries, all its requests to one host together:
// no more often than a rate, no more at a time than the host seems to bear, and not at
// all while it wants to be left alone. How many at a time is halved when a host says
// that it is too much, and grows by one for some rounds of requests that went well.
type Pace struct {
	every time.Duration // between two requests, 0 for no rate
	most  int

	mu     sync.Mutex
	hosts  map[string]*paced
	waited time.Duration
}

// paced is what is known of one host.
type paced struct {
	window  float64 // how many requests at a time
	under   int     // way
	next    time.Time
	rest    time.Time     // when it may be asked again
	cut     time.Time     // when window was last halved
	changed chan struct{} // closed when a request ends
}

// NewPace allows qps requests a second to each host, 0 for any number, and most of them
// at a time, at least 1.
func NewPace(qps float64, most int) *Pace {
	p := &Pace{most: max(most, 1), hosts: map[string]*paced{}}
	if qps > 0 {
		p.every = time.Duration(float64(time.Second) / qps)
	}
	return p
}

// Waited is for how long requests were held back so far, all added up.
func (p *Pace) Waited() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waited
}

// RestError is a host that wants to be left alone for longer than there is time.
type RestError struct {
	Host  string
	Until time.Time
}

func (e *RestError) Error() string {
	return fmt.Sprintf("%s is not to be asked before %s", e.Host, e.Until.UTC().Format(time.RFC3339))
}

// ExitCode is that of something that may go well another time.
func (e *RestError) ExitCode() int { return exitTryAgain }

// Hint says what would help.
func (e *RestError) Hint() string {
	return "run it again then, ask less often, or use credentials with a higher limit"
}

// enter waits until a host may be asked. What it returns is to be called with the answer,
// nil if there was none, as soon as its header is there: to read the body counts for
// nothing, since who reads one may ask for something else meanwhile.
func (p *Pace) enter(ctx context.Context, host string) (leave func(*http.Response), err error) {
	if p == nil {
		return func(*http.Response) {}, nil
	}
	for {
		now := time.Now()
		wait, changed, err := p.try(ctx, host, now)
		switch {
		case err != nil:
			return nil, err
		case wait <= 0 && changed == nil:
			return func(resp *http.Response) { p.leave(host, now, resp) }, nil
		}
		err = await(ctx, wait, changed)
		p.mu.Lock()
		p.waited += time.Since(now)
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// await ends after wait, if that is not 0, or when changed is closed.
func await(ctx context.Context, wait time.Duration, changed <-chan struct{}) error {
	var after <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-after:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// try takes a place among those who ask a host, or says how long, or for what, to wait.
func (p *Pace) try(ctx context.Context, host string, now time.Time) (time.Duration, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[host]
	if h == nil {
		h = &paced{window: float64(p.most), changed: make(chan struct{})}
		p.hosts[host] = h
	}
	if wait := h.rest.Sub(now); wait > 0 {
		if end, ok := ctx.Deadline(); ok && end.Before(h.rest) {
			return 0, nil, &RestError{Host: host, Until: h.rest}
		}
		return wait, nil, nil
	}
	if h.under >= int(h.window) {
		return 0, h.changed, nil
	}
	if wait := h.next.Sub(now); wait > 0 {
		return wait, nil, nil
	}
	h.under++
	h.next = now.Add(p.every)
	return 0, nil, nil
}

// leave learns from the answer to a request that began at a time.
func (p *Pace) leave(host string, began time.Time, resp *http.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[host]
	h.under--
	close(h.changed)
	h.changed = make(chan struct{})
	if resp == nil {
		return
	}
	now := time.Now()
	if until := now.Add(min(rest(resp.Header, now), maxRest)); until.After(h.rest) && until.After(now) {
		h.rest = until
	}
	switch {
	case limited(resp):
		// Of requests that were under way together, the first says it for all.
		if began.Before(h.cut) {
			return
		}
		h.window, h.cut = max(h.window/2, 1), now
	case resp.StatusCode < http.StatusInternalServerError:
		h.window = min(h.window+1/(rounds*h.window), float64(p.most))
	}
}

// limited tells whether an answer is that there were too many requests. GitHub says so
// with 403 as well.
func limited(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusForbidden:
		return rest(resp.Header, time.Now()) > 0
	}
	return false
}

// rest is for how long a host wants to be left alone: Retry-After of RFC 9110, or the
// headers of what is left of a limit and when it begins anew, as GitHub and Docker Hub
// have them with a time, and the draft "RateLimit header fields for HTTP" with seconds.
func rest(h http.Header, now time.Time) time.Duration {
	if after := retryAfter(h, now); after > 0 {
		return after
	}
	for _, prefix := range []string{"X-RateLimit-", "RateLimit-"} {
		left, _, _ := strings.Cut(h.Get(prefix+"Remaining"), ";")
		reset, err := strconv.ParseInt(strings.TrimSpace(h.Get(prefix+"Reset")), 10, 64)
		if strings.TrimSpace(left) != "0" || err != nil || reset < 0 {
			continue
		}
		if at := time.Unix(reset, 0); reset > 1e9 { // seconds to wait for are fewer than since 1970
			return max(at.Sub(now), 0)
		}
		return time.Duration(min(reset, 1<<20)) * time.Second
	}
	return 0
}
