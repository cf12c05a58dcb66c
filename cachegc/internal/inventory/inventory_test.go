package inventory_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
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

func open(t testing.TB, spec string, c *registry.Client) place.Place {
	t.Helper()
	p, err := place.Open(spec, c, kind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func take(t testing.TB, p place.Place, s *inventory.State, o inventory.Options) *inventory.Inventory {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now()
	}
	i, err := inventory.Take(context.Background(), p, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// find is the item of a word's entry; nil without one.
func find(i *inventory.Inventory, word string) *inventory.Item {
	for _, item := range i.Items {
		if item.Key == placetest.Key(word) {
			return item
		}
	}
	return nil
}

func TestTake(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		c := placetest.Cache(t, spec)
		placetest.Put(t, c,
			placetest.Entry{Word: "base", Size: 1000, Created: now().Add(-40 * day), Lineage: "a"},
			placetest.Entry{Word: "lib", Parent: "base", Layer: "same", Size: 500, Created: now().Add(-30 * day), Lineage: "a"},
			placetest.Entry{Word: "copy", Parent: "gone", Layer: "same", Size: 500, Created: now().Add(-30 * day), Lineage: "b"},
		)
		image := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}
		placetest.Record(t, c,
			placetest.Journal{Lineage: "b", Ended: now().Add(-30 * day), Made: []string{"copy", "gone"}},
			placetest.Journal{Lineage: "a", Ended: now().Add(-20 * day), Hits: []string{"base", "lib"}},
			placetest.Journal{Lineage: "a", Ended: now().Add(-10 * day), Hits: []string{"base"}, Image: image},
			placetest.Journal{Lineage: "a", Ended: now().Add(-5 * day), Hits: []string{"base"}},
		)
		p := open(t, spec, placetest.Client())
		got := take(t, p, inventory.NewState(), inventory.Options{})
		if got.Others != 0 || len(got.Damaged) != 0 {
			t.Errorf("%d others, damaged %q", got.Others, got.Damaged)
		}
		for word, want := range map[string]inventory.Item{
			"base": {Used: now().Add(-5 * day), Hits: 3},
			"lib":  {Used: now().Add(-20 * day), Hits: 1},
			"copy": {Used: now().Add(-30 * day), Hits: 1, Lost: true},
		} {
			item := find(got, word)
			if item == nil {
				t.Errorf("%s is not there", word)
				continue
			}
			if !item.Used.Equal(want.Used) || item.Hits != want.Hits || item.Lost != want.Lost || item.Pinned != "" {
				t.Errorf("%s: used %s, %d hits, lost %t, pinned %q; want %s, %d, %t", word, item.Used, item.Hits, item.Lost, item.Pinned, want.Used, want.Hits, want.Lost)
			}
			if !slices.Equal(item.Tags, []string{item.Key}) {
				t.Errorf("%s has the tags %q", word, item.Tags)
			}
		}
		var told, pinned, journals int
		for _, item := range got.Items {
			if item.Kind != inventory.Journal {
				continue
			}
			journals++
			if item.Told {
				told++
				if !item.Created.Equal(now().Add(-10 * day)) {
					t.Errorf("the journal of %s is said to say nothing new", item.Created)
				}
			}
			if item.Pinned != "" {
				pinned++
			}
		}
		// Of a the first is the only one that speaks of lib, and the last one stands for itself.
		if journals != 4 || told != 1 || pinned != 2 {
			t.Errorf("%d journals, %d of them told and %d pinned; want 4, 1 and 2", journals, told, pinned)
		}
	})
}

// counting counts requests for manifests.
type counting struct {
	http.RoundTripper
	mu    sync.Mutex
	gets  int
	heads int
	lists int
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	switch {
	case strings.Contains(req.URL.Path, "/tags/list"):
		c.lists++
	case req.Method == http.MethodHead:
		c.heads++
	case strings.Contains(req.URL.Path, "/manifests/"), strings.Contains(req.URL.Path, "/blobs/"):
		c.gets++
	}
	c.mu.Unlock()
	return c.RoundTripper.RoundTrip(req)
}

// TestTake_again: what is known is not asked for again, in another process too.
func TestTake_again(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	c := placetest.Cache(t, spec)
	for i := range 30 {
		placetest.Put(t, c, placetest.Entry{Word: fmt.Sprint("word", i), Created: now().Add(-time.Duration(i) * day), Lineage: "a"})
	}
	placetest.Record(t, c, placetest.Journal{Lineage: "a", Ended: now().Add(-day), Hits: []string{"word1"}})
	counts := &counting{}
	p := open(t, spec, registry.New(registry.Config{Wrap: func(rt http.RoundTripper) http.RoundTripper { counts.RoundTripper = rt; return counts }}))
	state := inventory.NewState()
	first := take(t, p, state, inventory.Options{})
	// 30 entries, and of the journal manifest and config.
	if counts.gets != 32 || first.New != 31 {
		t.Errorf("the first run sent %d GETs for %d new; want 32 for 31", counts.gets, first.New)
	}
	packed, err := state.Encode(p.String())
	if err != nil {
		t.Fatal(err)
	}
	again, err := inventory.ReadState(packed, p.String())
	if err != nil {
		t.Fatal(err)
	}
	placetest.Put(t, c, placetest.Entry{Word: "new", Created: now(), Lineage: "a"})
	counts.gets, counts.heads = 0, 0
	second := take(t, p, again, inventory.Options{})
	if counts.gets != 1 || second.New != 1 || counts.heads != 1 {
		t.Errorf("the second run sent %d GETs and %d HEADs; want one of each, for what is new and the last journal's tag", counts.gets, counts.heads)
	}
	if len(second.Items) != len(first.Items)+1 {
		t.Errorf("%d items, then %d", len(first.Items), len(second.Items))
	}
	if item := find(second, "word1"); item == nil || !item.Used.Equal(now().Add(-day)) {
		t.Errorf("what the state knows of word1 is %+v", item)
	}
	one, _ := again.Encode(p.String())
	two, _ := again.Encode(p.String())
	if string(one) != string(two) {
		t.Error("the same state is written in two ways")
	}
}

// TestTake_others: what is not of a cache is left alone, and what something else refers to
// is pinned.
func TestTake_others(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	c, client := placetest.Cache(t, spec), placetest.Client()
	placetest.Put(t, c,
		placetest.Entry{Word: "plain", Created: now().Add(-day), Lineage: "a"},
		placetest.Entry{Word: "member", Created: now().Add(-day), Lineage: "a"},
		placetest.Entry{Word: "signed", Created: now().Add(-day), Lineage: "a"},
		placetest.Entry{Word: "tagged", Created: now().Add(-day), Lineage: "a"},
	)
	p := open(t, spec, client)
	ctx := context.Background()
	manifest := func(word string) *registry.Manifest {
		m, err := p.Manifest(ctx, placetest.Key(word), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.Put(ctx, "mine", manifest("tagged").Raw, types.OCIManifestSchema1))
	index, err := mutate.AppendManifests(empty.Index).RawManifest()
	must(err)
	member := manifest("member")
	index = []byte(strings.Replace(string(index), `"manifests":[]`, fmt.Sprintf(`"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]`, member.MediaType, member.Digest, len(member.Raw)), 1))
	must(p.Put(ctx, "latest", index, types.OCIImageIndex))
	// An image that is signed, and the image itself, which is none of ours.
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("a layer"), types.DockerLayer))
	must(err)
	repo, err := client.Repository(spec)
	must(err)
	must(client.PushImage(ctx, repo.Tag("v1"), image))
	must(client.PushImage(ctx, repo.Tag("sha256-"+manifest("signed").Digest.Hex+".sig"), image))

	got := take(t, p, inventory.NewState(), inventory.Options{})
	if len(got.Items) != 4 || got.Others != 3 {
		t.Errorf("%d items and %d others; want 4 and 3", len(got.Items), got.Others)
	}
	for word, want := range map[string]string{
		"plain": "", "member": "something else in the repository refers to it", "signed": "something else in the repository refers to it",
		"tagged": "it has the tag mine, which is not the cache's",
	} {
		if item := find(got, word); item == nil || item.Pinned != want {
			t.Errorf("%s is %+v; want pinned %q", word, item, want)
		}
	}
}

// oldKaniko pushes an entry as kaniko v1 has it: an image of one layer, whose config says when
// it was made.
func oldKaniko(t testing.TB, client *registry.Client, spec, word string, made time.Time) {
	t.Helper()
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte(word), types.DockerLayer)})
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.CreatedAt(image, v1.Time{Time: made}); err != nil {
		t.Fatal(err)
	}
	repo, err := client.Repository(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.PushImage(context.Background(), repo.Tag(placetest.Key(word)), image); err != nil {
		t.Fatal(err)
	}
}

// TestTake_foreign: an old kaniko's entries are ours only if that is said, and one without a
// time is as old as we know it.
func TestTake_foreign(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	client := placetest.Client()
	oldKaniko(t, client, spec, "dated", now().Add(-20*day))
	oldKaniko(t, client, spec, "reproducible", time.Unix(0, 0))
	p := open(t, spec, client)
	state := inventory.NewState()
	if got := take(t, p, state, inventory.Options{Now: now().Add(-10 * day)}); len(got.Items) != 0 || got.Others != 2 {
		t.Errorf("%d items and %d others; want 0 and 2", len(got.Items), got.Others)
	}
	got := take(t, p, state, inventory.Options{Foreign: true, Now: now().Add(-9 * day)})
	if item := find(got, "dated"); item == nil || !item.Created.Equal(now().Add(-20*day)) || item.Kind != inventory.Foreign {
		t.Errorf("dated is %+v", item)
	}
	got = take(t, p, state, inventory.Options{Foreign: true})
	if item := find(got, "reproducible"); item == nil || !item.Created.IsZero() || item.Used.Before(now().Add(-10*day)) || got.New != 0 {
		t.Errorf("reproducible is %+v, and %d were asked for", item, got.New)
	}
}

// broken is a registry that gives a first page of tags, and refuses the second: a fault that
// no real one can be asked for.
type broken struct {
	http.RoundTripper
	status int
}

func (b broken) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil || !strings.HasSuffix(req.URL.Path, "/tags/list") {
		return resp, err
	}
	resp.Header.Set("Link", `</v2/app/cache/tags/list?n=1&last=x>; rel="next"`)
	if req.URL.Query().Get("last") != "" {
		resp.StatusCode = b.status
	}
	return resp, nil
}

// TestTake_refused: nothing is made of a list that is not complete, nor of a cache whose
// journals are all gone.
func TestTake_refused(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	c := placetest.Cache(t, spec)
	placetest.Put(t, c, placetest.Entry{Word: "a", Created: now().Add(-day), Lineage: "a"})
	state := inventory.NewState()
	state.Journals = 3
	_, err := inventory.Take(context.Background(), open(t, spec, placetest.Client()), state, inventory.Options{Now: now()})
	if err == nil || !strings.Contains(err.Error(), "there were 3 journals the last time") {
		t.Errorf("without journals: %v", err)
	}
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound} {
		p := open(t, spec, registry.New(registry.Config{Wrap: func(rt http.RoundTripper) http.RoundTripper { return broken{rt, status} }}))
		if got, err := inventory.Take(context.Background(), p, inventory.NewState(), inventory.Options{Now: now()}); err == nil {
			t.Errorf("half a list, and then %d, is taken for one of %d items", status, len(got.Items))
		}
	}
}

func TestReadState_wrong(t *testing.T) {
	good, err := inventory.NewState().Encode("here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inventory.ReadState(good, "here"); err != nil {
		t.Error(err)
	}
	for name, packed := range map[string][]byte{"empty": nil, "cut": good[:len(good)/2], "text": []byte("text")} {
		if _, err := inventory.ReadState(packed, "here"); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if _, err := inventory.ReadState(good, "there"); err == nil {
		t.Error("the state of another cache is read")
	}
}

// TestTake_damaged: what has the form of a journal and is none is left alone.
func TestTake_damaged(t *testing.T) {
	spec := registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
	p := open(t, spec, placetest.Client())
	text := []byte("no journal")
	config := static.NewLayer(text, cache.JournalType)
	digest, _ := config.Digest()
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[],"annotations":{%q:%q}}`,
		types.OCIManifestSchema1, cache.JournalType, digest, len(text), cache.AnnotationKind, cache.KindJournal)
	if err := p.Put(context.Background(), "journal-20261101T000000Z-00000000", []byte(raw), types.OCIManifestSchema1, text); err != nil {
		t.Fatal(err)
	}
	if got := take(t, p, inventory.NewState(), inventory.Options{}); len(got.Items) != 0 || got.Others != 1 {
		t.Errorf("%d items, %d others", len(got.Items), got.Others)
	}
}
