package engine

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/semaphore"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// lookups is how many entries are asked for at the same time.
const lookups = 32

// probe asks the cache, all at once, for every step that it may have, for what base
// images do to files, and for what the last build of the lineage used.
func (b *build) probe(ctx context.Context) {
	limit := semaphore.NewWeighted(lookups)
	var all sync.WaitGroup
	ask := func(f func()) {
		all.Go(func() {
			if limit.Acquire(ctx, 1) == nil {
				defer limit.Release(1)
				f()
			}
		})
	}
	for _, s := range b.order {
		if b.Squash {
			ask(func() { s.probeSquashed(ctx) })
			continue
		}
		for _, w := range s.works {
			if w.planned.key != "" && b.Cache.takes(w.Op) {
				ask(func() { b.get(ctx, w, w.planned) })
			}
		}
	}
	for _, img := range b.placed() {
		ask(func() { b.probeIndexes(ctx, img) })
	}
	if b.Cache.Journals != nil {
		ask(func() { b.before, _ = b.Cache.Journals.Last(ctx, b.Cache.Lineage) })
	}
	all.Wait()
}

// probeSquashed asks for the one layer of all of a stage's steps (--single-snapshot).
func (s *stage) probeSquashed(ctx context.Context) {
	last := s.lastOfFiles()
	if last == nil || s.planned.unknown || s.below().unknown {
		return
	}
	s.whole = defined(plan.Squashed(s.below().Identity, s.planned.Identity))
	s.build.get(ctx, last, s.whole)
	if last.entry == nil {
		return
	}
	for _, w := range s.works {
		if touches(w.Op) && w != last {
			w.entry = &cache.Entry{Key: s.whole.key, Created: last.entry.Created, From: last.entry.From}
		}
	}
}

// lastOfFiles is the stage's last step that touches files; nil without one.
func (s *stage) lastOfFiles() *work {
	for i := len(s.works) - 1; i >= 0; i-- {
		if touches(s.works[i].Op) {
			return s.works[i]
		}
	}
	return nil
}

// touches reports whether an op is about files.
func touches(op plan.Op) bool {
	_, meta := op.(plan.Meta)
	return !meta
}

// placed are the images on which a step puts files that the cache is not asked for:
// what they hold must be known for that, though not what is in it.
func (b *build) placed() []*plan.Image {
	var all []*plan.Image
	seen := map[v1.Hash]bool{}
	for _, s := range b.order {
		for _, w := range s.works {
			if !touches(w.Op) || linked(w.Op) || b.Cache.takes(w.Op) && !b.Squash {
				continue
			}
			if img := s.root(); img != nil && !seen[img.Digest] {
				seen[img.Digest] = true
				all = append(all, img)
			}
			break
		}
	}
	return all
}

// root is the image at the bottom of a stage; nil if that is scratch.
func (s *stage) root() *plan.Image {
	p := s.plan
	for p.Base.Stage != nil {
		p = p.Base.Stage
	}
	return p.Base.Image
}
