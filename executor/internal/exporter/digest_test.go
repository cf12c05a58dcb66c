package exporter_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
)

// TestNamesFile: a line for each destination, with the registry's whole name.
func TestNamesFile(t *testing.T) {
	img := image(t, 1, 100)
	to := tags(t, client(), "me/app", "registry.example:5000/app:2")
	path := filepath.Join(t.TempDir(), "deep", "names")
	for _, tc := range []struct {
		tagged bool
		want   string
	}{
		{false, "index.docker.io/me/app@D\nregistry.example:5000/app@D\n"},
		{true, "index.docker.io/me/app:latest@D\nregistry.example:5000/app:2@D\n"},
	} {
		if err := export(t, exporter.NamesFile(path, to, tc.tagged), img); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(tc.want, "D", digest(t, img))
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file holds %q, wanted %q, error %v", got, want, err)
		}
	}
}

func TestBuilderOutput(t *testing.T) {
	img := image(t, 1, 100)
	dir := t.TempDir()
	if err := export(t, exporter.BuilderOutput(dir, tags(t, client(), "me/app:1", "r.example/b:2")), img); err != nil {
		t.Fatal(err)
	}
	want := `{"name":"me/app:1","digest":"D"}` + "\n" + `{"name":"r.example/b:2","digest":"D"}` + "\n"
	want = strings.ReplaceAll(want, "D", digest(t, img))
	if got, err := os.ReadFile(filepath.Join(dir, "images")); err != nil || string(got) != want {
		t.Errorf("the file holds %q, wanted %q, error %v", got, want, err)
	}
}

// TestNote_sent: an https address gets the text by PUT, and again if the server is busy;
// what it refuses is an error without the password.
func TestNote_sent(t *testing.T) {
	img := image(t, 1, 100)
	var got []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(text))
		switch {
		case r.URL.Path == "/refused":
			w.WriteHeader(http.StatusForbidden)
		case len(got) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	}))
	defer server.Close()
	n := exporter.DigestFile(server.URL + "/digest?sig=hidden")
	n.Client = server.Client()
	if err := export(t, n, img); err != nil {
		t.Fatal(err)
	}
	want := "PUT /digest text/plain " + digest(t, img)
	if len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("the server got %q", got)
	}
	n.Path = strings.Replace(server.URL, "https://", "https://me:hidden@", 1) + "/refused?sig=hidden"
	err := export(t, n, img)
	if err == nil || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got error %v", err)
	}
	server.Close()
	if err := export(t, &exporter.Note{What: "x", Path: n.Path, Text: n.Text, Client: &http.Client{Transport: refusing{}}}, img); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got error %v", err)
	}
}

// refusing never gets anywhere, for a reason that does not pass.
type refusing struct{}

func (refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, &os.PathError{Op: "dial", Path: r.URL.Host, Err: os.ErrPermission}
}
