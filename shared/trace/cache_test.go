package trace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

const held, lacking, broken cachekey.Key = "aa", "bb", "cc"

// fakeCache has an entry for held, and remembers in which spans it was asked.
type fakeCache struct{ spans []oteltrace.SpanID }

func (f *fakeCache) answer(ctx context.Context, key cachekey.Key) error {
	f.spans = append(f.spans, oteltrace.SpanContextFromContext(ctx).SpanID())
	switch key {
	case lacking:
		return fmt.Errorf("%w: hunter2", cache.ErrMiss)
	case broken:
		return errSecret
	}
	return nil
}

func (f *fakeCache) Get(ctx context.Context, key cachekey.Key) (*cache.Entry, error) {
	if err := f.answer(ctx, key); err != nil {
		return nil, err
	}
	return &cache.Entry{Key: key, Layer: sizedLayer{size: 42}, From: "registry.example/cache"}, nil
}

func (f *fakeCache) Put(ctx context.Context, r cache.Result) error {
	if r.Lineage == "broken" {
		return f.answer(ctx, broken)
	}
	return f.answer(ctx, held)
}

func (f *fakeCache) Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error) {
	return "env A hunter2\n", f.answer(ctx, key)
}

type sizedLayer struct {
	v1.Layer
	size int64
}

func (l sizedLayer) Size() (int64, error) { return l.size, nil }

func TestCache(t *testing.T) {
	c, url := overHTTP(t)
	p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	fake := &fakeCache{}
	store := p.Cache(fake)
	ctx, end := p.Start(t.Context(), "build", Past{})
	result := cache.Result{Definition: "run hunter2\n", Layer: sizedLayer{size: 7}}

	if e, err := store.Get(ctx, held); err != nil || e.Key != held {
		t.Errorf("got %v, %v", e, err)
	}
	if _, err := store.Get(ctx, lacking); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("got %v", err)
	}
	if _, err := store.Get(ctx, broken); !errors.Is(err, errSecret) {
		t.Errorf("got %v", err)
	}
	if d, err := store.Definition(ctx, held); err != nil || d != "env A hunter2\n" {
		t.Errorf("got %q, %v", d, err)
	}
	if _, err := store.Definition(ctx, lacking); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("got %v", err)
	}
	if err := store.Put(ctx, result); err != nil {
		t.Error(err)
	}
	result.Lineage = "broken"
	if err := store.Put(ctx, result); !errors.Is(err, errSecret) {
		t.Errorf("got %v", err)
	}
	end(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}

	root := c.named(t, "build")
	var got []string
	for _, s := range c.spans {
		if s.Name == "build" {
			continue
		}
		if string(s.ParentSpanId) != string(root.SpanId) {
			t.Errorf("%s is not in the build", s.Name)
		}
		if asked := fake.spans[len(got)]; string(s.SpanId) != string(asked[:]) {
			t.Errorf("%s is not what the store was called in", s.Name)
		}
		a := attributes(s)
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s %v", s.Name, a["kaniko.cache.key"], a["kaniko.cache.result"], a["kaniko.cache.from"],
			a["kaniko.layer.size"], a["kaniko.cache.definition.size"], s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR))
		if strings.Contains(s.String(), "hunter2") {
			t.Errorf("the span %s tells: %v", s.Name, s)
		}
	}
	key := string(result.Definition.Key())
	want := []string{
		"cache.get aa hit registry.example/cache 42  false",
		"cache.get bb miss    false",
		"cache.get cc     true",
		"cache.definition aa hit   14 false",
		"cache.definition bb miss    false",
		"cache.put " + key + "   7 12 false",
		"cache.put " + key + "   7 12 true",
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (l sizedLayer) Digest() (v1.Hash, error) { return v1.Hash{}, errors.New("not finished") }
