package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// keeps reports whether anything is put into the cache.
func (b *build) keeps() bool {
	return b.Cache != nil && !b.Cache.ReadOnly && !b.readOnly.Load() && !b.cacheless.Load()
}

// asks reports whether a step is one by itself for the cache.
func (b *build) asks(w *work) bool {
	return b.Cache != nil && !b.Squash && w.planned.key != "" && b.Cache.takes(w.Op)
}

// keepsStep reports whether what the step leaves is put into the cache.
func (b *build) keepsStep(w *work) bool { return b.keeps() && b.asks(w) }

// offer puts what a step left into the cache, under each of its names.
func (s *stage) offer(_ context.Context, w *work, c *capture) {
	w.use = cache.Done
	if c.blob != nil {
		w.size, _ = c.blob.Size()
	}
	if !s.build.keepsStep(w) {
		return
	}
	var results []cache.Result
	for _, d := range []definition{w.planned, w.found} {
		if d.key != "" && !slices.ContainsFunc(results, func(r cache.Result) bool { return r.Definition == d.text }) {
			results = append(results, s.entry(w, d, c.layer(), c.openIndex()))
		}
	}
	s.build.put(c.exported, w, results...)
}

// offerSquashed is offer for the layer of all of a stage's steps.
func (s *stage) offerSquashed(_ context.Context, c *capture) {
	last := s.lastOfFiles()
	if !s.build.keeps() || s.whole.key == "" || last == nil {
		return
	}
	s.build.put(c.exported, last, s.entry(last, s.whole, c.layer(), c.openIndex()))
}

// entry is what the cache is given of a step.
func (s *stage) entry(w *work, d definition, l v1.Layer, index func() (io.ReadCloser, error)) cache.Result {
	return cache.Result{
		Definition: d.text, Layer: l, Index: index, Created: s.build.now(), After: string(s.ran),
		Parent: s.parent(w), Lineage: s.build.Cache.Lineage, Text: w.Text,
	}
}

// parent is the key of the step before, in the stage or in the one that it starts from.
func (s *stage) parent(w *work) (key cachekey.Key) {
	if up := s.plan.Base.Stage; up != nil {
		key = s.build.stages[up].planned.Step
	}
	for _, before := range s.works {
		if before == w {
			break
		}
		if before.planned.key != "" {
			key = before.planned.key
		}
	}
	return key
}

// put gives results to the cache while the build goes on, once the layer is where
// the image goes: a registry then needs no second copy of it.
func (b *build) put(exported <-chan struct{}, w *work, results ...cache.Result) {
	b.keeping.Go(func() {
		if exported != nil {
			<-exported
		}
		if b.pushing.Acquire(b.outer, 1) != nil {
			return
		}
		defer b.pushing.Release(1)
		for _, r := range results {
			if !b.keeps() {
				return
			}
			err := b.Cache.Store.Put(b.outer, r)
			var lost *cache.LostError
			switch {
			case errors.As(err, &lost):
				return // an entry under another name, of which the build finds out by itself
			case err != nil:
				b.keepFailed(err)
				return
			}
			if w != nil && w.use == cache.Done {
				w.use = cache.Made
			}
		}
	})
}

// keepFailed tells of the first result that the cache did not take, and puts no more.
func (b *build) keepFailed(err error) {
	if b.outer.Err() == nil && !b.readOnly.Swap(true) {
		b.warn("the layer cache takes nothing, the build goes on: " + err.Error())
	}
}

// checkUnchanged sees to it that nothing is kept under the name of something else: a
// file of the build context that was written to meanwhile is not the one that the
// step is known by.
func (b *build) checkUnchanged(w *work, op plan.Op) {
	if !b.keeps() || !w.known {
		return
	}
	for i, r := range plan.Reads(op) {
		if r.Remote != nil || r.From != nil && r.From.Context == "" {
			continue
		}
		if p, ok := b.changed(r, w.readings[i]); ok {
			b.readOnly.Store(true)
			b.warn(fmt.Sprintf("%s of the build context changed while it was copied: nothing more is put into the layer cache", p.Abs()))
			return
		}
	}
}

// changed finds an entry that is not as it was when it was listed.
func (b *build) changed(r plan.Read, was plan.Reading) (tree.Path, bool) {
	what := requested(r)
	what.Source = b.Context
	if r.From != nil {
		what.Source = b.Contexts[r.From.Context]
	}
	i := 0
	for e, err := range what.Selected() {
		if err != nil || i == len(was.Files) {
			return e.Path, true
		}
		f := was.Files[i]
		if f.Path != e.Path || !f.Node.SameMetadata(e.Node) || !f.Node.MTime.Equal(e.Node.MTime) {
			return e.Path, true
		}
		i++
	}
	if i < len(was.Files) {
		return was.Files[i].Path, true
	}
	return "", false
}

// layer is what was captured, or nil.
func (c *capture) layer() v1.Layer {
	if c.blob == nil {
		return nil
	}
	return c.blob
}

// openIndex opens the index of what was captured; nil without one.
func (c *capture) openIndex() func() (io.ReadCloser, error) {
	path := c.indexed
	if path == "" {
		return nil
	}
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// indexFile is an index under way; nil if none is wanted.
type indexFile struct {
	file *os.File
	*layer.IndexWriter
}

func (c *capture) newIndex() (*indexFile, error) {
	if !c.index {
		return nil, nil
	}
	return newIndexFile(c.stage.build.Spool)
}

func newIndexFile(dir string) (*indexFile, error) {
	f, err := os.CreateTemp(dir, "index-*")
	if err != nil {
		return nil, fmt.Errorf("create index of a layer: %w", err)
	}
	w, err := layer.NewIndexWriter(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &indexFile{f, w}, nil
}

func (i *indexFile) tee(changes layer.Changes) layer.Changes {
	if i == nil {
		return changes
	}
	return i.Tee(changes)
}

func (i *indexFile) path() string {
	if i == nil {
		return ""
	}
	return i.file.Name()
}

func (i *indexFile) close() error {
	if i == nil {
		return nil
	}
	return errors.Join(i.Close(), i.file.Close())
}

// abort is close for an index that nobody will read: it says itself that it is not whole.
func (i *indexFile) abort() {
	if i != nil {
		_ = i.close()
	}
}
