package cache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// tampered is a place with somebody in it who breaks things.
type tampered struct {
	spec  string
	plant func(tag string, mt types.MediaType, raw []byte)
	read  func(tag string) []byte
	spoil func(h v1.Hash, content []byte) // nil content takes the blob away
}

func tamperable() map[string]func(*testing.T) *tampered {
	return map[string]func(*testing.T) *tampered{
		"memory": func(t *testing.T) *tampered {
			s := registrytest.Start(t, registrytest.Config{})
			return &tampered{
				spec:  s.Host() + "/cache",
				plant: func(tag string, mt types.MediaType, raw []byte) { s.Plant("cache", tag, string(mt), raw) },
				read:  func(tag string) []byte { return s.Manifest("cache", tag) },
				spoil: func(h v1.Hash, content []byte) {
					if s.Spoil("cache", h, content); content == nil {
						s.Lose("cache", h)
					}
				},
			}
		},
		"layout": func(t *testing.T) *tampered {
			path := t.TempDir()
			dir, err := ocidir.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			file := func(h v1.Hash) string { return filepath.Join(path, "blobs", "sha256", h.Hex) }
			return &tampered{
				spec: "oci:" + path,
				plant: func(tag string, mt types.MediaType, raw []byte) {
					d, err := dir.PutBytes(context.Background(), raw)
					if err != nil {
						t.Fatal(err)
					}
					d.MediaType = mt
					if err := dir.SetRef(context.Background(), cache.LayoutRefs+tag, ocidir.Ref{Manifest: &d}); err != nil {
						t.Fatal(err)
					}
				},
				read: func(tag string) []byte {
					r, err := dir.Ref(cache.LayoutRefs + tag)
					if err != nil {
						t.Fatal(err)
					}
					raw, err := os.ReadFile(file(r.Manifest.Digest))
					if err != nil {
						t.Fatal(err)
					}
					return raw
				},
				spoil: func(h v1.Hash, content []byte) {
					err := os.Remove(file(h))
					if content != nil {
						err = os.WriteFile(file(h), content, 0o666)
					}
					// A reader may have moved it aside.
					if err != nil && !errors.Is(err, fs.ErrNotExist) {
						t.Error(err)
					}
				},
			}
		},
	}
}

// edit is a manifest with something changed.
func edit(t *testing.T, raw []byte, change func(*v1.Manifest)) []byte {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func annotate(name, value string) func(*v1.Manifest) {
	return func(m *v1.Manifest) {
		if m.Annotations[name] = value; value == "" {
			delete(m.Annotations, name)
		}
	}
}

// TestGet_wrong: what is under a key and is not its entry is a miss, and the miss
// says why.
func TestGet_wrong(t *testing.T) {
	const ours = types.OCIManifestSchema1
	image, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := image.RawManifest()
	empty := v1.Descriptor{MediaType: types.OCIEmptyJSON, Size: 2, Digest: hash(t, []byte("{}"))}
	changed := func(change func(*v1.Manifest)) func([]byte) []byte {
		return func(raw []byte) []byte { return edit(t, raw, change) }
	}
	for name, tc := range map[string]struct {
		mt     types.MediaType
		change func([]byte) []byte
		reason string
	}{
		"truncated":      {ours, func(raw []byte) []byte { return raw[:len(raw)/2] }, "a damaged manifest: unexpected end"},
		"two":            {ours, func(raw []byte) []byte { return append(raw, raw...) }, "a damaged manifest: invalid character"},
		"empty":          {ours, func([]byte) []byte { return []byte("{}") }, "an image that is not of a cache"},
		"text":           {"text/html", func([]byte) []byte { return []byte("<html>") }, `not a manifest of a cache but "text/html"`},
		"huge":           {ours, func(raw []byte) []byte { return append(raw, bytes.Repeat([]byte(" "), 256<<10)...) }, "too large: more than 262144 bytes"},
		"an image":       {types.DockerManifestSchema2, func([]byte) []byte { return foreign }, "not a manifest of a cache but"},
		"an OCI image":   {ours, changed(func(m *v1.Manifest) { m.Annotations = nil }), "an image that is not of a cache"},
		"an index":       {types.OCIImageIndex, func([]byte) []byte { return []byte(`{"schemaVersion":2,"manifests":[]}`) }, "not a manifest of a cache but"},
		"schema 1":       {types.DockerManifestSchema1, func([]byte) []byte { return []byte(`{"schemaVersion":1}`) }, "not a manifest of a cache but"},
		"a journal":      {ours, changed(annotate(cache.AnnotationKind, cache.KindJournal)), `of the kind "journal", not "entry"`},
		"version":        {ours, changed(func(m *v1.Manifest) { m.SchemaVersion = 3 }), "schema version 3"},
		"config's type":  {ours, changed(func(m *v1.Manifest) { m.Config.MediaType = types.OCIConfigJSON }), "config of the type"},
		"another key":    {ours, changed(func(m *v1.Manifest) { m.Config.Digest = hash(t, []byte("x")) }), "with the definition of another key, 2d711642"},
		"annotated key":  {ours, changed(annotate(cache.AnnotationKey, "abc")), `annotated with another key, "abc"`},
		"no time":        {ours, changed(annotate(cache.AnnotationCreated, "")), `time of creation that is none: ""`},
		"bad time":       {ours, changed(annotate(cache.AnnotationCreated, "yesterday")), `time of creation that is none: "yesterday"`},
		"bad size":       {ours, changed(annotate(cache.AnnotationSize, "-1")), `a size that is none: "-1"`},
		"bad parent":     {ours, changed(annotate(cache.AnnotationParent, "x")), `a parent that is no key: "x"`},
		"no diff id":     {ours, changed(annotate(cache.AnnotationDiffID, "")), `a diff id that is none: ""`},
		"bad diff id":    {ours, changed(annotate(cache.AnnotationDiffID, "sha256:12")), `a diff id that is none: "sha256:12"`},
		"no layers":      {ours, changed(func(m *v1.Manifest) { m.Layers = nil }), "without layers"},
		"a layer's type": {ours, changed(func(m *v1.Manifest) { m.Layers[0].MediaType = "text/plain" }), `a layer of the type "text/plain"`},
		"Docker's layer": {ours, changed(func(m *v1.Manifest) { m.Layers[0].MediaType = types.DockerLayer }), "a layer of the type"},
		"negative":       {ours, changed(func(m *v1.Manifest) { m.Layers[0].Size = -1 }), "of -1 bytes"},
		"two layers":     {ours, changed(func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }), "more than one layer"},
		"an empty layer": {ours, changed(func(m *v1.Manifest) { m.Layers[0] = empty }), "both empty and not"},
		"an odd empty layer": {ours, changed(func(m *v1.Manifest) {
			m.Layers[0].MediaType = types.OCIEmptyJSON
			annotate(cache.AnnotationDiffID, "")(m)
		}), "both empty and not"},
		"another's index": {ours, changed(func(m *v1.Manifest) {
			m.Layers[1].Annotations = map[string]string{cache.AnnotationDiffID: "sha256:12"}
		}), "with the index of another layer"},
		"a bad digest": {ours, func(raw []byte) []byte {
			return bytes.ReplaceAll(raw, []byte(`"digest":"sha256:`), []byte(`"digest":"sha256:zz`))
		}, "a damaged manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			for place, start := range tamperable() {
				t.Run(place, func(t *testing.T) {
					t.Parallel()
					w := start(t)
					r := result(t, "a", 1000)
					put(t, in(t, w.spec, cache.Options{}), r)
					key := r.Definition.Key()
					w.plant(string(key), tc.mt, tc.change(bytes.Clone(w.read(string(key)))))
					_, err := in(t, w.spec, cache.Options{}).Get(context.Background(), key)
					if !errors.Is(err, cache.ErrMiss) || !strings.Contains(err.Error(), tc.reason) {
						t.Errorf("got %v, want a miss because %s", err, tc.reason)
					}
					// What was wrong can be made right again.
					put(t, in(t, w.spec, cache.Options{}), r)
					sameLayer(t, get(t, in(t, w.spec, cache.Options{}), key), r)
				})
			}
		})
	}
}

// TestGet_unknown: what later versions may add does not disturb.
func TestGet_unknown(t *testing.T) {
	for place, start := range tamperable() {
		t.Run(place, func(t *testing.T) {
			w := start(t)
			r := result(t, "a", 1000)
			put(t, in(t, w.spec, cache.Options{}), r)
			key := r.Definition.Key()
			w.plant(string(key), types.OCIManifestSchema1, edit(t, w.read(string(key)), func(m *v1.Manifest) {
				m.Layers = append(m.Layers, v1.Descriptor{MediaType: "text/plain", Digest: hash(t, nil)})
				m.Annotations["new"] = "x"
			}))
			sameLayer(t, get(t, in(t, w.spec, cache.Options{}), key), r)
		})
	}
}

// TestEntry_lost: a layer that is gone or damaged when it is read says so, and an
// index that is lets the layer be read.
func TestEntry_lost(t *testing.T) {
	damage := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }
	for name, tc := range map[string]struct {
		spoil func([]byte) []byte
	}{
		"gone":    {func([]byte) []byte { return nil }},
		"damaged": {damage},
		"short":   {func(b []byte) []byte { return b[:len(b)-1] }},
		"long":    {func(b []byte) []byte { return append(bytes.Clone(b), 'x') }},
		"empty":   {func([]byte) []byte { return []byte{} }},
	} {
		for place, start := range tamperable() {
			t.Run(name+" "+place, func(t *testing.T) {
				t.Parallel()
				w := start(t)
				r := result(t, "a", 100<<10)
				put(t, in(t, w.spec, cache.Options{}), r)
				e := get(t, in(t, w.spec, cache.Options{}), r.Definition.Key())
				index := readAll(t, r.Index)

				w.spoil(hash(t, index), tc.spoil(index))
				isLost(t, failure(e.Index), e)
				if i, _ := layer.As[layer.Indexed](e.Layer); i != nil {
					if _, ok := i.Index(); ok {
						t.Error("there is an index")
					}
				}
				count := 0
				for _, err := range layer.Metadata(e.Layer) {
					if err != nil {
						t.Errorf("without index: %v", err)
					}
					count++
				}
				if count != 1 {
					t.Errorf("%d changes", count)
				}

				l := r.Layer.(*fakeLayer)
				w.spoil(l.digest, tc.spoil(l.raw))
				isLost(t, failure(e.Layer.Compressed), e)
				isLost(t, failure(e.Layer.Uncompressed), e)

				key := r.Definition.Key()
				w.spoil(hash(t, []byte(r.Definition)), tc.spoil([]byte(r.Definition)))
				if _, err := in(t, w.spec, cache.Options{}).Definition(context.Background(), key); !errors.Is(err, cache.ErrMiss) {
					t.Errorf("definition: %v", err)
				}
			})
		}
	}
}

func isLost(t *testing.T, err error, e *cache.Entry) {
	t.Helper()
	var lost *cache.LostError
	if !errors.As(err, &lost) || lost.Key != e.Key {
		t.Errorf("error %v", err)
	}
}

// TestEntry_lies: blobs that are what their digests say, and not what the entry says.
func TestEntry_lies(t *testing.T) {
	for name, tc := range map[string]struct {
		lie  func(*cache.Result)
		edit func(*v1.Manifest)
	}{
		"no archive":      {lie: func(r *cache.Result) { r.Layer = bytesLayer(t, []byte("\x1f\x8bnot gzip"), r.Layer) }},
		"another archive": {lie: func(r *cache.Result) { r.Layer.(*fakeLayer).diffID = hash(t, []byte("x")) }},
		"another size":    {edit: func(m *v1.Manifest) { m.Layers[0].Size++ }},
	} {
		for place, start := range tamperable() {
			t.Run(name+" "+place, func(t *testing.T) {
				t.Parallel()
				w := start(t)
				r := result(t, "a", 1000)
				if tc.lie != nil {
					tc.lie(&r)
				}
				put(t, in(t, w.spec, cache.Options{}), r)
				key := r.Definition.Key()
				if tc.edit != nil {
					w.plant(string(key), types.OCIManifestSchema1, edit(t, w.read(string(key)), tc.edit))
				}
				e := get(t, in(t, w.spec, cache.Options{}), key)
				isLost(t, failure(e.Layer.Uncompressed), e)
			})
		}
	}
	t.Run("index", func(t *testing.T) {
		w := tamperable()["memory"](t)
		r := result(t, "a", 1000)
		r.Index = opener([]byte("not an index"))
		put(t, in(t, w.spec, cache.Options{}), r)
		e := get(t, in(t, w.spec, cache.Options{}), r.Definition.Key())
		for _, err := range layer.Metadata(e.Layer) {
			isLost(t, err, e)
		}
	})
}

func bytesLayer(t *testing.T, raw []byte, like v1.Layer) *fakeLayer {
	l := *like.(*fakeLayer)
	l.raw, l.digest = raw, hash(t, raw)
	return &l
}

// TestEntry_unreachable: a layer that cannot be had for other reasons is not gone: the
// whole cache is.
func TestEntry_unreachable(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 1000)
	place := in(t, s.Host()+"/cache", cache.Options{})
	put(t, place, r)
	e := get(t, place, r.Definition.Key())
	s.Script("GET blob: cut at 10 always")
	for _, open := range []func() error{
		func() error { return failure(e.Layer.Compressed) },
		func() error { return failure(e.Layer.Uncompressed) },
	} {
		err := open()
		var lost *cache.LostError
		if !errors.As(err, &lost) || !lost.Away || !strings.Contains(err.Error(), "the connection broke") {
			t.Errorf("error %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e2, err := place.Get(ctx, r.Definition.Key())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Millisecond, cancel)
	if err := failure(e2.Layer.Uncompressed); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
