package engine

import (
	"slices"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// need finds out which stages have to be worked on, and takes back what the cache
// gave where it would not fit what is done anew.
func (b *build) need() {
	for _, s := range b.order {
		s.discardUnfit()
	}
	for {
		b.mark()
		if !b.takeBack() {
			return
		}
	}
}

// mark finds the stages that are needed: those whose layers become the target's, those
// that are to be built beside it, and those that a step which is to be done reads from.
func (b *build) mark() {
	for _, s := range b.order {
		s.needed = s.exported || slices.Contains(b.Plan.Also, s.plan)
	}
	for i := len(b.order) - 1; i >= 0; i-- {
		s := b.order[i]
		if !s.needed {
			continue
		}
		for _, d := range s.dependencies() {
			d.needed = true
		}
	}
}

// takeBack gives up entries that were made of something else than what will be
// there: a command that is run again may do something else than when the entries
// above it were made. It reports whether there were any.
func (b *build) takeBack() bool {
	any := false
	for _, s := range b.order {
		s.anew = s.plan.Base.Stage != nil && b.stages[s.plan.Base.Stage].anew
		if !s.needed {
			s.anew = false
			continue
		}
		for _, w := range s.works {
			if !touches(w.Op) {
				continue
			}
			reads := b.readsAnew(w.Op)
			if w.entry != nil && (reads || s.anew && !linked(w.Op)) {
				w.entry, any = nil, true
				w.missed, w.cause = []string{"a step that it depends on is done again"}, cachekey.RunAgain
			}
			if _, run := w.Op.(plan.Run); w.entry == nil && (run || reads) {
				s.anew = true
			}
		}
	}
	return any
}

// readsAnew reports whether an op reads from a stage in which a command is run again.
func (b *build) readsAnew(op plan.Op) bool {
	for _, r := range plan.Reads(op) {
		if r.From != nil && r.From.Stage != nil && b.stages[r.From.Stage].anew {
			return true
		}
	}
	return false
}
