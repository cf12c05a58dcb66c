package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// now is the time that entries are dated by, whatever the image is.
func (b *build) now() time.Time { return time.Now().UTC() }

// compare finds out, for the steps to be done, what is different from the last build
// of the lineage.
func (b *build) compare(ctx context.Context) {
	if b.before == nil || b.cacheless.Load() {
		return
	}
	var all sync.WaitGroup
	for _, s := range b.order {
		changed := false // a step of the stage, or what it starts from
		if up := s.plan.Base.Stage; up != nil {
			changed = b.stages[up].changed
		}
		for _, w := range s.todo() {
			if w.planned.key == "" || !touches(w.Op) {
				continue
			}
			before := s.previously(w)
			_, copies := w.Op.(plan.Copy)
			switch {
			case before == nil:
			case before.Key == w.planned.key:
				if b.asks(w) && len(w.missed) == 0 {
					w.miss(cachekey.NoEntry, b.whyGone(w))
				}
			case b.sourceChanged(w.Op) != "":
				changed = true
				w.miss(cachekey.SourceChanged, b.sourceChanged(w.Op)+" changed")
			case changed && sameText(before, w) && !copies:
				w.miss(cachekey.EarlierChanged, afterChange)
			default:
				changed = true
				all.Go(func() { b.differ(ctx, w, before) })
			}
		}
		s.changed = changed
	}
	all.Wait()
}

// afterChange is why a step is done of which nothing is different.
const afterChange = "a step before it changed"

// sourceChanged names a stage that an op reads from and that is not what it was in the
// last build; empty without one.
func (b *build) sourceChanged(op plan.Op) string {
	for _, r := range plan.Reads(op) {
		if r.From != nil && r.From.Stage != nil && b.stages[r.From.Stage].changed {
			return "stage " + b.stages[r.From.Stage].label()
		}
	}
	return ""
}

func (b *build) whyGone(w *work) string {
	if w.why != "" {
		return w.why
	}
	return "its entry is not in the cache any more"
}

// differ says what is different about a step.
func (b *build) differ(ctx context.Context, w *work, before *cache.Step) {
	was, err := b.Cache.Store.Definition(ctx, before.Key)
	if err != nil {
		return // it is only for the user to know
	}
	reasons := cachekey.Explain(was, w.planned.text)
	if slices.Equal(reasons, []string{cachekey.EarlierStep}) {
		reasons = nil
		if b.asks(w) { // else it is done each time, whatever comes before
			reasons = []string{afterChange}
		}
	}
	w.miss(cachekey.Because(was, w.planned.text), reasons...)
}

// miss notes why the cache does not have the step; what was known before stays first.
func (w *work) miss(cause cachekey.Cause, reasons ...string) {
	if w.cause == "" && len(reasons) > 0 {
		w.cause = cause
	}
	w.missed = append(w.missed, reasons...)
}

// whyMissed is why the cache does not have a step, in few words: what the store said of
// an entry that it has counts for more than what is different. Empty if it was not asked.
func (b *build) whyMissed(w *work) cachekey.Cause {
	switch {
	case w.gone != "" && w.gone != cachekey.NoEntry:
		return w.gone
	case w.cause != "":
		return w.cause
	case b.asks(w):
		return cachekey.NoEntry
	}
	return ""
}

// previously is the step of the last build that was in the place of this one: with
// the same text, or else as many steps that touch files into the same stage.
func (s *stage) previously(w *work) *cache.Step {
	var same, inPlace *cache.Step
	at, occurrence := s.place(w)
	n := 0
	for i := range s.build.before.Steps {
		step := &s.build.before.Steps[i]
		if step.Key == "" || step.Name != s.plan.Name || step.Name == "" && step.Stage != s.plan.Index {
			continue
		}
		if n == at {
			inPlace = step
		}
		n++
		if sameText(step, w) {
			if occurrence == 0 {
				same = step
			}
			occurrence--
		}
	}
	if same != nil {
		return same
	}
	return inPlace
}

// sameText reports whether a step of a journal, which has the beginning of a text, is
// the same instruction.
func sameText(s *cache.Step, w *work) bool {
	text := public(w.Text)
	if begin, cut := strings.CutSuffix(s.Text, "…"); cut {
		return strings.HasPrefix(text, begin)
	}
	return s.Text == text
}

// place is how many steps that touch files come before w, and how many of them with
// the same text.
func (s *stage) place(w *work) (at, occurrence int) {
	for _, before := range s.works {
		if before == w {
			break
		}
		if touches(before.Op) {
			at++
			if before.Text == w.Text {
				occurrence++
			}
		}
	}
	return at, occurrence
}

// tellMissed tells the user why a step is done.
func (w *work) tellMissed(out io.Writer) {
	if out == nil || len(w.missed) == 0 {
		return
	}
	fmt.Fprintf(out, "not cached: %s\n", strings.Join(w.missed, "; "))
}

// leaveJournal leaves word of what the build used of the cache.
func (b *build) leaveJournal(img v1.Image, failed error) {
	if !b.keeps() || b.Cache.Journals == nil || b.outer.Err() != nil {
		return
	}
	j := cache.Journal{Lineage: b.Cache.Lineage, Started: b.started.UTC(), Ended: b.now(), Tool: b.Cache.Tool}
	if failed == nil {
		if digest, err := img.Digest(); err == nil {
			j.Image = digest.String()
		}
	}
	for _, s := range b.order {
		for _, w := range s.works {
			if !touches(w.Op) {
				continue
			}
			step := cache.Step{
				Stage: s.plan.Index, Name: s.plan.Name, Line: w.At.Line, Text: public(w.Text), Key: w.planned.key,
				Use: w.use, Missed: w.missed, Size: w.size,
			}
			if step.Use == "" {
				step.Use = cache.Skipped
			}
			if w.entry == nil && step.Use != cache.Made && w.planned.key != "" && s.needed {
				j.Definitions = append(j.Definitions, w.planned.text)
			}
			j.Steps = append(j.Steps, step)
		}
	}
	err := b.Cache.Journals.Record(b.outer, j)
	// Where tags cannot be moved, a journal is there and only not the last one.
	if moved := new(cache.TagError); err != nil && b.outer.Err() == nil && !errors.As(err, &moved) {
		b.warn("no journal was left in the layer cache: " + err.Error())
	}
}
