package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// FakeCache has what it is given.
type FakeCache struct {
	name        string
	definitions []cachekey.Definition
	journal     *cache.Journal
	err         error // instead of a miss
}

func (f *FakeCache) String() string { return f.name }

func (f *FakeCache) miss() error {
	if f.err != nil {
		return f.err
	}
	return cache.ErrMiss
}

func (f *FakeCache) Definition(_ context.Context, key cachekey.Key) (cachekey.Definition, error) {
	for _, d := range f.definitions {
		if d.Key() == key {
			return d, nil
		}
	}
	return "", f.miss()
}

func (f *FakeCache) OfImage(_ context.Context, image v1.Hash) (*cache.Journal, error) {
	if f.journal != nil && f.journal.Image == image.String() {
		return f.journal, nil
	}
	return nil, f.miss()
}

func define(env ...string) cachekey.Definition {
	w := cachekey.NewWriter()
	w.Line("run", "/bin/sh", "-c", "make")
	for _, e := range env {
		w.Line("env", "VERSION", e)
	}
	return w.Definition()
}

func text(a Answer) string {
	var w bytes.Buffer
	WriteText(&w, a)
	return w.String()
}

// document is an answer's JSON, read again.
func document(t *testing.T, a Answer) map[string]any {
	t.Helper()
	var w bytes.Buffer
	if err := WriteJSON(&w, a); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(w.Bytes(), &doc); err != nil {
		t.Fatalf("%v: %s", err, w.Bytes())
	}
	return doc
}

func TestCompare(t *testing.T) {
	one, two := define("1"), define("2")
	caches := Caches{&FakeCache{definitions: []cachekey.Definition{one}}, &FakeCache{definitions: []cachekey.Definition{two}}}
	c, err := caches.Compare(t.Context(), one.Key(), two.Key())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("variable VERSION: 1 → 2\n\n--- %s\n+++ %s\n-env VERSION 1\n+env VERSION 2\n", one.Key(), two.Key())
	if got := text(c); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got, _ := json.Marshal(document(t, c))
	wantJSON := fmt.Sprintf(`{"after":%q,"before":%q,"kind":"comparison","lines":[{"change":"gone","line":3,"text":"env VERSION 1"},`+
		`{"change":"new","line":3,"text":"env VERSION 2"}],"reasons":["variable VERSION: 1 → 2"],"version":1}`, two.Key(), one.Key())
	if string(got) != wantJSON {
		t.Errorf("got\n%s\nwant\n%s", got, wantJSON)
	}
}

func TestCompare_same(t *testing.T) {
	c, err := Caches{}.Compare(t.Context(), define().Key(), define().Key()) // asks nobody
	if err != nil || text(c) != "the keys are the same\n" {
		t.Errorf("%v, %v", c, err)
	}
	if doc := document(t, c); fmt.Sprint(doc["reasons"], doc["lines"]) != "[] []" {
		t.Errorf("got %v", doc)
	}
}

// People see the beginning of a long list, programs all of it.
func TestCompare_long(t *testing.T) {
	many := make([]string, 3*maxChanges)
	one, two := define(), define(many...)
	c, err := Caches{&FakeCache{definitions: []cachekey.Definition{one, two}}}.Compare(t.Context(), one.Key(), two.Key())
	if err != nil {
		t.Fatal(err)
	}
	if got := text(c); !strings.HasSuffix(got, fmt.Sprintf("\nand %d more lines, which --format json shows\n", 2*maxChanges)) {
		t.Errorf("got %s", got)
	}
	if lines := document(t, c)["lines"].([]any); len(lines) != 3*maxChanges {
		t.Errorf("%d lines", len(lines))
	}
}

func TestDefinition(t *testing.T) {
	one := define("a b")
	d, err := Caches{&FakeCache{definitions: []cachekey.Definition{one}}}.Definition(t.Context(), one.Key())
	if err != nil || text(d) != string(one) {
		t.Errorf("%v, %v", d, err)
	}
	if got := fmt.Sprint(document(t, d)["lines"]); got != "[[run /bin/sh -c make] [env VERSION a b]]" {
		t.Errorf("got %s", got)
	}
	// One of another version is shown as it is.
	d = &Definition{Text: "kaniko-cache 9\nx\n"}
	if doc := document(t, d); doc["lines"] != nil || doc["text"] != "kaniko-cache 9\nx\n" || text(d) != "kaniko-cache 9\nx\n" {
		t.Errorf("got %v", doc)
	}
}

func TestBuild(t *testing.T) {
	began := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)
	image := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}
	key := func(c string) cachekey.Key { return cachekey.Key(strings.Repeat(c, 64)) }
	j := &cache.Journal{
		Image: image.String(), Started: began, Ended: began.Add(1500 * time.Millisecond), Tool: "kaniko executor v1",
		Steps: []cache.Step{
			{Stage: 0, Name: "build", Line: 2, Text: "COPY . /src", Key: key("a"), Use: cache.Hit},
			{Stage: 0, Name: "build", Line: 3, Text: "RUN make", Key: key("b"), Use: cache.Made, Missed: []string{"file src/main.go changed", "variable VERSION: 1 → 2"}},
			{Stage: 0, Name: "build", Line: 4, Text: "RUN test", Key: key("c"), Use: cache.Made},
			{Stage: 0, Name: "build", Line: 5, Text: "COPY a /", Key: key("d"), Use: cache.Done},
			{Stage: 2, Line: 9, Text: "COPY --from=build /a /", Use: cache.Done},
			{Stage: 2, Line: 10, Text: "RUN \x1b[2J", Key: key("e"), Use: cache.Skipped},
		},
	}
	b, err := Caches{&FakeCache{err: errors.New("broken")}, &FakeCache{journal: j}}.Build(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	want := `image ` + image.String() + `
built 2026-11-23T16:00:00Z in 1.5s by kaniko executor v1

stage 0 build
  hit      aaaaaaaaaaaa  line 2: COPY . /src
  made     bbbbbbbbbbbb  line 3: RUN make
           file src/main.go changed
           variable VERSION: 1 → 2
  made     cccccccccccc  line 4: RUN test
           no earlier build is known to compare it with
  done     dddddddddddd  line 5: COPY a /
           no entry is kept of such a step, by the flags of the build, or it could not be

stage 2
  done     no key        line 9: COPY --from=build /a /
           what it depends on could not be told before
  skipped  eeeeeeeeeeee  line 10: RUN ` + "\uFFFD" + `[2J
           nothing needed it
`
	if got := text(b); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	doc := document(t, b)
	steps := doc["steps"].([]any)
	if doc["kind"] != "build" || doc["image"] != image.String() || len(steps) != 6 || steps[1].(map[string]any)["key"] != string(key("b")) {
		t.Errorf("got %v", doc)
	}
	if doc := document(t, &Build{}); fmt.Sprint(doc["steps"]) != "[]" {
		t.Errorf("steps of none are %v", doc["steps"])
	}
}

func TestCaches_without(t *testing.T) {
	broken := errors.New("the registry is down")
	damaged := fmt.Errorf("%w: damaged", cache.ErrMiss)
	none, bad, lost := &FakeCache{name: "none"}, &FakeCache{name: "bad", err: broken}, &FakeCache{name: "lost", err: damaged}
	for _, c := range []struct {
		caches Caches
		want   error
		hint   bool
	}{
		{Caches{none, none}, cache.ErrMiss, true},
		{Caches{none, lost}, damaged, true},
		{Caches{lost, none}, damaged, true},
		{Caches{none, bad}, broken, false},
		{Caches{bad, lost}, broken, false},
	} {
		_, err := c.caches.Build(t.Context(), v1.Hash{Algorithm: "sha256"})
		var missing *NotFoundError
		if !errors.Is(err, c.want) || errors.As(err, &missing) != c.hint || c.hint && missing.Hint() == "" {
			t.Errorf("%v: %v", c.caches, err)
		}
		if _, err := c.caches.Compare(t.Context(), define().Key(), define("1").Key()); !errors.Is(err, c.want) {
			t.Errorf("%v: %v", c.caches, err)
		}
	}
}
