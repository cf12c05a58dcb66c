package object

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// What a store can do wrong and no real one does when it is asked to is done here by
// fakes; the stores themselves are in the tests of gcs, s3 and azblob.

var quick = remote.Retry{Tries: 3, Wait: time.Millisecond}

// store sends content in parts of so many bytes, and then hangs up.
type store struct {
	content string
	parts   []int
	asked   []string // "FROM VERSION"
	change  func(*Part)
}

func (s *store) part(_ context.Context, from int64, version string) (Part, error) {
	s.asked = append(s.asked, fmt.Sprintf("%d %s", from, version))
	rest := s.content[from:]
	p := Part{Length: int64(len(rest)), Version: "v1", Range: fmt.Sprintf("bytes %d-%d/%d", from, len(s.content)-1, len(s.content))}
	if len(s.parts) > 0 {
		rest, s.parts = rest[:s.parts[0]], s.parts[1:]
	}
	p.Body = io.NopCloser(strings.NewReader(rest))
	if s.change != nil {
		s.change(&p)
	}
	return p, nil
}

func read(t *testing.T, s *store) (string, error) {
	t.Helper()
	r, err := Open(t.Context(), "x://b/o", s.part, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if _, again := r.Read(make([]byte, 1)); again == nil {
		t.Error("there is more after the end")
	}
	return string(text), err
}

func TestOpen(t *testing.T) {
	s := &store{content: "0123456789", parts: []int{3, 0}}
	if text, err := read(t, s); text != s.content || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if got := strings.Join(s.asked, ", "); got != "0 , 3 v1, 3 v1" {
		t.Error(got)
	}
}

func TestOpen_givesUp(t *testing.T) {
	s := &store{content: "0123456789", parts: []int{3, 1, 0, 5}}
	text, err := read(t, s)
	if text != "0123" || !errors.Is(err, io.ErrUnexpectedEOF) || len(s.asked) != quick.Tries {
		t.Errorf("%q, %v, %q", text, err, s.asked)
	}
	if want := "read x://b/o: after 4 bytes: the store hung up: unexpected EOF"; err.Error() != want {
		t.Error(err)
	}
}

// A long object may be interrupted more often than a short one.
func TestOpen_progress(t *testing.T) {
	s := &store{content: strings.Repeat("x", 10*progress)}
	for range 9 {
		s.parts = append(s.parts, progress)
	}
	if text, err := read(t, s); text != s.content || err != nil || len(s.asked) != 10 {
		t.Errorf("%d bytes, %v, %q", len(text), err, s.asked)
	}
}

func TestOpen_mixtures(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Part)
		code   int
		says   string
	}{
		"another version":    {func(p *Part) { p.Version = "v2" }, 75, "replaced"},
		"from the beginning": {func(p *Part) { p.Range = "" }, 69, "asked for the bytes from 3 of 10"},
		"from elsewhere":     {func(p *Part) { p.Range = "bytes 4-9/10" }, 69, `"bytes 4-9/10"`},
		"longer":             {func(p *Part) { p.Range = "bytes 3-10/11" }, 69, `"bytes 3-10/11"`},
		"no range":           {func(p *Part) { p.Range = "lines 3-9/10" }, 69, "lines"},
	} {
		s := &store{content: "0123456789", parts: []int{3}}
		s.change = func(p *Part) {
			if len(s.asked) > 1 {
				tc.change(p)
			}
		}
		text, err := read(t, s)
		var e *Error
		if text != "012" || !errors.As(err, &e) || e.ExitCode() != tc.code || !strings.Contains(e.Error(), tc.says) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// Without a version there is no telling whether the rest is the same object's.
func TestOpen_noVersion(t *testing.T) {
	s := &store{content: "0123456789", parts: []int{3}, change: func(p *Part) { p.Version = "" }}
	if text, err := read(t, s); text != "012" || !errors.Is(err, io.ErrUnexpectedEOF) || len(s.asked) != 1 {
		t.Errorf("%q, %v, %q", text, err, s.asked)
	}
}

// A store that does not say how long an object is cannot be caught at hanging up.
func TestOpen_noLength(t *testing.T) {
	s := &store{content: "0123456789", change: func(p *Part) { p.Length = -1 }}
	if text, err := read(t, s); text != s.content || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestOpen_sum(t *testing.T) {
	broken := errors.New("the sum is another one")
	s := &store{content: "0123456789", change: func(p *Part) {
		p.Body = io.NopCloser(io.MultiReader(p.Body, iotest.ErrReader(broken)))
	}}
	if text, err := read(t, s); text != s.content || !errors.Is(err, broken) || len(s.asked) != 1 {
		t.Errorf("%q, %v, %q", text, err, s.asked)
	}
}

func TestOpen_refused(t *testing.T) {
	refused := &AnswerError{Status: 404, Code: "NoSuchKey", Message: "No such\x00key.\nRequest 1", Remedy: "look"}
	_, err := Open(t.Context(), "x://b/o", func(context.Context, int64, string) (Part, error) {
		return Part{}, fmt.Errorf("the SDK: %w", &url.Error{Op: "Get", URL: "https://store.test/?sig=secret", Err: refused})
	}, quick)
	var e *Error
	if !errors.As(err, &e) || e.ExitCode() != 66 || e.Hint() != "look" || e.Error() != "open x://b/o: the store answered 404 Not Found, NoSuchKey: No such\x00key" {
		t.Error(err)
	}
}

func TestOpen_canceled(t *testing.T) {
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	s := &store{content: "0123456789", parts: []int{3}}
	r, err := Open(ctx, "x://b/o", s.part, remote.Retry{Wait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { stop(why) })
	if _, err := r.Read(make([]byte, 3)); !errors.Is(err, why) {
		t.Error(err)
	}
	if _, err := Open(ctx, "x://b/o", func(ctx context.Context, _ int64, _ string) (Part, error) { return Part{}, ctx.Err() }, quick); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestAnswerError(t *testing.T) {
	for _, tc := range []struct {
		e    AnswerError
		text string
		code int
	}{
		{AnswerError{Status: 403, Code: "Forbidden"}, "the store answered 403 Forbidden", 77},
		{AnswerError{Status: 401, Message: strings.Repeat("é", maxMessage)}, "the store answered 401 Unauthorized: " + strings.Repeat("é", maxMessage/2) + "…", 77},
		{AnswerError{Status: 404, Message: "Not Found"}, "the store answered 404 Not Found", 66},
		{AnswerError{Status: 503, Code: "SlowDown"}, "the store answered 503 Service Unavailable, SlowDown", 75},
		{AnswerError{Status: 429}, "the store answered 429 Too Many Requests", 75},
		{AnswerError{Status: 400, Exit: 77}, "the store answered 400 Bad Request", 77},
		{AnswerError{Status: 999}, "the store answered 999", 75},
		{AnswerError{Status: 301}, "the store answered 301 Moved Permanently", 69},
	} {
		if tc.e.Error() != tc.text || tc.e.ExitCode() != tc.code {
			t.Errorf("%s (%d), and not %s (%d)", tc.e.Error(), tc.e.ExitCode(), tc.text, tc.code)
		}
	}
}

func TestClient(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("hello"))
	z.Close()
	var agents []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents = append(agents, r.UserAgent())
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/stored", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		switch r.URL.Path {
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
		case "/garbled":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "hello, and not packed")
			return
		}
		w.Write(packed.Bytes())
	}))
	defer s.Close()
	c := Client(nil, "kaniko/test", quick)
	defer c.CloseIdleConnections()
	for path, want := range map[string]string{"/stored": packed.String(), "/refused": "hello"} {
		resp, err := c.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); string(text) != want || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, s.URL+"/elsewhere", nil)
	req.Header.Set("User-Agent", "sdk/1")
	if resp, err := c.Do(req); err != nil || resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := c.Get(s.URL + "/garbled"); !errors.Is(err, gzip.ErrHeader) {
		t.Error(err)
	}
	if got := strings.Join(agents, ", "); got != "kaniko/test, kaniko/test, kaniko/test sdk/1, kaniko/test" {
		t.Error(got)
	}
}
