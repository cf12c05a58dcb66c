package apply_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/cachegc/internal/apply"
	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func now() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// everywhere runs a test in each kind of place that a cache can be in.
func everywhere(t *testing.T, test func(t *testing.T, spec string)) {
	for name, start := range map[string]func(testing.TB) string{
		"registry 2.8": func(t testing.TB) string { return registrytest.Real(t, registrytest.RealConfig{}) + "/app/cache" },
		"registry 3":   func(t testing.TB) string { return registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache" },
		"layout":       func(t testing.TB) string { return "oci:" + filepath.Join(t.TempDir(), "cache") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func open(t testing.TB, spec string) place.Place {
	t.Helper()
	p, err := place.Open(spec, placetest.Client(), kind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// planned is the plan of a cache, with what it takes to undo it.
func planned(t testing.TB, p place.Place, rules policy.Rules) *plan.Cache {
	t.Helper()
	stock, err := inventory.Take(context.Background(), p, inventory.NewState(), inventory.Options{Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Make(p.String(), stock, rules, now())
	if err := plan.Gather(context.Background(), p, c, 4); err != nil {
		t.Fatal(err)
	}
	return c
}

func options() apply.Options { return apply.Options{Now: now, Grace: time.Hour} }

func run(t testing.TB, p place.Place, c *plan.Cache, o apply.Options) apply.Result {
	t.Helper()
	r, err := apply.Run(context.Background(), p, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tags are all tags of a place but that of the state.
func tags(t testing.TB, p place.Place) []string {
	t.Helper()
	var all []string
	err := p.Tags(context.Background(), func(tag kind.Tag) error { all = append(all, tag.Name); return nil })
	if err != nil && !place.Missing(err) {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func keys(words ...string) []string {
	var all []string
	for _, w := range words {
		all = append(all, placetest.Key(w))
	}
	slices.Sort(all)
	return all
}

// entries are those of the tags that are keys.
func entries(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(tag string) bool { return strings.Contains(tag, "-") })
}

func old(word string, age time.Duration) placetest.Entry {
	return placetest.Entry{Word: word, Created: now().Add(-age), Lineage: "a", Size: 2000}
}

func TestRun(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		c := placetest.Cache(t, spec)
		placetest.Put(t, c, old("one", 40*day), old("two", 30*day), old("three", 20*day), old("young", day))
		p := open(t, spec)
		todo := planned(t, p, policy.Rules{TTL: 7 * day})
		// Since the plan was made, a build has used one, replaced another, and somebody
		// deleted the third.
		placetest.Record(t, c, placetest.Journal{Lineage: "a", Ended: now(), Hits: []string{"one"}})
		placetest.Put(t, c, old("two", 0))
		three, err := p.Current(context.Background(), placetest.Key("three"))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Delete(context.Background(), kind.Victim{Digest: three, Tags: keys("three")}); err != nil {
			t.Fatal(err)
		}
		got := run(t, p, todo, options())
		want := map[apply.Status]int{apply.Used: 1, apply.Replaced: 1, apply.Gone: 1}
		if !maps.Equal(got.Counts, want) || got.Left != 0 {
			t.Errorf("came of it: %v, %d left; want %v", got.Counts, got.Left, want)
		}
		if left := entries(tags(t, p)); !slices.Equal(left, keys("one", "two", "young")) {
			t.Errorf("left are %q", left)
		}
		// What is still as planned goes.
		todo = planned(t, p, policy.Rules{UnusedFor: 12 * time.Hour})
		if got := run(t, p, todo, options()); got.Counts[apply.Deleted] != 1 || got.Bytes == 0 {
			t.Errorf("then: %v, %d bytes", got.Counts, got.Bytes)
		}
		if left := entries(tags(t, p)); !slices.Equal(left, keys("one", "two")) {
			t.Errorf("left then are %q", left)
		}
		// Whoever looks finds the rest whole.
		for _, word := range []string{"one", "two"} {
			e, err := c.Get(context.Background(), placetest.Definition(word).Key())
			if err != nil {
				t.Fatal(err)
			}
			r, err := e.Layer.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
	})
}

// TestRun_order: what was used longest ago goes first.
func TestRun_order(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	var want []string
	for i := range 8 {
		word := fmt.Sprint("word", i)
		placetest.Put(t, placetest.Cache(t, spec), old(word, time.Duration(40-i)*day))
		want = append(want, placetest.Key(word))
	}
	p := open(t, spec)
	var got []string
	o := options()
	o.AtATime = 1
	o.Report = func(e *plan.Entry, _ apply.Status, _ error) { got = append(got, e.Key) }
	run(t, p, planned(t, p, policy.Rules{TTL: day}), o)
	if !slices.Equal(got, want) {
		t.Errorf("deleted in the order %q; want %q", got, want)
	}
}

// TestRun_killed: a run that is stopped anywhere and begun again ends in the same state as
// one that is not.
func TestRun_killed(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		c := placetest.Cache(t, spec)
		r := rand.New(rand.NewPCG(7, 7))
		var keep []string
		for i := range 40 {
			word := fmt.Sprint("word", i)
			age := 30 * day
			if i%5 == 0 {
				age = day
				keep = append(keep, word)
			}
			placetest.Put(t, c, old(word, age))
		}
		for i := range 6 {
			placetest.Record(t, c, placetest.Journal{Lineage: "a", Ended: now().Add(-time.Duration(60-i) * day), Hits: keep})
		}
		p := open(t, spec)
		rules := policy.Rules{TTL: 7 * day, Journals: 7 * day}
		todo := planned(t, p, rules)
		if todo.Totals.Delete != 32+5 {
			t.Fatalf("%d are to be deleted; want 37", todo.Totals.Delete)
		}
		stops := 0
		for range 200 {
			ctx, stop := context.WithCancel(context.Background())
			after := r.IntN(6)
			o := options()
			o.Report = func(*plan.Entry, apply.Status, error) {
				if after--; after < 0 {
					stop()
				}
			}
			result, err := apply.Run(ctx, p, todo, o)
			stop()
			if err == nil && result.Left == 0 {
				break
			}
			if err == nil {
				t.Fatalf("no error, and %d are left", result.Left)
			}
			stops++
			if stops%2 == 0 { // the CronJob plans anew
				todo = planned(t, p, rules)
			}
		}
		if stops < 2 {
			t.Errorf("it was stopped %d times only", stops)
		}
		left := tags(t, p)
		if got := entries(left); !slices.Equal(got, keys(keep...)) {
			t.Errorf("left are %d entries; want %d", len(got), len(keep))
		}
		if len(left) != len(keep)+2 { // the last journal, under both its names
			t.Errorf("left are the tags %q", left)
		}
	})
}

// TestRun_last: a journal that has become the last of its lineage since it was planned to go
// stays.
func TestRun_last(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		c := placetest.Cache(t, spec)
		placetest.Put(t, c, old("one", 90*day))
		for i := range 3 {
			placetest.Record(t, c, placetest.Journal{Lineage: "a", Ended: now().Add(-time.Duration(60-i) * day), Hits: []string{"one"}})
		}
		p := open(t, spec)
		todo := planned(t, p, policy.Rules{Journals: 7 * day})
		if todo.Totals.Delete != 2 {
			t.Fatalf("%d are to be deleted; want 2", todo.Totals.Delete)
		}
		first := todo.Victims()[0]
		last := cache.LastPrefix + placetest.Lineage("a")
		if err := p.Put(context.Background(), last, first.Manifest, types.OCIManifestSchema1); err != nil {
			t.Fatal(err)
		}
		if got := run(t, p, todo, options()); got.Counts[apply.Used] != 1 || got.Counts[apply.Deleted] != 1 {
			t.Errorf("came of it: %v", got.Counts)
		}
		if h, err := p.Current(context.Background(), last); err != nil || h.String() != first.Digest {
			t.Errorf("the last journal is %s, %v", h, err)
		}
	})
}

func TestRun_unsupported(t *testing.T) {
	for name, start := range map[string]func(testing.TB, registrytest.RealConfig) string{"2.8": registrytest.Real, "3": registrytest.RealV3} {
		t.Run(name, func(t *testing.T) {
			spec := start(t, registrytest.RealConfig{KeepsAll: true}) + "/app/cache"
			placetest.Put(t, placetest.Cache(t, spec), old("one", 40*day), old("two", 40*day))
			p := open(t, spec)
			var unsupported *apply.UnsupportedError
			if err := apply.Probe(context.Background(), p); !errors.As(err, &unsupported) {
				t.Errorf("the probe says %v", err)
			}
			result, err := apply.Run(context.Background(), p, planned(t, p, policy.Rules{TTL: day}), options())
			if !errors.As(err, &unsupported) || unsupported.ExitCode() != 4 || unsupported.Hint() == "" || result.Left != 2 {
				t.Errorf("came of it: %+v, %v", result, err)
			}
		})
	}
}

// TestRun_referred: what the registry's own list, or that under a tag, has a referrer of stays.
func TestRun_referred(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	placetest.Put(t, placetest.Cache(t, spec), old("one", 40*day), old("two", 40*day))
	p, client := open(t, spec), placetest.Client()
	todo := planned(t, p, policy.Rules{TTL: day})
	m, err := p.Manifest(context.Background(), placetest.Key("one"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := client.Repository(spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.PushReferrer(context.Background(), repo, v1.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Raw))},
		registry.Referrer{ArtifactType: "application/vnd.test", Blobs: []registry.ReferrerBlob{{MediaType: "text/plain", Raw: []byte("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Referrers = true
	if got := run(t, p, todo, o); got.Counts[apply.Referred] != 1 || got.Counts[apply.Deleted] != 1 {
		t.Errorf("came of it: %v", got.Counts)
	}
}

// TestRun_signed: what was signed since the plan was made stays, with no request more.
func TestRun_signed(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	c := placetest.Cache(t, spec)
	placetest.Put(t, c, old("signed", 40*day), old("plain", 40*day))
	p := open(t, spec)
	made := planned(t, p, policy.Rules{TTL: 14 * day})
	for _, e := range made.Victims() {
		if e.Key != placetest.Key("signed") {
			continue
		}
		tag := strings.Replace(e.Digest, ":", "-", 1) + ".sig"
		if err := p.Put(t.Context(), tag, e.Manifest, e.MediaType); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, p, made, options())
	if r.Counts[apply.Referred] != 1 || r.Counts[apply.Deleted] != 1 {
		t.Errorf("it did %v", r.Counts)
	}
	if got := entries(tags(t, p)); !slices.Equal(got, keys("signed")) {
		t.Errorf("left are %q", got)
	}
}

func TestRestore(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		c := placetest.Cache(t, spec)
		placetest.Put(t, c, old("one", 40*day), old("two", 30*day))
		p := open(t, spec)
		before := tags(t, p)
		todo := planned(t, p, policy.Rules{TTL: day})
		o := options()
		o.Grace = 10 * day // blobs are younger than that in a directory, and stay
		o.Now = time.Now
		if got := run(t, p, todo, o); got.Counts[apply.Deleted] != 2 {
			t.Fatalf("came of it: %v", got.Counts)
		}
		if left := tags(t, p); len(left) != 0 {
			t.Fatalf("left are %q", left)
		}
		var reports int
		got, err := apply.Restore(context.Background(), p, todo, func(*plan.Entry, apply.Status) { reports++ })
		if err != nil || got.Counts[apply.Restored] != 2 || reports != 2 {
			t.Errorf("restored: %v, %v", got.Counts, err)
		}
		if after := tags(t, p); !slices.Equal(after, before) {
			t.Errorf("then there are %q; want %q", after, before)
		}
		if _, err := c.Get(context.Background(), placetest.Definition("one").Key()); err != nil {
			t.Error(err)
		}
		if got, err := apply.Restore(context.Background(), p, todo, func(*plan.Entry, apply.Status) {}); err != nil || got.Counts[apply.There] != 2 {
			t.Errorf("restored again: %v, %v", got.Counts, err)
		}
	})
}

// TestRestore_lost: what has lost its blobs is not put back, nor what the plan does not have.
func TestRestore_lost(t *testing.T) {
	spec := "oci:" + filepath.Join(t.TempDir(), "cache")
	placetest.Put(t, placetest.Cache(t, spec), old("one", 40*day), old("two", 30*day))
	p := open(t, spec)
	todo := planned(t, p, policy.Rules{TTL: day})
	todo.Victims()[1].Manifest = nil
	o := options()
	o.Grace, o.Now = 0, func() time.Time { return time.Now().Add(time.Hour) }
	run(t, p, todo, o)
	var lost *apply.LostError
	got, err := apply.Restore(context.Background(), p, todo, func(*plan.Entry, apply.Status) {})
	if !errors.As(err, &lost) || got.Counts[apply.Incomplete] != 1 || got.Counts[apply.Unsaved] != 1 {
		t.Errorf("restored: %v, %v", got.Counts, err)
	}
}

// TestRun_race: while all that can be is deleted, without grace, a build that takes layers
// from the cache, and makes anew what it has lost, gets an image that is whole. The executor
// itself is raced by make race.
func TestRun_race(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		target := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/image"
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		cleaned := make(chan error)
		placetest.Put(t, placetest.Cache(t, spec), old("word0", day))
		go func() {
			for ctx.Err() == nil {
				p, err := place.Open(spec, placetest.Client(), kind.Options{})
				if err != nil {
					cleaned <- err
					return
				}
				stock, err := inventory.Take(ctx, p, inventory.NewState(), inventory.Options{Now: now()})
				if err == nil {
					_, err = apply.Run(ctx, p, plan.Make(spec, stock, policy.Rules{TTL: 1}, now()), apply.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
				}
				p.Close()
				if err != nil && ctx.Err() == nil {
					cleaned <- err
					return
				}
			}
			cleaned <- nil
		}()
		for n := range 6 {
			client := placetest.Client()
			c, err := cache.Open(spec, client, cache.Options{Tool: "test 1"})
			if err != nil {
				t.Fatal(err)
			}
			if err := buildOnce(ctx, c, client, target, n); err != nil {
				t.Fatalf("build %d: %v", n, err)
			}
		}
		stop()
		if err := <-cleaned; err != nil {
			t.Error(err)
		}
	})
}

// buildOnce makes an image of five layers, each from the cache if that has it.
func buildOnce(ctx context.Context, c *cache.Place, client *registry.Client, target string, n int) error {
	repo, err := client.Repository(target)
	if err != nil {
		return err
	}
	image := empty.Image
	for i := range 5 {
		word := fmt.Sprint("word", i)
		content, err := layerOf(ctx, c, word)
		if err != nil {
			return err
		}
		if image, err = mutate.AppendLayers(image, static.NewLayer(content, types.OCIUncompressedLayer)); err != nil {
			return err
		}
	}
	tag := repo.Tag(fmt.Sprint("n", n))
	if err := client.PushImage(ctx, tag, image); err != nil {
		return err
	}
	pushed, err := remote.Image(tag)
	if err != nil {
		return err
	}
	return validate.Image(pushed, validate.Fast)
}

// layerOf is what a word's entry has, or what it would have.
func layerOf(ctx context.Context, c *cache.Place, word string) ([]byte, error) {
	e, err := c.Get(ctx, placetest.Definition(word).Key())
	if err == nil {
		var raw []byte
		if raw, err = readLayer(e); err == nil {
			return raw, nil
		}
	}
	if lost := new(cache.LostError); !errors.As(err, &lost) && !errors.Is(err, cache.ErrMiss) {
		return nil, err
	}
	// Docker's registry may answer 500 to who puts something under a tag that is just being
	// deleted. That an entry cannot be kept is no reason for a build to fail: the executor
	// warns.
	err = placetest.Make(ctx, c, old(word, day))
	if answer := new(registry.Error); errors.As(err, &answer) && answer.Status == http.StatusInternalServerError {
		err = nil
	}
	return placetest.Content(word, 2000), err
}

func readLayer(e *cache.Entry) ([]byte, error) {
	r, err := e.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
