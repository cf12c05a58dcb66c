package objecttest

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Recorded answers as a service did that cannot run here. The file is a txtar
// archive. Each file in it is an exchange: its name is the request's method and
// path; lines up to the answer are what the request has to have, a header
//
//	Name: value
//
// or, after an ampersand, a part of its body:
//
//	&grant_type=client_credentials
//
// where a value that ends in an ellipsis is only the beginning, and one that begins
// with one only the end. The rest is the answer as HTTP/1.1 has it. $NAME is
// replaced by the value of vars. Exchanges of the same name come in order, and the
// last again and again. A request that is not as recorded fails the test, and so
// does an exchange that did not happen.
func Recorded(t testing.TB, path string, vars map[string]string) http.Handler {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{t: t, exchanges: map[string][]*exchange{}}
	for _, f := range txtar.Parse(text).Files {
		body := os.Expand(string(f.Data), func(name string) string { return vars[name] })
		wants, answer, ok := strings.Cut(body, "HTTP/1.1 ")
		if !ok {
			t.Fatalf("%s: %s has no answer", path, f.Name)
		}
		e := &exchange{wants: strings.Split(strings.TrimSpace(wants), "\n"), answer: "HTTP/1.1 " + answer}
		r.exchanges[f.Name] = append(r.exchanges[f.Name], e)
	}
	t.Cleanup(func() {
		for name, all := range r.exchanges {
			for i, e := range all {
				if !e.happened {
					t.Errorf("%s: %s, number %d, was not asked", path, name, i+1)
				}
			}
		}
	})
	return r
}

type recorded struct {
	t         testing.TB
	mu        sync.Mutex
	exchanges map[string][]*exchange
}

type exchange struct {
	wants    []string
	answer   string
	happened bool
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := req.Method + " " + req.URL.RequestURI()
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var e *exchange
	for _, e = range r.exchanges[name] {
		if !e.happened {
			break
		}
	}
	if e == nil {
		r.t.Errorf("there is no exchange %s (%s)", name, req.Host)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	e.happened = true
	for _, want := range e.wants {
		if !has(req, string(body), want) {
			r.t.Errorf("%s has not %q: %v %s", name, want, req.Header, body)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(crlf(e.answer))), req)
	if err != nil {
		r.t.Errorf("%s: %v", name, err)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

// crlf ends the lines of an answer's head as HTTP does.
func crlf(answer string) string {
	head, body, _ := strings.Cut(answer, "\n\n")
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + strings.TrimSuffix(body, "\n")
}

// has tells whether a request has what an exchange wants of it.
func has(req *http.Request, body, want string) bool {
	if part, ok := strings.CutPrefix(want, "&"); ok {
		return strings.Contains("&"+body+"&", "&"+strings.TrimSuffix(part, "…")) && (strings.HasSuffix(part, "…") || strings.Contains("&"+body+"&", "&"+part+"&"))
	}
	name, value, ok := strings.Cut(want, ": ")
	got := req.Header.Get(name)
	if strings.EqualFold(name, "Host") {
		got = req.Host
	}
	if start, cut := strings.CutSuffix(value, "…"); cut {
		if end, both := strings.CutPrefix(start, "…"); both {
			return strings.Contains(got, end)
		}
		return strings.HasPrefix(got, start)
	}
	if end, cut := strings.CutPrefix(value, "…"); cut {
		return strings.HasSuffix(got, end)
	}
	return want == "" || ok && got == value
}
