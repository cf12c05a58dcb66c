package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
)

// TestPlace: what one build puts, another gets.
func TestPlace(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		ctx := context.Background()
		r := result(t, "a", 10<<10)
		key := r.Definition.Key()
		if _, err := in(t, spec, cache.Options{}).Get(ctx, key); err != cache.ErrMiss {
			t.Errorf("of an empty cache: %v", err)
		}
		if _, err := in(t, spec, cache.Options{}).Definition(ctx, key); err != cache.ErrMiss {
			t.Errorf("definition of an empty cache: %v", err)
		}
		put(t, in(t, spec, cache.Options{}), r)

		place := in(t, spec, cache.Options{})
		if _, err := place.Get(ctx, definition("b").Key()); err != cache.ErrMiss {
			t.Errorf("another key: %v", err)
		}
		e := get(t, place, key)
		if e.Key != key || !e.Created.Equal(r.Created) || e.From == "" {
			t.Errorf("entry %+v", e)
		}
		sameLayer(t, e, r)
		if d, err := place.Definition(ctx, key); err != nil || d != r.Definition {
			t.Errorf("definition %q, %v", d, err)
		}
	})
}

// sameLayer: the entry has the layer and the index of the result.
func sameLayer(t *testing.T, e *cache.Entry, r cache.Result) {
	t.Helper()
	want := r.Layer.(*fakeLayer)
	digest, _ := e.Layer.Digest()
	diffID, _ := e.Layer.DiffID()
	size, _ := e.Layer.Size()
	mt, _ := e.Layer.MediaType()
	if digest != want.digest || diffID != want.diffID || size != int64(len(want.raw)) || mt != types.OCILayer {
		t.Errorf("layer %s %s %d %s", digest, diffID, size, mt)
	}
	if got := readAll(t, e.Layer.Compressed); !bytes.Equal(got, want.raw) {
		t.Errorf("read %d bytes of %d", len(got), len(want.raw))
	}
	if got := hash(t, readAll(t, e.Layer.Uncompressed)); got != want.diffID {
		t.Errorf("uncompressed is %s", got)
	}
	if got := readAll(t, e.Index); !bytes.Equal(got, readAll(t, r.Index)) {
		t.Error("the index differs")
	}
	i, ok := layer.As[layer.Indexed](e.Layer)
	if !ok {
		t.Fatal("the layer has no index")
	}
	changes, ok := i.Index()
	if !ok {
		t.Fatal("the layer's index cannot be had")
	}
	for c, err := range changes {
		if err != nil || c.Path != "file" {
			t.Errorf("change %v, %v", c, err)
		}
	}
}

// TestPlace_forms: entries of steps that left no layer, or one of another kind, or no
// index, or only one.
func TestPlace_forms(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		zstd := result(t, "zstd", 1000)
		zstd.Layer.(*fakeLayer).mediaType = types.OCILayerZStd // what is in it nobody looks at
		plain := result(t, "plain", 1000)
		plain.Layer.(*fakeLayer).mediaType = types.DockerUncompressedLayer
		for _, tc := range []struct {
			r     cache.Result
			mt    types.MediaType
			index bool
		}{
			{cache.Result{Definition: definition("nothing"), Created: created()}, "", false},
			{cache.Result{Definition: definition("list"), Created: created(), Index: opener([]byte("list"))}, "", true},
			{cache.Result{Definition: definition("bare"), Created: created(), Layer: result(t, "x", 10).Layer}, types.OCILayer, false},
			{zstd, types.OCILayerZStd, true},
			{plain, types.OCIUncompressedLayer, true},
		} {
			put(t, in(t, spec, cache.Options{}), tc.r)
			e := get(t, in(t, spec, cache.Options{}), tc.r.Definition.Key())
			if (e.Layer != nil) != (tc.mt != "") || (e.Index != nil) != tc.index {
				t.Fatalf("%s: entry %+v", tc.r.Definition, e)
			}
			if tc.index && !bytes.Equal(readAll(t, e.Index), readAll(t, tc.r.Index)) {
				t.Errorf("%s: another index", tc.r.Definition)
			}
			if tc.mt == "" {
				continue
			}
			if mt, _ := e.Layer.MediaType(); mt != tc.mt {
				t.Errorf("%s: a layer of %s", tc.r.Definition, mt)
			}
			if _, ok := layer.As[layer.Indexed](e.Layer); ok != tc.index {
				t.Errorf("%s: index %v", tc.r.Definition, ok)
			}
		}
	})
}

// TestPlace_annotations: what a manifest has to say of a layer it says of the cached one,
// however the layer is wrapped.
func TestPlace_annotations(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		r := result(t, "a", 1000)
		want := map[string]string{"org.example.toc": "a", "org.example.size": "1"}
		r.Layer.(*fakeLayer).notes = want
		r.Layer = wrapped{r.Layer}
		put(t, in(t, spec, cache.Options{}), r)
		e := get(t, in(t, spec, cache.Options{}), r.Definition.Key())
		got, err := layer.Annotations(wrapped{e.Layer})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
}

// wrapped is a layer that does not tell of its descriptor itself.
type wrapped struct{ v1.Layer }

func (w wrapped) Unwrap() v1.Layer { return w.Layer }

// TestPlace_again: a later result takes the place of an earlier one.
func TestPlace_again(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		place := in(t, spec, cache.Options{})
		first := result(t, "a", 1000)
		put(t, place, first)
		second := result(t, "b", 2000)
		second.Definition, second.Created = first.Definition, created().Add(time.Hour)
		put(t, place, second)
		for _, p := range []*cache.Place{place, in(t, spec, cache.Options{})} {
			e := get(t, p, first.Definition.Key())
			if !e.Created.Equal(second.Created) {
				t.Errorf("created %s", e.Created)
			}
			sameLayer(t, e, second)
		}
	})
}

// TestPlace_refused: what cannot become an entry.
func TestPlace_refused(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		place := in(t, spec, cache.Options{})
		ctx := context.Background()
		ageless := result(t, "a", 10)
		ageless.Created = time.Time{}
		foreign := result(t, "a", 10)
		foreign.Layer.(*fakeLayer).mediaType = types.DockerForeignLayer
		broken := result(t, "a", 10)
		broken.Index = func() (io.ReadCloser, error) { return nil, errors.New("no index") }
		for name, r := range map[string]cache.Result{"ageless": ageless, "foreign": foreign, "broken": broken} {
			if err := place.Put(ctx, r); err == nil {
				t.Errorf("%s: put", name)
			}
			if _, err := place.Get(ctx, r.Definition.Key()); err != cache.ErrMiss {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, key := range []string{"", "latest", "sha256:" + string(ageless.Definition.Key()), "../x"} {
			if _, err := place.Get(ctx, cachekey.Key(key)); err == nil || errors.Is(err, cache.ErrMiss) {
				t.Errorf("key %q: %v", key, err)
			}
			if _, err := place.Definition(ctx, cachekey.Key(key)); err == nil || errors.Is(err, cache.ErrMiss) {
				t.Errorf("definition of key %q: %v", key, err)
			}
		}
	})
}

// TestPlace_crowd: builds that put and get the same and other keys at once find
// whole entries only.
func TestPlace_crowd(t *testing.T) {
	everywhere(t, func(t *testing.T, spec string) {
		const builds, keys = 6, 4
		results := make([]cache.Result, keys)
		for i := range results {
			results[i] = result(t, fmt.Sprint("key", i), 20<<10)
		}
		var wg sync.WaitGroup
		for b := range builds {
			place := in(t, spec, cache.Options{})
			for k := range keys {
				r := results[(b+k)%keys]
				r.Created = created().Add(time.Duration(b) * time.Second)
				wg.Go(func() {
					if err := place.Put(context.Background(), r); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					e, err := place.Get(context.Background(), r.Definition.Key())
					if errors.Is(err, cache.ErrMiss) && err.Error() == cache.ErrMiss.Error() {
						return // not yet
					}
					if err == nil {
						err = failure(e.Layer.Uncompressed)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for _, r := range results {
			sameLayer(t, get(t, in(t, spec, cache.Options{}), r.Definition.Key()), r)
		}
	})
}
