package cache_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

const tool = "test 1"

// created is when entries of tests are made.
func created() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) }

func client(c registry.Config) *registry.Client {
	if c.Retry == (registry.Retry{}) {
		c.Retry = registry.Retry{Wait: time.Millisecond, Stall: 5 * time.Second}
	}
	return registry.New(c)
}

// in opens the cache in a repository as a new build would.
func in(t testing.TB, repo string, o cache.Options) *cache.Place {
	t.Helper()
	o.Tool = tool
	p, err := cache.Open(repo, client(registry.Config{}), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// worlds are the kinds of places that a cache is in. Each returns what opens it as
// another build would.
func worlds() map[string]func(testing.TB) string {
	return map[string]func(testing.TB) string{
		"memory": func(t testing.TB) string {
			return registrytest.Start(t, registrytest.Config{Token: true}).Host() + "/app/cache"
		},
		"registry 2.8": func(t testing.TB) string {
			return registrytest.Real(t, registrytest.RealConfig{}) + "/app/cache"
		},
		"registry 3": func(t testing.TB) string {
			return registrytest.RealV3(t, registrytest.RealConfig{}) + "/app/cache"
		},
		"layout": func(t testing.TB) string { return "oci:" + filepath.Join(t.TempDir(), "a", "cache") },
	}
}

func everywhere(t *testing.T, test func(t *testing.T, spec string)) {
	for name, start := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// definition is one of many.
func definition(words ...string) cachekey.Definition {
	w := cachekey.NewWriter()
	w.Line("test", words...)
	return w.Definition()
}

// fakeLayer is a layer in memory.
type fakeLayer struct {
	raw       []byte
	digest    v1.Hash
	diffID    v1.Hash
	mediaType types.MediaType
	notes     map[string]string // annotations
}

func (l *fakeLayer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *fakeLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *fakeLayer) Size() (int64, error)                { return int64(len(l.raw)), nil }
func (l *fakeLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l *fakeLayer) Descriptor() (*v1.Descriptor, error) {
	return &v1.Descriptor{Digest: l.digest, Size: int64(len(l.raw)), MediaType: l.mediaType, Annotations: l.notes}, nil
}
func (l *fakeLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.raw)), nil
}
func (l *fakeLayer) Uncompressed() (io.ReadCloser, error) { panic("nobody needs it") }

func hash(t testing.TB, b []byte) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// noise is a file's content that does not compress.
func noise(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// changes are those of a layer with one file.
func changes(content []byte) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		yield(layer.Change{
			Path: "file", Kind: layer.Put, Node: tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(content))},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		}, nil)
	}
}

// layerOf is a layer, with its index.
func layerOf(t testing.TB, content []byte) (*fakeLayer, []byte) {
	t.Helper()
	var tar, index bytes.Buffer
	x, err := layer.NewIndexWriter(&index)
	if err != nil {
		t.Fatal(err)
	}
	w := layer.NewWriter(&tar, time.Time{})
	for c, err := range x.Tee(changes(content)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	l := &fakeLayer{mediaType: types.DockerLayer, diffID: hash(t, tar.Bytes())}
	var z bytes.Buffer
	g := gzip.NewWriter(&z)
	g.Write(tar.Bytes())
	g.Close()
	l.raw = z.Bytes()
	l.digest = hash(t, l.raw)
	return l, index.Bytes()
}

func opener(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// result is what a step left: a layer and its index.
func result(t testing.TB, word string, size int) cache.Result {
	t.Helper()
	l, index := layerOf(t, noise(size, uint64(len(word))+uint64(word[len(word)-1])<<8))
	return cache.Result{
		Definition: definition(word), Layer: l, Index: opener(index), Created: created(),
		Parent: definition("parent").Key(), Lineage: strings.Repeat("ab", 32), Text: "RUN make " + word,
	}
}

func put(t testing.TB, s cache.Store, r cache.Result) {
	t.Helper()
	if err := s.Put(context.Background(), r); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s cache.Store, key cachekey.Key) *cache.Entry {
	t.Helper()
	e, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readAll(t testing.TB, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// failure is the error that reading ends with, wherever it comes.
func failure(open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
