package remote

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// quick is what tests wait.
var quick = Retry{Wait: time.Millisecond, Stall: 2 * time.Second}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, url, checksum string) (File, string, error) {
	t.Helper()
	dir := t.TempDir()
	f, err := fetch(t.Context(), nil, url, dir, checksum, quick)
	entries, _ := os.ReadDir(dir)
	if err != nil {
		if len(entries) != 0 {
			t.Errorf("after an error there is %v", entries)
		}
		return f, "", err
	}
	text, err := os.ReadFile(f.Path)
	if err != nil || len(entries) != 1 {
		t.Fatal(err, entries)
	}
	return f, string(text), nil
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestFetch(t *testing.T) {
	when := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dated.txt":
			w.Header().Set("Last-Modified", when.Format(http.TimeFormat))
		case "/misdated.txt":
			w.Header().Set("Last-Modified", "yesterday")
		case "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="other"`)
		case "/moved":
			http.Redirect(w, r, "/dated.txt", http.StatusFound)
			return
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write([]byte("hello"))
			z.Close()
			return
		case "/none":
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, "hello"+r.URL.RawQuery)
	})
	for _, tc := range []struct {
		path, text string
		dated      bool
	}{
		{"/dated.txt", "hello", true},
		{"/misdated.txt", "hello", false},
		{"/a/b.tar.gz?x=1&y=2", "hellox=1&y=2", false},
		{"/a/b#fragment", "hello", false},
		{"/named", "hello", false},
		{"/moved", "hello", true},
		{"/packed", "hello", false},
		{"/dir/", "hello", false},
		{"/a%20b%2fc", "hello", false},
		{"/none", "", false},
		{"", "hello", false},
		{"/", "hello", false},
		{"/?q", "helloq", false},
	} {
		f, text, err := get(t, url+tc.path, "")
		if err != nil {
			t.Errorf("%s: %v", tc.path, err)
			continue
		}
		if text != tc.text || f.Size != int64(len(tc.text)) || f.Digest != sumOf(tc.text) {
			t.Errorf("%s: %+v %q", tc.path, f, text)
		}
		if tc.dated != f.ModTime.Equal(when) || !tc.dated && !f.ModTime.IsZero() {
			t.Errorf("%s: of %v", tc.path, f.ModTime)
		}
	}
}

func TestFetch_checksum(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }) + "/x"
	s384, s512 := sha512.Sum384([]byte("hello")), sha512.Sum512([]byte("hello"))
	right := []string{sumOf("hello"), "sha384:" + hex.EncodeToString(s384[:]), "sha512:" + hex.EncodeToString(s512[:])}
	for _, sum := range right {
		if f, _, err := get(t, url, sum); err != nil || f.Digest != right[0] {
			t.Errorf("%s: %+v %v", sum, f, err)
		}
		wrong := sum[:len(sum)-1] + "0"
		if wrong == sum {
			wrong = sum[:len(sum)-1] + "1"
		}
		_, _, err := get(t, url, wrong)
		var mismatch *ChecksumError
		if !errors.As(err, &mismatch) || mismatch.Want != wrong || mismatch.Got != sum || mismatch.Hint() == "" || mismatch.ExitCode() != 65 {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	for _, sum := range []string{"x", right[0][7:], "SHA256:" + right[0][7:], strings.ToUpper(right[0]), "sha256:" + strings.ToUpper(right[0][7:]),
		right[0] + "00", "sha1:" + strings.Repeat("a", 40), "md5:" + strings.Repeat("a", 32), "sha256:" + strings.Repeat("g", 64), "sha512:" + right[0][7:]} {
		_, _, err := get(t, url, sum)
		var form *FormatError
		if !errors.As(err, &form) || CheckChecksum(sum) == nil {
			t.Errorf("%s: %v", sum, err)
		}
		var coder interface{ ExitCode() int }
		if !errors.As(err, &coder) || coder.ExitCode() != 65 {
			t.Errorf("%v: exit code", err)
		}
	}
}

// counter answers a number of requests badly and then well.
type counter struct {
	mu  sync.Mutex
	n   int
	bad int
	how func(http.ResponseWriter, *http.Request)
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.n++
	bad := c.n <= c.bad
	c.mu.Unlock()
	if bad {
		c.how(w, r)
		return
	}
	w.Header().Set("Content-Length", "10")
	io.WriteString(w, "0123456789")
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

func TestFetch_again(t *testing.T) {
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "01234")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	gone := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	for name, tc := range map[string]struct {
		bad, want int // requests that go wrong, and all that are made
		how       func(http.ResponseWriter, *http.Request)
		text      string // of the error; empty is none
		code      int
	}{
		"503":                  {2, 3, status(503), "", 0},
		"429":                  {1, 2, status(429), "", 0},
		"408":                  {1, 2, status(408), "", 0},
		"503 without end":      {99, 5, status(503), "answered 503 Service Unavailable 5 times", 75},
		"404":                  {99, 1, status(404), "answered 404 Not Found", 69},
		"401":                  {99, 1, status(401), "answered 401 Unauthorized", 77},
		"403":                  {99, 1, status(403), "answered 403 Forbidden", 77},
		"501":                  {99, 1, status(501), "answered 501 Not Implemented", 69},
		"304":                  {99, 1, status(304), "answered 304", 69},
		"broken off":           {2, 3, half, "", 0},
		"always broken off":    {99, 5, half, "after 5 bytes: unexpected EOF", 69},
		"no answer":            {2, 3, gone, "", 0},
		"redirect in a circle": {99, 10, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 302) }, "stopped after 10 redirects", 69},
	} {
		t.Run(name, func(t *testing.T) {
			c := &counter{bad: tc.bad, how: tc.how}
			s := httptest.NewUnstartedServer(c)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.Start()
			defer s.Close()
			_, text, err := get(t, s.URL+"/x", sumOf("0123456789"))
			// net/http itself repeats a request on a connection that it had kept.
			if n := c.count(); n < tc.want || n > tc.want && tc.text == "" {
				t.Errorf("%d requests, want %d", n, tc.want)
			}
			if tc.text == "" {
				if err != nil || text != "0123456789" {
					t.Errorf("%q %v", text, err)
				}
				return
			}
			checkError(t, err, tc.code, tc.text)
		})
	}
}

func checkError(t *testing.T, err error, code int, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want %q", err, text)
	}
	var coder interface{ ExitCode() int }
	if !errors.As(err, &coder) || coder.ExitCode() != code {
		t.Errorf("%v: exit code, want %d", err, code)
	}
}

func TestFetch_silence(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, begin := range map[string]string{"before the answer": "", "amid the answer": "01234"} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					io.WriteString(w, begin)
					w.(http.Flusher).Flush()
				}
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
			_, err := fetch(t.Context(), nil, url, t.TempDir(), "", Retry{Tries: 2, Wait: time.Millisecond, Stall: 50 * time.Millisecond})
			checkError(t, err, 69, "said nothing for 50ms")
		})
	}
}

func TestFetch_stopped(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(503)
		stop(why)
	})
	dir := t.TempDir()
	if _, err := fetch(ctx, nil, url, dir, "", quick); err == nil {
		t.Error("no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
}

func TestFetch_nobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, _, err = get(t, "http://"+l.Addr().String()+"/x", "")
	checkError(t, err, 69, "connection refused")
	if hint := err.(*Error).Hint(); !strings.Contains(hint, "HTTPS_PROXY") {
		t.Errorf("hint %q", hint)
	}
}

func TestFetch_TLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := fetch(t.Context(), s.Client(), s.URL+"/x", t.TempDir(), "", quick); err != nil {
		t.Error(err)
	}
	_, _, err := get(t, s.URL+"/x", "")
	checkError(t, err, 69, "certificate")
	if hint := err.(*Error).Hint(); !strings.Contains(hint, "SSL_CERT_FILE") {
		t.Errorf("hint %q", hint)
	}
}

// A password is told to its host only, and shows nowhere.
func TestFetch_secrets(t *testing.T) {
	var heard []string
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.Header.Get("Authorization"), r.Header.Get("Referer"))
		w.WriteHeader(http.StatusNotFound)
	})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case password != "s3cr3t":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, strings.Replace(other, "127.0.0.1", "localhost", 1)+"/?token=t0k3n", http.StatusFound)
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		}
	})
	in := strings.Replace(url, "http://", "http://me:s3cr3t@", 1)
	if _, _, err := get(t, in+"/x", ""); err != nil {
		t.Error(err)
	}
	for _, source := range []string{in + "/elsewhere", in + "/gone?X-Signature=t0k3n&t0k3n", in + "/%zz", strings.Replace(in, "http://", "ftp://", 1),
		strings.Replace(in, ":s3cr3t@", ":s3cr3t%zz@", 1), "http://me:s3cr3t@127.0.0.1:1/t?a=t0k3n"} {
		_, _, err := get(t, source, "")
		if err == nil {
			t.Errorf("%s: no error", source)
			continue
		}
		if text := err.Error(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "t0k3n") || strings.Contains(text, "me:") {
			t.Errorf("the error tells: %s", text)
		}
	}
	if text := strings.Join(heard, ""); strings.Contains(text, "s3cr3t") || strings.Contains(text, "Basic") || len(heard) == 0 {
		t.Errorf("the other host was told %q", heard)
	}
}

func TestRedact(t *testing.T) {
	for source, want := range map[string]string{
		"https://u:p@h/a?x=1&y&z=2#f": "https://h/a?x=…&…&z=…",
		"https://h/a":                 "https://h/a",
		"https://u:p%zz@h/a":          "https://h/a",
		"https://u:p@h/%zz?k=v":       "https://h/%zz",
		"x":                           "x",
	} {
		if got := Redact(source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "7": 7 * time.Second, "999999999": maxRetryAfter,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

// What the proxy of the environment says is obeyed by a client of one's own.
func TestFetch_client(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "by proxy: ", r.URL) })
	client := &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }}}
	f, err := fetch(t.Context(), client, "http://example.invalid/x", t.TempDir(), "", quick)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(f.Path); string(text) != "by proxy: http://example.invalid/x" {
		t.Errorf("%q", text)
	}
	client.Transport.(*http.Transport).CloseIdleConnections()
}
