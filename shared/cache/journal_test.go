package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func journal(t testing.TB, n int) cache.Journal {
	return cache.Journal{
		Lineage: strings.Repeat("cd", 32), Image: hash(t, []byte{byte(n)}).String(), Tool: tool,
		Started: created(), Ended: created().Add(time.Duration(n) * time.Minute),
		Steps: []cache.Step{
			{Name: "build", Line: 3, Text: "RUN make", Key: definition("x").Key(), Use: cache.Hit, Size: 5},
			{Line: 4, Text: "COPY . .", Key: definition("y").Key(), Use: cache.Made, Missed: []string{"a file changed"}},
		},
	}
}

// TestJournals: a journal is found as the last of its lineage, and by the image.
func TestJournals(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		ctx := context.Background()
		one, two, failed := journal(t, 1), journal(t, 2), journal(t, 3)
		failed.Image = ""
		place := in(t, spec, cache.Options{})
		if _, err := place.Last(ctx, one.Lineage); err != cache.ErrMiss {
			t.Errorf("of an empty cache: %v", err)
		}
		image, _ := v1.NewHash(one.Image)
		if _, err := place.OfImage(ctx, image); err != cache.ErrMiss {
			t.Errorf("of an empty cache: %v", err)
		}
		text := definition("of a step that left no entry")
		one.Definitions = []cachekey.Definition{text, text}
		if err := place.Record(ctx, one); err != nil {
			t.Fatal(err)
		}
		one.Definitions = nil
		if got, err := place.Definition(ctx, text.Key()); err != nil || got != text {
			t.Errorf("the definition beside the journal is %q, %v", got, err)
		}
		for _, j := range []cache.Journal{one, two, failed} {
			if err := in(t, spec, cache.Options{}).Record(ctx, j); err != nil {
				t.Fatal(err)
			}
			got, err := in(t, spec, cache.Options{}).Last(ctx, j.Lineage)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&j, got); d != "" {
				t.Error(d)
			}
		}
		for _, j := range []cache.Journal{one, two} {
			image, _ := v1.NewHash(j.Image)
			got, err := place.OfImage(ctx, image)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&j, got); d != "" {
				t.Error(d)
			}
		}
	})
}

// TestRecord_tags: each journal keeps a tag of its own, by which it is known when it
// was made.
func TestRecord_tags(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	place := in(t, s.Host()+"/cache", cache.Options{})
	j := journal(t, 1)
	j.Steps[0].Text = strings.Repeat("x\n", 500)
	for range 2 {
		if err := place.Record(context.Background(), j); err != nil {
			t.Fatal(err)
		}
	}
	tags := s.Tags("cache")
	own := regexp.MustCompile(`^journal-20261123T160100Z-[0-9a-f]{8}$`)
	var mine []string
	for _, tag := range tags {
		if own.MatchString(tag) {
			mine = append(mine, tag)
		}
	}
	image := strings.TrimPrefix(j.Image, "sha256:")
	if len(mine) != 2 || len(tags) != 4 || !slices.Contains(tags, "last-"+j.Lineage) || !slices.Contains(tags, "image-"+image) {
		t.Errorf("tags %q", tags)
	}
	var m v1.Manifest
	if err := json.Unmarshal(s.Manifest("cache", mine[0]), &m); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		cache.AnnotationKind: cache.KindJournal, cache.AnnotationLineage: j.Lineage, cache.AnnotationImage: j.Image,
		cache.AnnotationCreated: "2026-11-23T16:01:00Z", cache.AnnotationTool: tool,
	} {
		if m.Annotations[name] != want {
			t.Errorf("%s is %q", name, m.Annotations[name])
		}
	}
	got, err := place.Last(context.Background(), j.Lineage)
	if err != nil || len(got.Steps[0].Text) > 200 || len(j.Steps[0].Text) != 1000 {
		t.Errorf("text of %d bytes, %v", len(got.Steps[0].Text), err)
	}
}

// TestRecord_immutable: where tags cannot be moved, the journal is kept, and the
// error says what was not.
func TestRecord_immutable(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Immutable: true})
	place := in(t, s.Host()+"/cache", cache.Options{})
	ctx := context.Background()
	one, two := journal(t, 1), journal(t, 2)
	if err := place.Record(ctx, one); err != nil {
		t.Fatal(err)
	}
	err := place.Record(ctx, two)
	var tag *cache.TagError
	if !errors.As(err, &tag) || tag.Tag != "last-"+two.Lineage || s.Manifest("cache", tag.Kept) == nil {
		t.Errorf("error %v", err)
	}
	if tag != nil && (tag.Hint() == "" || !strings.Contains(err.Error(), "TAG_INVALID")) {
		t.Errorf("error %v, hint %q", err, tag.Hint())
	}
	image, _ := v1.NewHash(two.Image)
	if got, err := place.OfImage(ctx, image); err != nil || got.Image != two.Image {
		t.Errorf("the second journal: %v", err)
	}
	if got, err := place.Last(ctx, one.Lineage); err != nil || got.Image != one.Image {
		t.Errorf("the last journal: %v", err)
	}
}

// TestRecord_refused: what is no journal, and where none can be left.
func TestRecord_refused(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	place := in(t, s.Host()+"/cache", cache.Options{})
	ctx := context.Background()
	for name, change := range map[string]func(*cache.Journal){
		"lineage": func(j *cache.Journal) { j.Lineage = "app/web" },
		"none":    func(j *cache.Journal) { j.Lineage = "" },
		"time":    func(j *cache.Journal) { j.Ended = time.Time{} },
		"image":   func(j *cache.Journal) { j.Image = "latest" },
		"large":   func(j *cache.Journal) { j.Steps[0].Missed = []string{strings.Repeat("x", 8<<20)} },
	} {
		j := journal(t, 1)
		change(&j)
		if err := place.Record(ctx, j); err == nil {
			t.Errorf("%s: recorded", name)
		}
	}
	if n := s.Count(""); n != 0 {
		t.Errorf("%q", s.Requests())
	}
	if _, err := place.Last(ctx, "app/web"); err == nil || errors.Is(err, cache.ErrMiss) {
		t.Errorf("a lineage that is none: %v", err)
	}
	s.Script("PUT manifest: 403 always")
	var tag *cache.TagError
	if err := place.Record(ctx, journal(t, 1)); err == nil || errors.As(err, &tag) {
		t.Errorf("where nothing may be pushed: %v", err)
	}
	s.Script("GET manifest: 403 always")
	if _, err := place.Last(ctx, journal(t, 1).Lineage); err == nil || errors.Is(err, cache.ErrMiss) {
		t.Errorf("where nothing may be pulled: %v", err)
	}
}

// TestLast_wrong: what is under a journal's tag and is none of it is a miss.
func TestLast_wrong(t *testing.T) {
	const ours = types.OCIManifestSchema1
	for place, start := range tamperable() {
		t.Run(place, func(t *testing.T) {
			w := start(t)
			p := in(t, w.spec, cache.Options{})
			ctx := context.Background()
			j := journal(t, 1)
			last := cache.LastPrefix + j.Lineage
			r := result(t, "a", 100)
			put(t, p, r)
			if err := p.Record(ctx, j); err != nil {
				t.Fatal(err)
			}
			raw := w.read(last)
			other := strings.Repeat("ef", 32)
			w.plant(cache.LastPrefix+other, ours, raw)
			miss := func(lineage, reason string) {
				t.Helper()
				_, err := p.Last(ctx, lineage)
				if !errors.Is(err, cache.ErrMiss) || !strings.Contains(err.Error(), reason) {
					t.Errorf("got %v, want a miss because %s", err, reason)
				}
			}
			miss(other, "the journal of another lineage")
			image := hash(t, []byte("other"))
			w.plant(cache.ImagePrefix+image.Hex, ours, raw)
			if _, err := p.OfImage(ctx, image); !errors.Is(err, cache.ErrMiss) || !strings.Contains(err.Error(), "the journal of another image") {
				t.Errorf("another image's: %v", err)
			}
			w.plant(last, ours, w.read(string(r.Definition.Key())))
			miss(j.Lineage, `of the kind "entry"`)
			w.plant(last, ours, raw[:20])
			miss(j.Lineage, "a damaged manifest")
			w.plant(last, ours, edit(t, raw, func(m *v1.Manifest) { m.Config.Digest = m.Layers[0].Digest }))
			miss(j.Lineage, "another lineage")
			w.plant(last, ours, edit(t, raw, func(m *v1.Manifest) { m.Config.Digest = hash(t, []byte(r.Definition)) }))
			miss(j.Lineage, "a damaged journal")
			w.plant(last, ours, raw)
			var m v1.Manifest
			edit(t, raw, func(got *v1.Manifest) { m = *got })
			w.spoil(m.Config.Digest, []byte("x"))
			miss(j.Lineage, "damaged")
			w.spoil(m.Config.Digest, nil)
			miss(j.Lineage, cache.ErrMiss.Error())
		})
	}
}
