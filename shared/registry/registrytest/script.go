package registrytest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// fault is a line of a script.
type fault struct {
	method string // empty is any
	kind   string // empty is any
	nth    int    // the first request it hits, from 1
	times  int    // how many requests it hits; below 0 is all

	status int
	after  string // Retry-After
	cut    int    // bytes that get through; below 0 is none
	action string // refuse, corrupt, expire, stall, hang

	matched int
}

// Script adds to what goes wrong. A line says which request and what becomes of
// it, and hits one request unless it says otherwise:
//
//	2nd GET blob: cut at 1000       the connection breaks after 1000 bytes of the answer
//	PATCH: cut at 1000              for requests with a body: after 1000 bytes of that,
//	                                which an upload then has
//	POST upload: reset              the connection breaks at once
//	PATCH: 503 x2                   the answer is 503, twice
//	429 retry-after 1               whatever is asked next is refused for a second
//	GET manifest: 500 always        every time
//	mount: refuse                   mounts are turned into uploads
//	GET blob: corrupt               a bit of the answer is wrong
//	GET blob: stall                 no answer comes until the client gives up
//	GET blob: hang at 1000          the answer goes no further than 1000 bytes
//	token expires                   the tokens handed out so far are void
//	3rd HEAD blob: token expires    the same, just before that request
//
// The kinds of request are ping, token, manifest, blob, upload, mount, tags and
// referrers. Of
// several lines that fit a request the first that is not used up counts. Words
// that mean nothing here fail the test.
func (s *Server) Script(script string) {
	s.t.Helper()
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		f, ok := readFault(line)
		if !ok {
			s.t.Fatalf("registrytest: no sense in the line %q", line)
		}
		s.mu.Lock()
		s.faults = append(s.faults, f)
		s.mu.Unlock()
	}
}

func readFault(line string) (*fault, bool) {
	f := &fault{nth: 1, times: 1}
	which, what, ok := strings.Cut(line, ":")
	if !ok {
		which, what = "", line
	}
	for _, w := range strings.Fields(which) {
		switch {
		case w[0] >= '1' && w[0] <= '9':
			n, err := strconv.Atoi(strings.TrimRight(w, "stndrh"))
			if err != nil {
				return nil, false
			}
			f.nth = n
		case strings.ToUpper(w) == w:
			f.method = w
		default:
			f.kind = w
		}
	}
	words := strings.Fields(what)
	for i := 0; i < len(words); i++ {
		rest := words[i+1:]
		number := func(at int) (int, bool) {
			if len(rest) <= at {
				return 0, false
			}
			n, err := strconv.Atoi(rest[at])
			return n, err == nil
		}
		switch w := words[i]; {
		case (w == "cut" || w == "hang") && len(rest) >= 2 && rest[0] == "at":
			if w == "hang" {
				f.action = w
			}
			n, ok := number(1)
			if !ok {
				return nil, false
			}
			f.cut = n
			i += 2
		case w == "reset":
			f.cut = -1
		case w == "retry-after" && len(rest) >= 1:
			f.after = rest[0]
			i++
		case w == "refuse", w == "corrupt", w == "stall":
			f.action = w
		case w == "token" && len(rest) >= 1 && rest[0] == "expires":
			f.action = "expire"
			i++
		case w == "always":
			f.times = -1
		case strings.HasPrefix(w, "x"):
			n, err := strconv.Atoi(w[1:])
			if err != nil {
				return nil, false
			}
			f.times = n
		default:
			n, err := strconv.Atoi(w)
			if err != nil || n < 100 || n > 599 {
				return nil, false
			}
			f.status = n
		}
	}
	return f, f.status != 0 || f.cut != 0 || f.action != ""
}

// match finds the line for a request and counts it.
func (s *Server) match(method, kind string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *fault
	for _, f := range s.faults {
		if f.method != "" && f.method != method || f.kind != "" && f.kind != kind {
			continue
		}
		f.matched++
		if hit == nil && f.matched >= f.nth && (f.times < 0 || f.matched < f.nth+f.times) {
			hit = f
		}
	}
	return hit
}

// Unused are how many lines of the script have hit no request.
func (s *Server) Unused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		if f.matched < f.nth {
			n++
		}
	}
	return n
}

// hang keeps a request until its client gives up, or the test ends.
func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.over:
	}
	panic(http.ErrAbortHandler)
}

// apply does what the line says; it reports whether the request is done with.
func (f *fault) apply(s *Server, w *recorder, r *http.Request, q request) bool {
	switch {
	case f.action == "expire":
		s.expire()
		return false
	case f.action == "refuse" && q.kind == "mount":
		r.URL.RawQuery = ""
		s.serve(w, r, request{"upload", q.repo, q.name})
		return true
	case f.action == "corrupt":
		w.flip = true
		return false
	case f.action == "stall":
		s.hang(r)
	case f.action == "hang":
		w.limit, w.hang = f.cut, func() { s.hang(r) }
		return false
	case f.cut != 0:
		if f.cut > 0 && r.Method != http.MethodPut && r.Method != http.MethodPatch && r.Method != http.MethodPost {
			w.limit = f.cut
			return false
		}
		head, _ := io.ReadAll(io.LimitReader(r.Body, int64(max(f.cut, 0))))
		s.mu.Lock()
		if _, ok := s.uploads[q.name]; ok && q.kind == "upload" && !s.cfg.Forgetful {
			s.uploads[q.name] = append(s.uploads[q.name], head...)
		}
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	case f.status != 0:
		if f.after != "" {
			w.Header().Set("Retry-After", f.after)
		}
		refuse(w, f.status, "UNAVAILABLE", "as the script says")
		return true
	}
	return false
}
