package remote

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// cutter serves a file and breaks off after so many bytes of each answer. It stands in
// for a network that does so.
type cutter struct {
	mu      sync.Mutex
	content string
	after   int    // bytes of an answer; 0 is all
	etag    string // empty is none
	ranges  bool   // whether it can give a part
	change  string // what the file is from the second answer on
	asked   []string
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Header.Get("Range"))
	content := c.content
	if c.change != "" && len(c.asked) > 1 {
		content = c.change
		if c.etag != "" {
			c.etag = `"v2"`
		}
	}
	if c.etag != "" {
		w.Header().Set("Etag", c.etag)
	}
	from := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && c.ranges && r.Header.Get("If-Range") == c.etag {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
	}
	part := content[from:]
	w.Header().Set("Content-Length", strconv.Itoa(len(part)))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	if c.after == 0 || c.after >= len(part) {
		io.WriteString(w, part)
		return
	}
	io.WriteString(w, part[:c.after])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func streamAll(t *testing.T, h http.Handler) (string, error) {
	t.Helper()
	r, err := stream(t.Context(), nil, serve(t, h.ServeHTTP)+"/x.tar?token=t0k3n", quick)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestStream(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	for name, tc := range map[string]struct {
		c    *cutter
		want string   // of the error; empty is none
		asks []string // the ranges that are asked for, as many as are given
		code int
	}{
		"whole":                          {c: &cutter{content: long}, asks: []string{""}},
		"goes on by ranges":              {c: &cutter{content: long, after: 400_000, etag: `"v1"`, ranges: true}, asks: []string{"", "bytes=400000-", "bytes=800000-"}},
		"gives up":                       {c: &cutter{content: long, after: 100_000, etag: `"v1"`, ranges: true}, want: "after 500000 bytes", code: 69},
		"goes on as long as much comes":  {c: &cutter{content: strings.Repeat(long, 12), after: 1_500_000, etag: `"v1"`, ranges: true}},
		"no ranges":                      {c: &cutter{content: long, after: 600_000, etag: `"v1"`}, want: "after 600000 bytes", code: 69},
		"a weak validator is none":       {c: &cutter{content: long, after: 600_000, etag: `W/"v1"`, ranges: true}, want: "after 600000 bytes", asks: []string{"", ""}, code: 69},
		"another file":                   {c: &cutter{content: long, change: strings.ToUpper("x" + long), after: 600_000}, want: "another file", asks: []string{"", ""}, code: 75},
		"a shorter file":                 {c: &cutter{content: long, change: "short", after: 600_000}, want: "another file", code: 75},
		"another file where ranges work": {c: &cutter{content: long, change: "x" + long, after: 600_000, etag: `"v1"`, ranges: true}, want: "another file", asks: []string{"", "bytes=600000-"}, code: 75},
		"nothing at all":                 {c: &cutter{content: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := streamAll(t, tc.c)
			if tc.want != "" {
				checkError(t, err, tc.code, tc.want)
				if strings.Contains(err.Error(), "t0k3n") {
					t.Errorf("the error tells: %v", err)
				}
			} else if err != nil || len(got) != len(tc.c.content) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
			if len(tc.c.asked) < len(tc.asks) || strings.Join(tc.c.asked[:len(tc.asks)], " ") != strings.Join(tc.asks, " ") {
				t.Errorf("asked for %q, want %q", tc.c.asked, tc.asks)
			}
		})
	}
}

// A server without ranges is asked again from the start, and what was read is not
// given twice.
func TestStream_fromTheStart(t *testing.T) {
	n := 0
	got, err := streamAll(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		if n < 3 {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "01234"[:n+2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "0123456789")
	}))
	if err != nil || got != "0123456789" || n != 3 {
		t.Errorf("%q after %d answers: %v", got, n, err)
	}
}

func TestStream_refused(t *testing.T) {
	for status, code := range map[int]int{404: 69, 401: 77, 403: 77, 503: 75, 304: 69} {
		_, err := streamAll(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		checkError(t, err, code, "answered "+strconv.Itoa(status))
	}
	_, err := stream(t.Context(), nil, "http://me:s3cr3t@127.0.0.1:1/x", quick)
	checkError(t, err, 69, "connection refused")
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
}

// What the server has compressed stays so: its name says so, and parts of it count.
func TestStream_compressed(t *testing.T) {
	got, err := streamAll(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "as it is")
	}))
	if err != nil || got != "as it is" {
		t.Errorf("%q %v", got, err)
	}
}
