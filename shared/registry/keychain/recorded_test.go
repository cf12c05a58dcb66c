package keychain_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorded answers as a service that cannot run here does. It is what a test gives the
// built-in sources to talk through. A file of testdata has exchanges, each once and in
// order, between lines of "====": a request, a line of "----", and the answer.
//
//	POST https://host/path      what is asked
//	Header: prefix              a header that has to be there, and how it has to begin
//
//	text                        each line has to be in the body
//	----
//	200
//	Header: value
//
//	body
//
// In an answer {{unix N}} is the time in N seconds, {{date N}} the same as RFC 3339 has
// it, and {{jwt N}} a JSON web token that ends then.
type recorded struct {
	t    *testing.T
	name string

	mu        sync.Mutex
	exchanges []string
	asked     []string
}

// replay reads a file of testdata. All that is in it has to be asked for.
func replay(t *testing.T, name string) *recorded {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{t: t, name: name, exchanges: strings.Split(string(raw), "====\n")}
	t.Cleanup(func() {
		if len(r.exchanges) > 0 {
			t.Errorf("%s: nobody asked %q", name, r.exchanges[0])
		}
	})
	return r
}

// RoundTrip answers.
func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := req.Method + " " + strings.TrimSuffix(req.URL.String(), "?")
	r.asked = append(r.asked, asked)
	if len(r.exchanges) == 0 {
		return nil, fmt.Errorf("%s has no further exchange: %s", r.name, asked)
	}
	want, answer, ok := strings.Cut(r.exchanges[0], "----\n")
	if !ok {
		return nil, fmt.Errorf("%s: an exchange without an answer", r.name)
	}
	r.exchanges = r.exchanges[1:]
	if err := r.match(want, asked, req.Header, string(body)); err != nil {
		r.t.Error(err)
		return nil, err
	}
	status, rest, _ := strings.Cut(inTime(answer), "\n")
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 "+status+" as recorded\r\n"+headers(rest))), req)
	return resp, err
}

func (r *recorded) match(want, asked string, header http.Header, body string) error {
	head, text, _ := strings.Cut(want, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	if lines[0] != asked {
		return fmt.Errorf("%s: asked %s, not %s", r.name, asked, lines[0])
	}
	for _, line := range lines[1:] {
		name, prefix, _ := strings.Cut(line, ": ")
		if got := header.Get(name); !strings.HasPrefix(got, prefix) {
			return fmt.Errorf("%s: %s: the header %s is %q, not %q", r.name, asked, name, got, prefix)
		}
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(body, strings.TrimSpace(line)) {
			return fmt.Errorf("%s: %s: %q is not in the body %q", r.name, asked, line, body)
		}
	}
	return nil
}

// headers writes an answer's head as HTTP has it.
func headers(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	body = strings.TrimSpace(body)
	var b bytes.Buffer
	for line := range strings.Lines(head) {
		fmt.Fprintf(&b, "%s\r\n", strings.TrimSpace(line))
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

func inTime(answer string) string {
	return regexp.MustCompile(`{{(\w+) (-?\d+)}}`).ReplaceAllStringFunc(answer, func(s string) string {
		kind, n, _ := strings.Cut(strings.Trim(s, "{}"), " ")
		seconds, _ := strconv.Atoi(n) // the expression has digits only
		at := time.Now().Add(time.Duration(seconds) * time.Second)
		switch kind {
		case "unix":
			return strconv.FormatInt(at.Unix(), 10)
		case "date":
			return at.UTC().Format(time.RFC3339)
		}
		return token(fmt.Sprintf(`{"exp": %d}`, at.Unix()))
	})
}

// token is a JSON web token, but for its signature.
func token(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}
