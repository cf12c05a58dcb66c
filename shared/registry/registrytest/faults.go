package registrytest

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// FaultConfig is what [StartFaults] does to a registry's traffic.
type FaultConfig struct {
	// Registry is the host that requests are handed to.
	Registry string
	// Tokens, if set, is the server whose tokens that registry asks for. Its answers pass
	// by here, too, and tokens expire whenever the seed has them expire.
	Tokens *TokenServer
	// Seed decides all that goes wrong.
	Seed uint64
	// Event, if set, is called when a request has come and when its answer has gone,
	// from several goroutines.
	Event func(what string)
}

// Faults is a proxy before a real registry, in which things go wrong by a schedule: what
// happens to a request is decided by the seed, by what it asks for, and by how often that
// was asked for before, so that it does not depend on the order in which requests that
// are under way together arrive.
type Faults struct {
	cfg   FaultConfig
	http  *httptest.Server
	over  chan struct{} // closed at the end of the test
	quiet atomic.Bool
	mood  mood

	mu    sync.Mutex
	asked map[string]int
	done  []string
}

// mood is what a seed decides once.
type mood struct {
	rate     float64 // the share of requests that something happens to
	mounts   bool    // are never refused for good
	ranges   bool
	stubborn bool // what goes wrong goes wrong each time
	silent   bool // some requests are never answered, which costs a minute each
}

// StartFaults runs a proxy on a free loopback port until the test is over.
func StartFaults(t testing.TB, c FaultConfig) *Faults {
	t.Helper()
	random := rand.New(rand.NewPCG(c.Seed, 0))
	f := &Faults{cfg: c, over: make(chan struct{}), asked: map[string]int{}, mood: mood{
		rate: []float64{0.02, 0.05, 0.1, 0.2, 0.4}[random.IntN(5)], mounts: random.IntN(5) > 0, ranges: random.IntN(5) > 0,
		stubborn: random.IntN(8) == 0, silent: random.IntN(50) == 0,
	}}
	proxy := &httputil.ReverseProxy{
		Rewrite: f.rewrite, ModifyResponse: f.answer, FlushInterval: -1,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	f.http = httptest.NewUnstartedServer(f.handler(proxy))
	f.http.Config.ErrorLog, proxy.ErrorLog = log.New(io.Discard, "", 0), log.New(io.Discard, "", 0)
	f.http.Start()
	t.Cleanup(func() {
		close(f.over)
		f.http.CloseClientConnections()
		f.http.Close()
	})
	return f
}

// Host is the proxy's address, as it stands in references.
func (f *Faults) Host() string { return f.http.Listener.Addr().String() }

// Quiet lets everything pass from now on, or no longer.
func (f *Faults) Quiet(quiet bool) { f.quiet.Store(quiet) }

// Schedule is what went wrong so far, a line each, in the order in which it began.
func (f *Faults) Schedule() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{fmt.Sprintf("seed %d: %+v", f.cfg.Seed, f.mood)}, f.done...)
}

// Kinds counts what went wrong so far.
func (f *Faults) Kinds() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds := map[string]int{}
	for _, line := range f.done {
		_, kind, _ := strings.Cut(line, ": ")
		kinds[kind]++
	}
	return kinds
}

// mishap is what happens to one request.
type mishap struct {
	kind   string
	random *rand.Rand
}

type mishapKey struct{}

// The kinds of mishaps.
const (
	tooMany    = "429"
	broken500  = "500"
	broken502  = "502"
	broken503  = "503"
	unheard    = "reset before it is heard"
	unanswered = "done, and reset before the answer"
	slow       = "stall"
	silent     = "no answer"
	expired    = "token expired"
	truncated  = "answer cut"
	short      = "answer shorter, and its length too"
	spoilt     = "answer spoilt"
	misnamed   = "wrong digest in the header"
	unmounted  = "mount refused"
	unranged   = "range refused"
	cutBody    = "body cut"
	spoiltBody = "body spoilt"
	misplaced  = "wrong range in the header"
)

func (f *Faults) handler(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := parse(r)
		what := strings.TrimSpace(r.Method + " " + q.kind + " " + q.repo)
		if q.kind != "upload" && q.kind != "mount" {
			what += " " + timeless(q.name)
		}
		f.event("begin " + what)
		defer f.event("end " + what)
		m := f.mishap(r, q, what)
		if m != nil && f.strike(w, r, m) {
			return
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), mishapKey{}, m)))
	})
}

// timeless is a tag without the time that is in some, so that a schedule can be repeated.
func timeless(name string) string {
	if strings.HasPrefix(name, "journal-") {
		return "journal"
	}
	return name
}

func (f *Faults) event(what string) {
	if f.cfg.Event != nil {
		f.cfg.Event(what)
	}
}

// mishap decides what happens to a request, nil for nothing.
func (f *Faults) mishap(r *http.Request, q request, what string) *mishap {
	if f.quiet.Load() {
		return nil
	}
	f.mu.Lock()
	n := f.asked[what]
	f.asked[what]++
	f.mu.Unlock()
	id := fnv.New64a()
	io.WriteString(id, what) //nolint:errcheck // a hash takes everything
	if !f.mood.stubborn {
		fmt.Fprint(id, " ", n)
	}
	m := &mishap{random: rand.New(rand.NewPCG(f.cfg.Seed, id.Sum64()))}
	hit := m.random.Float64() < f.mood.rate
	kinds := f.kinds(r, q)
	m.kind = kinds[m.random.IntN(len(kinds))]
	switch {
	case hit:
	case q.kind == "mount" && !f.mood.mounts:
		m.kind = unmounted
	case r.Header.Get("Range") != "" && !f.mood.ranges:
		m.kind = unranged
	default:
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, fmt.Sprintf("%s #%d: %s", what, n, m.kind))
	return m
}

// kinds are the mishaps that a request can have.
func (f *Faults) kinds(r *http.Request, q request) []string {
	kinds := []string{tooMany, broken500, broken502, broken503, unheard, unanswered, slow}
	content := q.kind == "blob" || q.kind == "manifest"
	if content && r.Method == http.MethodGet {
		kinds = append(kinds, truncated, truncated, short, spoilt, spoilt)
	}
	if content && r.Method != http.MethodDelete {
		kinds = append(kinds, misnamed)
	}
	if q.kind == "upload" && r.Method != http.MethodDelete {
		kinds = append(kinds, misplaced)
	}
	if r.ContentLength != 0 && q.kind != "token" {
		kinds = append(kinds, cutBody, cutBody)
		if q.kind == "upload" { // what a manifest is, nobody but its sender can know
			kinds = append(kinds, spoiltBody, spoiltBody)
		}
	} else if f.mood.silent {
		kinds = append(kinds, silent)
	}
	if q.kind == "mount" {
		kinds = append(kinds, unmounted)
	}
	if r.Header.Get("Range") != "" {
		kinds = append(kinds, unranged, unranged)
	}
	if f.cfg.Tokens != nil && q.kind != "token" {
		kinds = append(kinds, expired, expired)
	}
	return kinds
}

// strike does what is done to a request before it is handed on; true if it is not.
func (f *Faults) strike(w http.ResponseWriter, r *http.Request, m *mishap) bool {
	switch m.kind {
	case tooMany, broken500, broken502, broken503:
		status, _ := strconv.Atoi(m.kind)
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && m.random.IntN(2) == 0 {
			w.Header().Set("Retry-After", "1")
		}
		refuse(w, status, "UNKNOWN", "a fault of the schedule")
		return true
	case unheard:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0) //nolint:errcheck // else it ends in a politer way
			}
			conn.Close() //nolint:errcheck // that is what it is for
			return true
		}
		panic(http.ErrAbortHandler)
	case slow:
		f.wait(r, time.Duration(m.random.IntN(2000))*time.Millisecond)
	case silent:
		f.wait(r, time.Hour)
		panic(http.ErrAbortHandler)
	case cutBody, spoiltBody:
		r.Body = &spoiler{ReadCloser: r.Body, at: m.place(r.ContentLength), cut: m.kind == cutBody}
	}
	return false
}

// wait is over after a while, or when nobody waits for an answer any more.
func (f *Faults) wait(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-f.over:
	}
}

// place is somewhere in so many bytes, or near the beginning if nobody knows how many
// there are.
func (m *mishap) place(length int64) int64 {
	if length <= 0 {
		length = 64 << 10
	}
	return m.random.Int64N(length)
}

// rewrite hands a request to whom it is for. The registry makes its Location of the Host.
func (f *Faults) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", f.cfg.Registry, r.In.Host
	if f.cfg.Tokens != nil && r.In.URL.Path == "/token" {
		if u, err := url.Parse(f.cfg.Tokens.URL); err == nil {
			r.Out.URL.Host, r.Out.Host = u.Host, u.Host
		}
	}
	m, _ := r.In.Context().Value(mishapKey{}).(*mishap)
	if m == nil {
		return
	}
	switch m.kind {
	case expired: // the registry says itself what it says then
		r.Out.Header.Del("Authorization")
	case unranged:
		r.Out.Header.Del("Range")
	case unmounted: // as registries that cannot do it answer
		query := r.Out.URL.Query()
		query.Del("mount")
		query.Del("from")
		r.Out.URL.RawQuery = query.Encode()
	}
}

// answer does what is done to an answer.
func (f *Faults) answer(resp *http.Response) error {
	if f.cfg.Tokens != nil {
		if said := resp.Header.Get("WWW-Authenticate"); said != "" {
			_, port, err := net.SplitHostPort(f.Host())
			if err != nil {
				return err
			}
			resp.Header.Set("WWW-Authenticate", strings.Replace(said, f.cfg.Tokens.URL, "http://localhost:"+port+"/token", 1))
		}
	}
	m, _ := resp.Request.Context().Value(mishapKey{}).(*mishap)
	if m == nil {
		return nil
	}
	switch m.kind {
	case unanswered:
		return io.ErrUnexpectedEOF
	case truncated, spoilt:
		resp.Body = &spoiler{ReadCloser: resp.Body, at: m.place(resp.ContentLength), cut: m.kind == truncated}
	case short:
		if resp.ContentLength > 1 {
			n := m.place(resp.ContentLength)
			resp.ContentLength = n
			resp.Header.Set("Content-Length", strconv.FormatInt(n, 10))
			resp.Body = &shorter{Reader: io.LimitReader(resp.Body, n), Closer: resp.Body}
		}
	case misnamed:
		if resp.Header.Get("Docker-Content-Digest") != "" {
			resp.Header.Set("Docker-Content-Digest", fmt.Sprintf("sha256:%064x", m.random.Uint64()))
		}
	case misplaced:
		first, last, ok := strings.Cut(resp.Header.Get("Range"), "-")
		if n, err := strconv.ParseInt(last, 10, 64); ok && err == nil {
			resp.Header.Set("Range", fmt.Sprintf("%s-%d", first, max(n+m.random.Int64N(2000)-1000, 0)))
		}
	}
	return nil
}

type shorter struct {
	io.Reader
	io.Closer
}

// spoiler ends with an error at a place, or has another byte there.
type spoiler struct {
	io.ReadCloser
	at  int64
	cut bool
}

func (s *spoiler) Read(p []byte) (int, error) {
	if s.cut && int64(len(p)) > s.at {
		p = p[:s.at]
		if len(p) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
	}
	n, err := s.ReadCloser.Read(p)
	if !s.cut && s.at >= 0 && s.at < int64(n) {
		p[s.at] ^= 1
	}
	s.at -= int64(n)
	return n, err
}
