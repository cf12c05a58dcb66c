package timeline

import (
	"cmp"
	"slices"
	"time"
)

// Timeline is what was recorded until now. What goes on ends now.
func (r *Recorder) Timeline() *Timeline {
	memory := r.memory.memory()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	t := &Timeline{Began: r.began, Took: now, Totals: r.totals(now), Dropped: r.dropped, Memory: memory, Phases: phases(r.phases, now)}
	for _, st := range r.stages {
		t.Stages = append(t.Stages, st.until(now))
	}
	t.sort()
	for _, one := range r.transfers {
		copied := one.Transfer
		copied.Moved = one.moved.Load()
		if !one.over {
			copied.End = now
		}
		t.Transfers = append(t.Transfers, copied)
	}
	return t
}

// sort brings stages, which may begin in any order, into the Dockerfile's, those for one
// platform together. What is built once more follows what it is built instead of.
func (t *Timeline) sort() {
	platforms := map[string]int{}
	for _, st := range t.Stages {
		if _, ok := platforms[st.Platform]; !ok {
			platforms[st.Platform] = len(platforms)
		}
	}
	for i := range t.Stages {
		t.Stages[i].Several = len(platforms) > 1
	}
	slices.SortStableFunc(t.Stages, func(a, b Stage) int {
		return cmp.Or(cmp.Compare(platforms[a.Platform], platforms[b.Platform]), cmp.Compare(a.Index, b.Index))
	})
}

// totals are those of the clocks, with what transfers under way have moved.
func (r *Recorder) totals(now time.Duration) []Total {
	all := r.clocks.totals(now)
	for _, one := range r.transfers {
		for i := range all {
			if !one.over && all[i].Kind == one.Kind {
				all[i].Bytes += one.moved.Load()
			}
		}
	}
	return all
}

func (st *stage) until(now time.Duration) Stage {
	out := st.Stage
	if !st.over {
		out.End = now
	}
	out.Phases = phases(st.phases, now)
	for _, s := range st.steps {
		one := s.Step
		if !s.over {
			one.End, one.State = now, Stopped
		}
		one.Phases = phases(s.phases, now)
		out.Steps = append(out.Steps, one)
	}
	return out
}

func phases(all []*phase, now time.Duration) []Phase {
	var out []Phase
	for _, p := range all {
		one := p.Phase
		if !p.over {
			one.End = now
		}
		out = append(out, one)
	}
	return out
}
