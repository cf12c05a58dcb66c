package engine

import (
	"context"
	"slices"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// reuse takes what the cache has in place of doing a step.
func (s *stage) reuse(ctx context.Context, w *work, export bool) (result, error) {
	r := result{step: w.Step, Outcome: Outcome{Cached: true, From: w.entry.From}}
	w.use = cache.Hit
	if w.found.key == "" {
		s.pass(w, w.readings)
	}
	if w.entry.Layer == nil {
		return r, nil
	}
	id, err := w.entry.Layer.DiffID()
	if err != nil {
		return r, s.explain(ctx, w.Step, err)
	}
	r.key, r.Layer = id.String(), w.entry.Layer
	w.size, _ = r.Layer.Size()
	if export {
		s.build.export(ctx, r.Layer)
	}
	return r, nil
}

// pass names the files that a step leaves, with what it reads from stages as readings
// has it.
func (s *stage) pass(w *work, readings []listed) {
	switch {
	case s.build.Cache == nil || !touches(w.Op):
	case s.found == w.below && slices.Equal(readings, w.readings):
		w.found, s.found = w.planned, w.leaves
	default:
		w.found, s.found = s.name(w, s.found, readings)
	}
	w.readings = nil
}

// passCopy is pass for a COPY or ADD whose sources are open: what it copies from a
// stage is named by its content, however the stage came to be.
func (s *stage) passCopy(ctx context.Context, w *work, op plan.Copy, b *baggage) {
	if s.build.Cache == nil {
		return
	}
	readings := w.readings
	if w.known && op.From != nil && op.From.Stage != nil {
		what := requested(plan.Reads(op)[0])
		listed, err := s.build.list(ctx, "", b.requests[0].Source, what, keepsOwners(op, op.From))
		if err != nil {
			w.known = false // and placing them will say what is wrong
		} else {
			readings = slices.Clone(readings)
			readings[0] = listed
		}
	}
	s.pass(w, readings)
}

// find asks the cache for a step by the content of what was copied into its stage,
// if that gives it another name. The entry is then to be found by the other one too.
func (s *stage) find(ctx context.Context, w *work) bool {
	b := s.build
	if w.found.key == "" || w.found.key == w.planned.key || s.fresh || !b.asks(w) {
		return false
	}
	b.get(ctx, w, w.found)
	if w.entry == nil {
		return false
	}
	if !linked(w.Op) && !s.ran.fits(w.entry) {
		w.entry = nil
		return false
	}
	if b.keeps() && w.planned.key != "" {
		b.put(nil, nil, s.entry(w, w.planned, w.entry.Layer, w.entry.Index))
	}
	return true
}
