package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// program runs cachegc as a process of its own; TestMain has put it into PATH.
func program(args ...string) *exec.Cmd { return exec.Command("cachegc", args...) }

// tagsOf are all tags of a cache but that of the state.
func tagsOf(t testing.TB, spec string) []string {
	t.Helper()
	p, err := place.Open(spec, placetest.Client(), kind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var all []string
	err = p.Tags(context.Background(), func(tag kind.Tag) error {
		if tag.Name != "gc-state" {
			all = append(all, tag.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestKilled: a process that is killed wherever it is, by a signal that it cannot take, and
// run again ends in the same state as one that is not.
func TestKilled(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{
		"registry 2.8": func(t testing.TB) string { return registrytest.Real(t, registrytest.RealConfig{}) + "/app/cache" },
		"registry 3":   func(t testing.TB) string { return registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache" },
		"layout":       func(t testing.TB) string { return "oci:" + filepath.Join(t.TempDir(), "cache") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := start(t)
			c := placetest.Cache(t, spec)
			var want []string
			for i := range 60 {
				e := placetest.Entry{Word: fmt.Sprint("word", i), Created: time.Now().Add(-1000 * time.Hour), Lineage: "a", Size: 100}
				if i%6 == 0 {
					e.Created = time.Now().Add(-100 * time.Hour)
					want = append(want, placetest.Key(e.Word))
				}
				placetest.Put(t, c, e)
			}
			slices.Sort(want)
			args := []string{"run", spec, "--ttl=14d", "--force-large", "--grace=0"}
			r := rand.New(rand.NewPCG(1, 2))
			killed := 0
			for range 60 {
				cmd := program(args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(time.Duration(15+r.IntN(100))*time.Millisecond, func() { cmd.Process.Kill() })
				err := cmd.Wait()
				if timer.Stop() && err == nil {
					break
				}
				killed++
			}
			if out, err := program(args...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := tagsOf(t, spec)
			if name == "registry 2.8" {
				got = slices.DeleteFunc(got, func(tag string) bool { return !slices.Contains(want, tag) && !there(t, spec, tag) })
			}
			if !slices.Equal(got, want) {
				t.Errorf("after %d kills there are %d tags; want %d", killed, len(got), len(want))
			}
			if killed == 0 {
				t.Error("it was never killed")
			}
			for i := range 60 {
				_, err := c.Get(context.Background(), placetest.Definition(fmt.Sprint("word", i)).Key())
				if (err == nil) != (i%6 == 0) {
					t.Errorf("entry %d: %v", i, err)
				}
			}
		})
	}
}

// there tells whether a tag stands for something. Docker's registry of 2.8 cannot remove
// one that does not, if it was stopped while it deleted.
func there(t testing.TB, spec, tag string) bool {
	t.Helper()
	p, err := place.Open(spec, placetest.Client(), kind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.Current(context.Background(), tag)
	if err != nil && !place.Missing(err) {
		t.Fatal(err)
	}
	return err == nil
}

// measured is what a run used.
type measured struct {
	out    string
	rss    int64          // most memory, in bytes
	counts map[string]int // requests by method and route
	took   time.Duration
}

// measure runs cachegc and counts its requests.
func measure(t testing.TB, args ...string) measured {
	t.Helper()
	path := filepath.Join(t.TempDir(), "metrics.prom")
	cmd := program(append(args, "--metrics-file="+path)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, &out)
	}
	m := measured{out: out.String(), counts: map[string]int{}, took: time.Since(begun)}
	m.rss = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^http_client_request_duration_seconds_count\{.*http_request_method="(\w+)".*http_route="([^"]+)".*\} (\d+)$`)
	for s := bufio.NewScanner(f); s.Scan(); {
		if found := line.FindStringSubmatch(s.Text()); found != nil {
			n, _ := strconv.Atoi(found[3])
			m.counts[found[1]+" "+found[2]] += n
		}
	}
	return m
}

// scale fills a cache, cleans half of it, and looks what that took.
func scale(t *testing.T, entries int, ceiling int64) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	begun := time.Now()
	var wait sync.WaitGroup
	work := make(chan int)
	for range 8 {
		c := placetest.Cache(t, spec)
		wait.Go(func() {
			for i := range work {
				e := placetest.Entry{Word: fmt.Sprint("word", i), Layer: "all have the same", Lineage: fmt.Sprint("l", i%100), Created: time.Now().Add(-time.Duration(1000+i%7) * time.Hour), Size: 1000}
				if i%2 == 0 {
					e.Created = time.Now().Add(-time.Duration(100+i%7) * time.Hour)
				}
				if err := placetest.Make(context.Background(), c, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range entries {
		work <- i
	}
	close(work)
	wait.Wait()
	t.Logf("filled in %s", time.Since(begun).Round(time.Second))
	const manifests = "/v2/{name}/manifests/{reference}"
	tell := func(name string, m measured) {
		t.Logf("%s: %s, %d MB, %v", name, m.took.Round(time.Millisecond), m.rss>>20, m.counts)
		if m.rss > ceiling {
			t.Errorf("%s took %d MB", name, m.rss>>20)
		}
	}
	first := measure(t, "plan", spec, "--ttl=14d")
	tell("first plan", first)
	if n := first.counts["GET "+manifests]; n < entries || n > entries+10 {
		t.Errorf("the first plan asked for %d manifests of %d", n, entries)
	}
	second := measure(t, "plan", spec, "--ttl=14d")
	tell("second plan", second)
	if n := second.counts["GET "+manifests] + second.counts["HEAD "+manifests]; n > 10 {
		t.Errorf("the second plan asked for %d manifests", n)
	}
	path := filepath.Join(t.TempDir(), "plan.json")
	saved := measure(t, "plan", spec, "--ttl=14d", "-o", path)
	tell("saved plan", saved)
	run := measure(t, "apply", path, "--force-large")
	tell("apply", run)
	if !strings.Contains(run.out, fmt.Sprintf("deleted %d; ", entries/2)) {
		t.Errorf("it says %s", run.out)
	}
	if n := run.counts["DELETE "+manifests]; n != entries/2+1 {
		t.Errorf("apply sent %d DELETEs for %d", n, entries/2)
	}
	if left := len(tagsOf(t, spec)); left != entries/2 {
		t.Errorf("left are %d", left)
	}
	again := measure(t, "run", spec, "--ttl=14d")
	tell("run again", again)
	if !strings.Contains(again.out, "nothing to do") {
		t.Errorf("then it says %s", again.out)
	}
}

// TestScale is the small one of TestScale_large.
func TestScale(t *testing.T) { scale(t, 300, 150<<20) }

// TestScale_large takes minutes: make scale. KANIKO_SCALE is the number of entries.
func TestScale_large(t *testing.T) {
	text := os.Getenv("KANIKO_SCALE")
	if text == "" {
		t.Skip("takes long: set KANIKO_SCALE to a number of entries, or make scale")
	}
	entries, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	scale(t, entries, 150<<20)
}
