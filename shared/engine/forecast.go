package engine

import (
	"context"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Forecast is what a build would find in the cache for a step.
type Forecast struct {
	Use    cache.Use // Hit, Done if the step would be done, or Skipped
	Key    cachekey.Key
	Missed []string // why there is no hit, as far as that is known
}

// Cached reports whether a build has no need to do the step.
func (f Forecast) Cached() bool { return f.Use == cache.Hit || f.Use == cache.Skipped }

// Probe asks the cache what a build would ask, and does nothing else. It needs of the
// configuration the plan, build contexts, bases and the cache. What is not there
// makes steps that would be done.
func Probe(ctx context.Context, c Config) map[*plan.Step]Forecast {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := newBuild(ctx, c, cancel, nil)
	b.readOnly.Store(true)
	b.reckon(ctx)
	out := map[*plan.Step]Forecast{}
	for _, s := range b.order {
		for _, w := range s.works {
			f := Forecast{Use: cache.Done, Key: w.planned.key, Missed: w.missed}
			switch {
			case !touches(w.Op):
				continue
			case !s.needed:
				f.Use = cache.Skipped
			case w.entry != nil:
				f.Use = cache.Hit
			}
			out[w.Step] = f
		}
	}
	return out
}
