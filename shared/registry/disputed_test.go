package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestResolve_disputed: a tag's manifest is compared with the digest in its answer's
// header. A manifest that was spoilt on its way is none; a header that is wrong, as some
// registries' is, is no reason to fail. The faults are made by a transport.
func TestResolve_disputed(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	img := image(t, 1, 100)
	seed(t, s, "app:1", img)
	const other = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for name, test := range map[string]struct {
		times  int // that the fault happens
		tag    func(answer *http.Response, raw []byte, asked int) []byte
		digest func(raw []byte) []byte // what happens to what is asked for by digest
		fails  bool
	}{
		"spoilt once":              {times: 1, tag: func(_ *http.Response, raw []byte, _ int) []byte { return spoil(raw) }},
		"spoilt always":            {times: 99, tag: func(_ *http.Response, raw []byte, _ int) []byte { return spoil(raw) }},
		"another header once":      {times: 1, tag: says(other)},
		"another header always":    {times: 99, tag: says(other)},
		"no header":                {times: 99, tag: says("")},
		"a header of other digits": {times: 99, tag: says("sha512:00")},
		"spoilt each time in another way": {
			times: 99, fails: true, digest: spoil,
			tag: func(_ *http.Response, raw []byte, asked int) []byte {
				return append(raw, bytes.Repeat([]byte("\n"), asked)...)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			asked := 0
			c := client(t, registry.Config{Wrap: func(rt http.RoundTripper) http.RoundTripper {
				return roundTrip(func(r *http.Request) (*http.Response, error) {
					resp, err := rt.RoundTrip(r)
					if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(r.URL.Path, "/manifests/") {
						return resp, err
					}
					mu.Lock()
					defer mu.Unlock()
					raw, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					byTag := strings.HasSuffix(r.URL.Path, "/1")
					if byTag {
						asked++
					}
					switch {
					case byTag && asked <= test.times:
						raw = test.tag(resp, raw, asked)
					case !byTag && test.digest != nil:
						raw = test.digest(raw)
					}
					resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
					resp.Header.Del("Content-Length")
					return resp, err
				})
			}})
			got, err := c.Resolve(t.Context(), s.Host()+"/app:1", v1.Platform{OS: "linux", Architecture: "amd64"})
			if test.fails {
				if err == nil {
					t.Fatalf("it is %v", hash(t, got))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := hash(t, img); hash(t, got) != want {
				t.Errorf("it is %v, want %v", hash(t, got), want)
			}
		})
	}
}

// says puts a digest into the header of an answer, or takes it away.
func says(digest string) func(*http.Response, []byte, int) []byte {
	return func(answer *http.Response, raw []byte, _ int) []byte {
		answer.Header.Del("Docker-Content-Digest")
		if digest != "" {
			answer.Header.Set("Docker-Content-Digest", digest)
		}
		return raw
	}
}

// spoil changes a size in a manifest, which stays one.
func spoil(raw []byte) []byte {
	size := []byte(`"size":`)
	raw[bytes.LastIndex(raw, size)+len(size)] ^= 1
	return raw
}
