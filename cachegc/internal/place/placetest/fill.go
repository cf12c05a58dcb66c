// Package placetest fills caches for tests, by the code that fills them in earnest.
package placetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Client is one that does not wait long.
func Client() *registry.Client {
	return registry.New(registry.Config{Retry: registry.Retry{Wait: time.Millisecond, Stall: 20 * time.Second}})
}

// Cache is a cache as a build opens it.
func Cache(t testing.TB, spec string) *cache.Place {
	t.Helper()
	p, err := cache.Open(spec, Client(), cache.Options{Tool: "test 1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Entry is an entry to be made.
type Entry struct {
	Word    string // of which its key is made
	Parent  string // the word of another
	Lineage string // a word
	// Layer is the word that its layer is made of, Word if it is empty; Size is in bytes.
	Layer   string
	Size    int
	Created time.Time
}

// Definition is the text of the entry of a word.
func Definition(word string) cachekey.Definition {
	w := cachekey.NewWriter()
	w.Line("test", word)
	return w.Definition()
}

// Key is the key of the entry of a word.
func Key(word string) string { return string(Definition(word).Key()) }

// Lineage is that of a word.
func Lineage(word string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(word))) }

// Put makes entries.
func Put(t testing.TB, c *cache.Place, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := Make(context.Background(), c, e); err != nil {
			t.Fatal(err)
		}
	}
}

// Make makes an entry.
func Make(ctx context.Context, c *cache.Place, e Entry) error {
	from := e.Layer
	if from == "" {
		from = e.Word
	}
	r := cache.Result{
		Definition: Definition(e.Word), Created: e.Created, Lineage: Lineage(e.Lineage), Text: "RUN make " + e.Word,
		Layer: layer{static.NewLayer(Content(from, e.Size), types.OCIUncompressedLayer)},
	}
	if e.Parent != "" {
		r.Parent = Definition(e.Parent).Key()
	}
	return c.Put(ctx, r)
}

// Many makes the entries of so many numbers, some at a time.
func Many(t testing.TB, spec string, n int, of func(int) Entry) {
	t.Helper()
	c := Cache(t, spec)
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error { return Make(ctx, c, of(i)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// layer is one whose bytes are its archive.
type layer struct{ v1.Layer }

func (l layer) Descriptor() (*v1.Descriptor, error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	size, err := l.Size()
	return &v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: digest, Size: size}, err
}

// Content is what the layer of a word has, of at least size bytes.
func Content(word string, size int) []byte {
	r := rand.NewChaCha8(sha256.Sum256([]byte(word)))
	var b bytes.Buffer
	b.WriteString(word)
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x", r.Uint64())
	}
	return b.Bytes()
}

// Journal is the journal of a build that used the entries of some words.
type Journal struct {
	Lineage string
	Ended   time.Time
	Hits    []string
	Made    []string
	Image   v1.Hash // zero for a build that failed
}

// Record leaves journals.
func Record(t testing.TB, c *cache.Place, journals ...Journal) {
	t.Helper()
	for _, j := range journals {
		is := cache.Journal{Lineage: Lineage(j.Lineage), Started: j.Ended.Add(-time.Minute), Ended: j.Ended, Tool: "test 1"}
		if j.Image != (v1.Hash{}) {
			is.Image = j.Image.String()
		}
		for _, word := range j.Hits {
			is.Steps = append(is.Steps, cache.Step{Text: "RUN " + word, Key: Definition(word).Key(), Use: cache.Hit})
		}
		for _, word := range j.Made {
			is.Steps = append(is.Steps, cache.Step{Text: "RUN " + word, Key: Definition(word).Key(), Use: cache.Made})
		}
		if err := c.Record(context.Background(), is); err != nil {
			t.Fatal(err)
		}
	}
}
