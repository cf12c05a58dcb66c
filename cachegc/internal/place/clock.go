package place

import (
	"net/http"
	"sync"
	"time"
)

// Clock learns from answers how far the clocks of registries are from ours.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	skew map[string]time.Duration // by host
}

// NewClock compares with a clock, such as time.Now.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now, skew: map[string]time.Duration{}} }

// Wrap has the clock learn from what passes through a transport.
func (c *Clock) Wrap(inner http.RoundTripper) http.RoundTripper { return &clocked{inner, c} }

// Skew is by how much the clock of the registry of a place, whose name is given, is ahead
// of ours; 0 if it did not say. The header Date has whole seconds.
func (c *Clock) Skew(host string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew[host]
}

type clocked struct {
	inner http.RoundTripper
	clock *Clock
}

func (t *clocked) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if said, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.clock.mu.Lock()
		t.clock.skew[req.URL.Host] = said.Sub(t.clock.now().Truncate(time.Second))
		t.clock.mu.Unlock()
	}
	return resp, nil
}
