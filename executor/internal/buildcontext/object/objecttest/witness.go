package objecttest

import (
	"net/http"
	"sync"
)

// A Witness sees requests.
type Witness struct {
	Base http.RoundTripper // nil is [http.DefaultTransport]
	mu   sync.Mutex
	seen []*http.Request
}

// RoundTrip implements [http.RoundTripper].
func (w *Witness) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.seen = append(w.seen, req)
	w.mu.Unlock()
	if w.Base == nil {
		return http.DefaultTransport.RoundTrip(req)
	}
	return w.Base.RoundTrip(req)
}

// Each is what f has of each request so far.
func (w *Witness) Each(f func(*http.Request) string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]string, len(w.seen))
	for i, req := range w.seen {
		all[i] = f(req)
	}
	return all
}

// Conditions tells whether the requests are one without a condition and then some
// with one and the same.
func (w *Witness) Conditions(f func(*http.Request) string) bool {
	all := w.Each(f)
	for i, c := range all {
		if (c == "") != (i == 0) || i > 0 && c != all[1] {
			return false
		}
	}
	return len(all) > 1
}
