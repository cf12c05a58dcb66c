package engine

import (
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
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
func (s *stage) offer(w *work, c *capture) {
	w.use = cache.Done
	if c.blob != nil {
		w.size, _ = c.blob.Size()
	}
	if !s.build.keepsStep(w) {
		return
	}
	results := []cache.Result{s.entry(w, w.planned, c.layer(), c.openIndex())}
	if w.found.key != "" && w.found.key != w.planned.key {
		results = append(results, s.entry(w, w.found, c.layer(), c.openIndex()))
	}
	s.build.put(c.exported, w, results...)
}

// offerSquashed is offer for the layer of all of a stage's steps.
func (s *stage) offerSquashed(c *capture) {
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
		Parent: s.parent(w), Lineage: s.build.Cache.Lineage, Text: public(w.Text),
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
			b.refused.Store(0)
			if w != nil && w.use == cache.Done {
				w.use = cache.Made
			}
		}
	})
}

// patience is after how many refusals, one after the other, nothing more is put. One
// alone may be of a tag that is not to be moved.
const patience = 3

// keepFailed tells of the first result that the cache did not take.
func (b *build) keepFailed(err error) {
	if b.outer.Err() != nil {
		return
	}
	if b.refused.Add(1) == patience {
		b.readOnly.Store(true)
	}
	if !b.warnedOfPut.Swap(true) {
		b.warn("the layer cache does not take what is made, the build goes on: " + explained(err))
	}
}

// checkUnchanged sees to it that nothing is kept under the name of something else: a
// file of the build context that was written to meanwhile is not the one that the
// step is known by.
func (b *build) checkUnchanged(readings []listed, op plan.Op) {
	if !b.keeps() || readings == nil {
		return
	}
	for i, r := range plan.Reads(op) {
		if r.Remote != nil || r.From != nil && r.From.Context == "" || b.print(r) == readings[i].print {
			continue
		}
		b.readOnly.Store(true)
		b.warn("the build context changed while it was copied: nothing more is put into the layer cache")
		return
	}
}

// print is that of what a step reads of a build context now.
func (b *build) print(r plan.Read) uint64 {
	what := requested(r)
	what.Source = b.Context
	if r.From != nil {
		what.Source = b.Contexts[r.From.Context]
	}
	print := newPrint()
	for e, err := range what.Selected() {
		if err != nil {
			return 0
		}
		print.add(e)
	}
	return print.Sum64()
}
