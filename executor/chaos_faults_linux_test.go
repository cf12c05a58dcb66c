package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	mathrand "math/rand"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestChaos_faults: whatever a registry does, a program ends with the right image, or with an
// error that says so and a documented status; the tag stands for the old image or the
// right one, whole; a cache is as good as before; and nothing is left. docs/reliability.md.
func TestChaos_faults(t *testing.T) {
	u := newRuins(t)
	otherwise := int64(500)
	if os.Getenv(chaosSeed) != "" {
		otherwise = 1
	}
	if u.programs == "" {
		otherwise = 3
	}
	first, runs := setting(t, chaosSeed, time.Now().Unix()%1_000_000*1000), setting(t, chaosRuns, otherwise)
	var outcomes, mishaps tally
	t.Run("runs", func(t *testing.T) {
		for seed := first; seed < first+runs; seed++ {
			t.Run(fmt.Sprint("SEED=", seed), func(t *testing.T) {
				t.Parallel()
				u.suffer(t, uint64(seed), &outcomes, &mishaps)
			})
		}
	})
	t.Logf("%d runs from SEED=%d\n%swhat went wrong:\n%s", runs, first, outcomes.String(), mishaps.String())
}

// suffer is one run.
func (u *ruins) suffer(t *testing.T, seed uint64, outcomes, mishaps *tally) {
	r, f := u.faulty(t, seed)
	defer func() {
		for kind, n := range f.Kinds() {
			mishaps.add(kind, n)
		}
		if t.Failed() {
			t.Logf("SEED=%d repeats it; what went wrong:\n%s", seed, strings.Join(f.Schedule(), "\n"))
		}
	}()
	random := rand.New(rand.NewPCG(seed, 1))
	compression := []string{"gzip", "zstd"}[random.IntN(2)]
	r.flags = append(r.flags, "--compression="+compression)
	if random.IntN(4) == 0 {
		r.cache = "oci:" + filepath.Join(r.dir, "cache")
	}
	r.flags = append(r.flags, "--cache", "--cache-copy-layers", "--cache-repo="+r.cache)
	tries := []string{
		fmt.Sprint("--push-retry=", random.IntN(5)), fmt.Sprint("--image-download-retry=", random.IntN(5)),
		"--push-chunk-size=" + []string{"0", "1MiB"}[random.IntN(2)],
	}
	what := random.IntN(20)
	if u.programs == "" {
		what = 0
	}
	old := r.tagOld(t)
	f.Quiet(true)
	if what >= 16 || random.IntN(2) == 0 { // the cache has something already
		if out, err := r.build([]string{"--no-push"}); err != nil {
			t.Fatalf("without faults: %v\n%s", err, out)
		}
	}
	f.Quiet(false)
	switch {
	case what < 16:
		r.faultyBuild(t, f, old, compression, tries, outcomes)
	case what < 18:
		r.faultyWarmer(t, f, compression, tries[1:2], outcomes)
	default:
		r.faultyClean(t, f, tries[:2], outcomes)
	}
	f.Quiet(true)
	r.sound(t, u.want[compression])
	r.clean(t)
	r.empty(t)
}

// faulty begins a run with a proxy between its programs and a registry.
func (u *ruins) faulty(t *testing.T, seed uint64) (*ruin, *registrytest.Faults) {
	tokens := seed%2 == 0
	config := registrytest.FaultConfig{Registry: u.open, Seed: seed}
	if tokens {
		config.Registry, config.Tokens = u.closed, u.tokens
	}
	f := registrytest.StartFaults(t, config)
	return u.begin(t, fmt.Sprint("seed", seed), f.Host(), tokens), f
}

func (r *ruin) faultyBuild(t *testing.T, f *registrytest.Faults, old v1.Hash, compression string, flags []string, outcomes *tally) {
	t.Helper()
	out, err := r.build(flags)
	f.Quiet(true)
	code, want := status(err), r.want[compression]
	outcomes.add(fmt.Sprint("executor: ", code), 1)
	legible(t, out)
	r.clean(t)
	r.empty(t)
	tagged := r.tagged(t)
	switch {
	case code == 0:
		if got := r.built(t); got != want || tagged != want {
			t.Errorf("it succeeds with %s, the tag stands for %s: want %s", got, tagged, want)
		}
	case !slices.Contains([]int{69, 73, 75, 77}, code):
		t.Errorf("it ends with %d: %v", code, err)
	case tagged != old && tagged != want:
		t.Errorf("it fails, and the tag stands for %s: neither the old image, %s, nor the new one, %s", tagged, old, want)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func (r *ruin) faultyWarmer(t *testing.T, f *registrytest.Faults, compression string, flags []string, outcomes *tally) {
	t.Helper()
	bases := filepath.Join(r.dir, "bases")
	args := append([]string{"--cache-dir=" + bases, "--image=" + r.at + "/base:1"}, flags...)
	out, err := r.run("warmer", args...)
	f.Quiet(true)
	code := status(err)
	outcomes.add(fmt.Sprint("warmer: ", code), 1)
	legible(t, out)
	if !slices.Contains([]int{0, 69, 75, 77}, code) {
		t.Errorf("warmer ends with %d: %v\n%s", code, err, out)
	}
	r.clean(t)
	r.sound(t, r.want[compression], "--cache-dir="+bases)
	if code != 0 {
		if out, err := r.run("warmer", args...); err != nil {
			t.Errorf("warmer without faults: %v\n%s", err, out)
		}
	}
	r.sound(t, r.want[compression], "--cache-dir="+bases, "--stale-if-error")
}

// faultyClean deletes what it can of the cache.
func (r *ruin) faultyClean(t *testing.T, f *registrytest.Faults, flags []string, outcomes *tally) {
	t.Helper()
	out, err := r.run("cachegc", append([]string{"run", r.cache, "--max-bytes=1", "--ttl=1ns", "--grace=0", "--force-large"}, flags...)...)
	f.Quiet(true)
	code := status(err)
	outcomes.add(fmt.Sprint("cachegc: ", code), 1)
	legible(t, out)
	if !slices.Contains([]int{0, 1, 3, 4, 5}, code) {
		t.Errorf("cachegc ends with %d: %v\n%s", code, err, out)
	}
	r.clean(t)
}

// shellLayer is busybox, and links to it.
func shellLayer() (v1.Layer, error) {
	content, err := os.ReadFile(conformance.Busybox)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	headers := []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Name: "bin/busybox", Mode: 0o755, Size: int64(len(content))},
	}
	for _, applet := range strings.Fields("sh cat echo wc sleep head") {
		headers = append(headers, &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"})
	}
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if h.Size > 0 {
			if _, err := w.Write(content); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

// seedSource is what go-containerregistry makes random images of.
func seedSource(seed int64) mathrand.Source { return mathrand.NewSource(seed) }
