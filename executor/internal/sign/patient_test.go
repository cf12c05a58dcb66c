package sign

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPatient: what passes is asked again, with the same body, and what does not is
// told with what was said.
func TestPatient(t *testing.T) {
	for _, c := range []struct {
		answers []int
		want    string // of the error
		asked   int
	}{
		{[]int{200}, "", 1},
		{[]int{503, 429, 200}, "", 3},
		{[]int{500, 500, 502}, "the answer is 502 Bad Gateway: said twice", 3},
		{[]int{400}, "", 1}, // which who asked looks at
		{[]int{501}, "", 1},
	} {
		asked := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if text, err := io.ReadAll(r.Body); err != nil || string(text) != "body" {
				t.Errorf("asked with %q, %v", text, err)
			}
			w.WriteHeader(c.answers[asked])
			io.WriteString(w, "said\n twice") //nolint:errcheck // the client tells
			asked++
		}))
		client := &http.Client{Transport: &patient{t.Context(), http.DefaultTransport}}
		resp, err := client.Post(s.URL, "text/plain", strings.NewReader("body"))
		if err == nil {
			if resp.StatusCode != c.answers[len(c.answers)-1] {
				t.Errorf("%v: %s", c.answers, resp.Status)
			}
			resp.Body.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || asked != c.asked {
			t.Errorf("%v: asked %d times: %v", c.answers, asked, err)
		}
		s.Close()
	}
}

// TestPatient_over: when the build is over nothing is asked any more, by whom ever.
func TestPatient_over(t *testing.T) {
	build, stop := context.WithCancelCause(t.Context())
	over := errors.New("over")
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop(over)
		<-r.Context().Done()
	}))
	defer s.Close()
	client := &http.Client{Transport: &patient{build, http.DefaultTransport}}
	if _, err := client.Get(s.URL); !errors.Is(err, over) {
		t.Errorf("ended with %v", err)
	}
}
