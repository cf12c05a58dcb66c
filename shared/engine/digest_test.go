package engine_test

import (
	"crypto/sha256"
	"io"
	"sync/atomic"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// digested is a build context that knows the digests of its files, and counts how
// often one is read.
type digested struct {
	tree.FS
	opened atomic.Int64
}

func (d *digested) Open(p tree.Path) (io.ReadCloser, error) {
	d.opened.Add(1)
	return d.FS.Open(p)
}

func (d *digested) Digest(p tree.Path) (sum [sha256.Size]byte, ok bool) {
	r, err := d.FS.Open(p)
	if err != nil {
		return sum, false
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return sha256.Sum256(content), err == nil
}

// A build that the cache has all of reads no file whose digest is known, even through
// an ignore file; what it finds is what a build that read it left.
func TestCache_knownDigests(t *testing.T) {
	b := newBench(t, 0, stages(stage(0, plan.Base{}, copyStep(nil, "/", "app"))))
	kept := newCupboard()
	b.Cache = &engine.Caching{Store: kept, Copies: true}
	if _, err := engine.Build(t.Context(), b.Config); err != nil {
		t.Fatal(err)
	}
	ignore, err := dockerfile.NewIgnore([]string{"nothing"})
	if err != nil {
		t.Fatal(err)
	}
	knows := &digested{FS: b.Context}
	b.Context = dockerfile.Filter(knows, ignore)
	if _, err := engine.Build(t.Context(), b.Config); err != nil {
		t.Fatal(err)
	}
	if len(kept.entries) != 1 || knows.opened.Load() != 0 {
		t.Errorf("%d entries, %d files read", len(kept.entries), knows.opened.Load())
	}
}
