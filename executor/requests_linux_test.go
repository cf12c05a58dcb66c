package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// counter stands between an executor and a registry, and counts.
type counter struct {
	*httptest.Server
	mu     sync.Mutex
	counts map[string]int  // by what is asked for
	layers map[string]bool // digests of layers
	read   []string        // layers that were read
	// together holds back lookups of the cache until so many have come: if they did not
	// come at once, none would be answered.
	together int
	waiting  int
	enough   chan struct{}
	late     bool
}

func newCounter(t *testing.T, host string) *counter {
	c := &counter{counts: map[string]int{}, layers: map[string]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	proxy.ModifyResponse = c.learn
	director := proxy.Director
	proxy.Director = func(r *http.Request) {
		here := r.Host
		director(r)
		r.Host = here // of which the registry makes its Location
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.count(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counter) host() string { return strings.TrimPrefix(c.URL, "http://") }

// forget begins a count.
func (c *counter) forget(together int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts, c.read, c.together, c.waiting, c.enough, c.late = map[string]int{}, nil, together, 0, make(chan struct{}), false
}

var (
	key     = regexp.MustCompile(`^/v2/.*/cache/manifests/[0-9a-f]{64}$`)
	journal = regexp.MustCompile(`^/v2/.*/cache/manifests/(last|journal|image)-`)
	blob    = regexp.MustCompile(`/blobs/(sha256:[0-9a-f]{64})$`)
)

func (c *counter) count(r *http.Request) {
	c.mu.Lock()
	what := "other"
	m := blob.FindStringSubmatch(r.URL.Path)
	switch {
	case key.MatchString(r.URL.Path):
		what = "cache entry"
	case journal.MatchString(r.URL.Path):
		what = "journal"
	case strings.Contains(r.URL.Path, "/manifests/"):
		what = "manifest"
	case m != nil:
		what = "blob"
		if c.layers[m[1]] {
			what = "layer"
			if r.Method == http.MethodGet {
				c.read = append(c.read, r.URL.Path)
			}
		}
	case r.URL.Query().Has("mount"):
		what = "mount"
	case strings.Contains(r.URL.Path, "/blobs/uploads/"):
		what = "upload"
	case r.URL.Path == "/v2/":
		what = "ping"
	}
	c.counts[r.Method+" "+what]++
	var wait chan struct{}
	if what == "cache entry" && r.Method == http.MethodGet && c.together > 0 {
		if c.waiting++; c.waiting == c.together {
			close(c.enough)
		}
		wait = c.enough
	}
	c.mu.Unlock()
	if wait == nil {
		return
	}
	select {
	case <-wait:
	case <-time.After(20 * time.Second):
		c.mu.Lock()
		c.late = true
		c.mu.Unlock()
	}
}

// learn notes which blobs are layers, by the manifests that pass. Of an entry of the
// cache only the first is one; the rest is its index.
func (c *counter) learn(r *http.Response) error {
	if !strings.Contains(r.Request.URL.Path, "/manifests/") || r.StatusCode != http.StatusOK || r.Request.Method != http.MethodGet {
		return nil
	}
	raw := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, raw); err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil //nolint:nilerr // an index, or no manifest at all
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range m.Layers {
		if strings.HasSuffix(string(l.MediaType), "gzip") {
			c.layers[l.Digest.String()] = true
		}
	}
	return nil
}

// table is what was counted, a line each.
func (c *counter) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for what, n := range c.counts {
		lines = append(lines, fmt.Sprintf("%4d %s", n, what))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[5:], b[5:]) })
	return strings.Join(lines, "\n")
}

// TestCachedRequests: a build of twelve steps that the cache has all of asks for every
// entry at once and once, reads no layer, and runs nothing, so that it needs neither
// namespaces nor root.
func TestCachedRequests(t *testing.T) {
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	for name, start := range map[string]func(testing.TB, registrytest.RealConfig) string{
		"version 2": registrytest.Real, "version 3": registrytest.RealV3,
	} {
		for _, copies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s copies=%t", name, copies), func(t *testing.T) { countRequests(t, start(t, registrytest.RealConfig{}), copies) })
		}
	}
}

func countRequests(t *testing.T, host string, copies bool) {
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err != nil || choice.Grant == nil {
		t.Skip("the first build needs namespaces")
	}
	c := newCounter(t, host)
	site, err := conformance.Open(t.Context(), c.host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "001-twelve.txtar")
	if err := os.WriteFile(file, []byte(twelve), 0o644); err != nil {
		t.Fatal(err)
	}
	dockerfile, err := conformance.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	laid, err := site.Lay(t.Context(), dockerfile, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	build := func(flags ...string) string {
		exe, err := exec.LookPath("executor")
		if err != nil {
			t.Fatal(err)
		}
		state := t.TempDir()
		cmd := exec.CommandContext(t.Context(), exe, append([]string{
			"--context=context", "--dockerfile=" + laid.Dockerfile(), "--kaniko-dir=" + state, "--destination=" + c.host() + "/app:1", "--cache",
			fmt.Sprintf("--cache-copy-layers=%t", copies),
		}, flags...)...)
		cmd.Dir = laid.Dir
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1704067200", "TMPDIR="+state)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	build("--isolation=namespaces")
	c.forget(0)
	// In place, and not forced to: a command would be refused.
	said := build("--isolation=in-place")
	first := c.table()
	t.Logf("requests:\n%s", first)
	if len(c.read) > 0 {
		t.Errorf("layers were read: %q\n%s", c.read, said)
	}
	asked, want := c.counts["GET cache entry"], 9
	if !copies {
		want = 7 + 1 // and what files the base has
	}
	if asked != want {
		t.Errorf("%d entries were asked for, want %d", asked, want)
	}
	if got := c.counts["PUT cache entry"]; got > 0 {
		t.Errorf("%d entries were put\n%s", got, said)
	}
	c.forget(asked)
	build("--isolation=in-place")
	if c.late {
		t.Error("the entries are not asked for all at once")
	}
	c.forget(0)
	build("--isolation=in-place", "--destination="+c.host()+"/another:1", "--cache-repo="+c.host()+"/app/cache")
	t.Logf("requests for a repository more:\n%s", c.table())
	if c.counts["POST mount"] == 0 || len(c.read) > 0 {
		t.Errorf("layers are not mounted from the cache: %d mounts, read %q", c.counts["POST mount"], c.read)
	}
}

// twelve has twelve steps, nine of which touch files; two of these take what is in
// the build context.
const twelve = `Twelve steps.
-- Dockerfile --
FROM {{base}} AS compile
WORKDIR /src
COPY src .
RUN cp main out
FROM {{base}}
ENV A=b
RUN echo 1 > /1
RUN echo 2 > /2
WORKDIR /app
COPY --from=compile /src/out .
RUN cat out > copy
COPY src/main /etc/main
LABEL c=d
CMD ["/app/out"]
-- context/src/main --
main
`
