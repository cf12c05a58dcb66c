package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// counter is a proxy in front of a registry that counts what passes through it.
type counter struct {
	mu     sync.Mutex
	counts map[string]int // by method and kind: manifests, blobs, tags
}

// startCounter puts a counter in front of a registry, and returns the host to ask.
func startCounter(t testing.TB, host string) (*counter, string) {
	t.Helper()
	c := &counter{counts: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: host})
			r.Out.Host = r.In.Host // which the registry makes addresses of
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 32},
	}
	kind := regexp.MustCompile(`^/v2/.+/(manifests|blobs|tags)/`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "other"
		if found := kind.FindStringSubmatch(r.URL.Path); found != nil {
			name = found[1]
		}
		c.mu.Lock()
		c.counts[r.Method+" "+name]++
		c.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return c, strings.TrimPrefix(server.URL, "http://")
}

// take is what was counted since the last time.
func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := maps.Clone(c.counts)
	clear(c.counts)
	return counted
}

// measured is what a run used.
type measured struct {
	out    string
	peak   int64          // most memory, in bytes
	counts map[string]int // requests by method and kind
	took   time.Duration
}

// measure runs cachegc, which says itself how much memory it had (VmHWM of proc(5)).
func (c *counter) measure(t testing.TB, args ...string) measured {
	t.Helper()
	path := filepath.Join(t.TempDir(), "metrics.prom")
	cmd := program(append(args, "--metrics-file="+path)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	c.take()
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, &out)
	}
	m := measured{out: out.String(), counts: c.take(), took: time.Since(begun)}
	metrics, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^kaniko_memory_peak_bytes\{.*kaniko_memory_of="process".*\} (\S+)$`).FindSubmatch(metrics)
	if found == nil {
		t.Fatalf("its metrics do not tell its memory:\n%s", metrics)
	}
	peak, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	m.peak = int64(peak)
	return m
}

// served is a registry, and how cachegc deletes there.
type served struct {
	host      string
	args      []string
	deletions int // requests for an entry of one tag
}

// distribution is Docker's registry, of version 3.
func distribution(t testing.TB) served {
	return served{host: registrytest.RealV3(t, registrytest.RealConfig{Memory: true}), deletions: 1}
}

// craneRegistry is the registry that go-containerregistry has as a program; it keeps all in
// memory, and deletes as fast from a large repository as from a small one.
func craneRegistry(t testing.TB) served {
	return served{host: registrytest.Crane(t), args: []string{"--registry-kind=tags-first"}, deletions: 2}
}

// scale fills a cache, cleans half of it, and looks what that took.
func scale(t *testing.T, at served, entries int, ceiling int64) {
	real := at.host
	c, front := startCounter(t, real)
	spec := front + "/app/cache"
	begun := time.Now()
	entry := func(i int) placetest.Entry {
		e := placetest.Entry{Word: fmt.Sprint("word", i), Layer: "all have the same", Lineage: fmt.Sprint("l", i%100), Created: begun.Add(-time.Duration(1000+i%7) * time.Hour), Size: 1000}
		if i%2 == 0 {
			e.Created = begun.Add(-time.Duration(100+i%7) * time.Hour)
		}
		return e
	}
	placetest.Many(t, real+"/app/cache", entries, entry)
	t.Logf("filled in %s", time.Since(begun).Round(time.Second))
	run := func(name string, args ...string) measured {
		t.Helper()
		m := c.measure(t, append(args, at.args...)...)
		t.Logf("%s: %s, %d MB, %v", name, m.took.Round(time.Millisecond), m.peak>>20, m.counts)
		if m.peak > ceiling {
			t.Errorf("%s took %d MB", name, m.peak>>20)
		}
		return m
	}
	asked := func(m measured) int { return m.counts["GET manifests"] + m.counts["HEAD manifests"] }
	const few = 10 // requests that do not grow with the cache

	first := run("first plan", "plan", spec, "--ttl=14d")
	if n := asked(first); n < entries || n > entries+few {
		t.Errorf("the first plan asked for %d manifests of %d", n, entries)
	}
	if n := asked(run("second plan", "plan", spec, "--ttl=14d")); n > few {
		t.Errorf("the second plan asked for %d manifests", n)
	}
	more := entries / 20
	placetest.Many(t, real+"/app/cache", more, func(i int) placetest.Entry {
		e := entry(0)
		e.Word = fmt.Sprint("more", i)
		return e
	})
	if n := asked(run(fmt.Sprintf("plan after %d more", more), "plan", spec, "--ttl=14d")); n < more || n > more+few {
		t.Errorf("with %d new ones, the plan asked for %d manifests", more, n)
	}

	path := filepath.Join(t.TempDir(), "plan.json")
	run("saved plan", "plan", spec, "--ttl=14d", "-o", path)
	applied := run("apply", "apply", path, "--force-large")
	if !strings.Contains(applied.out, fmt.Sprintf("deleted %d; ", entries/2)) {
		t.Errorf("it says %s", applied.out)
	}
	if n := applied.counts["DELETE manifests"]; n != entries/2*at.deletions+1 { // and the probe
		t.Errorf("apply sent %d DELETEs for %d", n, entries/2)
	}
	if left := len(tagsOf(t, spec)); left != entries/2+more {
		t.Errorf("left are %d", left)
	}
	if again := run("run again", "run", spec, "--ttl=14d"); !strings.Contains(again.out, "nothing to do") || asked(again) > few {
		t.Errorf("then it says, after %v: %s", again.counts, again.out)
	}
}

// maxMemory is what cachegc may have at once, in bytes, whatever there is to clean.
const maxMemory = 150 << 20

// TestScale is the small one of TestScale_large.
func TestScale(t *testing.T) {
	for name, start := range map[string]func(testing.TB) served{"distribution": distribution, "crane": craneRegistry} {
		t.Run(name, func(t *testing.T) { scale(t, start(t), 300, maxMemory) })
	}
}

// TestScale_large takes minutes: make scale. KANIKO_SCALE is the number of entries; the same
// is then killed at random, with a twentieth of them. KANIKO_SCALE_REGISTRY chooses the
// registry. Docker's reads all tags of a repository at each deletion, which makes hours of it
// that say nothing of cachegc.
func TestScale_large(t *testing.T) {
	text := os.Getenv("KANIKO_SCALE")
	if text == "" {
		t.Skip("takes long: set KANIKO_SCALE to a number of entries, or make scale")
	}
	entries, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	start := craneRegistry
	if os.Getenv("KANIKO_SCALE_REGISTRY") == "distribution" {
		start = distribution
	}
	t.Run("whole", func(t *testing.T) { scale(t, start(t), entries, maxMemory) })
	t.Run("killed", func(t *testing.T) {
		killed(t, distribution(t).host+"/app/cache", entries/20, 40, 2*time.Second)
	})
}
