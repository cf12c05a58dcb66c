package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
			killed(t, start(t), 60, 60, 100*time.Millisecond)
		})
	}
}

// killed fills a cache, and cleans it by processes that are killed after up to some time
// each, so many at most.
func killed(t *testing.T, spec string, entries, kills int, within time.Duration) {
	now := time.Now()
	stays := func(i int) bool { return i%6 == 0 }
	placetest.Many(t, spec, entries, func(i int) placetest.Entry {
		e := placetest.Entry{Word: fmt.Sprint("word", i), Created: now.Add(-1000 * time.Hour), Lineage: "a", Size: 100}
		if stays(i) {
			e.Created = now.Add(-100 * time.Hour)
		}
		return e
	})
	var want []string
	for i := range entries {
		if stays(i) {
			want = append(want, placetest.Key(fmt.Sprint("word", i)))
		}
	}
	slices.Sort(want)
	args := []string{"run", spec, "--ttl=14d", "--force-large", "--grace=0"}
	r := rand.New(rand.NewPCG(1, 2))
	died := 0
	for range kills {
		cmd := program(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(15*time.Millisecond+time.Duration(r.Int64N(int64(within))), func() { cmd.Process.Kill() })
		err := cmd.Wait()
		if timer.Stop() && err == nil {
			break
		}
		died++
	}
	if out, err := program(args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Docker's registry of 2.8 cannot remove a tag that stands for nothing, if it was stopped
	// while it deleted.
	got := slices.DeleteFunc(tagsOf(t, spec), func(tag string) bool { _, kept := slices.BinarySearch(want, tag); return !kept && !there(t, spec, tag) })
	if !slices.Equal(got, want) {
		t.Errorf("after %d kills there are %d tags; want %d", died, len(got), len(want))
	}
	if died == 0 {
		t.Error("it was never killed")
	}
	c := placetest.Cache(t, spec)
	for i := range entries {
		if _, err := c.Get(context.Background(), placetest.Definition(fmt.Sprint("word", i)).Key()); (err == nil) != stays(i) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if dir, ok := strings.CutPrefix(spec, "oci:"); ok {
		blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
		if most := 3*len(want) + 3; err != nil || len(blobs) > most { // config, layer and manifest; and those of the state
			t.Errorf("there are %d blobs, more than %d, %v", len(blobs), most, err)
		}
	}
	t.Logf("killed %d times; %d of %d entries are left", died, len(got), entries)
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
