package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// Part is how long work of one kind took.
type Part struct {
	Kind engine.Phase
	Took time.Duration
}

// Parts are what a step's time went into, in the order of the table and without what
// lies within of another kind. Other is what no phase accounts for.
func (s *Step) Parts() []Part {
	by := own(s.Phases)
	// What the compressor held up is told of the step as a whole.
	held := s.Compress
	for _, kind := range []engine.Phase{engine.Capture, engine.Copy} {
		taken := min(held, by[kind])
		by[kind] -= taken
		by[Compress] += taken
		held -= taken
	}
	rest := s.Took()
	var all []Part
	for _, kind := range kinds() {
		rest -= by[kind]
		if kind == Other {
			by[kind] = max(0, rest)
		}
		if by[kind] > 0 {
			all = append(all, Part{kind, by[kind]})
		}
	}
	return all
}

// own is by kind the time of phases without that of phases within them.
func own(phases []Phase) map[engine.Phase]time.Duration {
	by := map[engine.Phase]time.Duration{}
	var around []Phase // each within the one before
	for _, p := range nested(phases) {
		for len(around) > 0 && around[len(around)-1].End < p.End {
			around = around[:len(around)-1]
		}
		if len(around) > 0 {
			by[around[len(around)-1].Kind] -= p.Took()
		}
		by[p.Kind] += p.Took()
		around = append(around, p)
	}
	return by
}

// nested has each phase before those within it.
func nested(phases []Phase) []Phase {
	return slices.SortedStableFunc(slices.Values(phases), func(a, b Phase) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(b.End, a.End))
	})
}

// Ranked is a step with its stage.
type Ranked struct {
	Stage *Stage
	Step  *Step
}

// Work is how long the step took without waiting for other stages.
func (s *Step) Work() time.Duration { return s.Took() - own(s.Phases)[engine.Wait] }

// Slowest are the n steps whose work took longest, the longest first, without those
// that took less than a hundredth of the build.
func (t *Timeline) Slowest(n int) []Ranked {
	var all []Ranked
	for i := range t.Stages {
		st := &t.Stages[i]
		for j := range st.Steps {
			if st.Steps[j].Work() >= t.Took/100 {
				all = append(all, Ranked{st, &st.Steps[j]})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Ranked) int { return cmp.Compare(b.Step.Work(), a.Step.Work()) })
	return all[:min(n, len(all))]
}
