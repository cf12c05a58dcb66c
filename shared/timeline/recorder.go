package timeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Recorder is an [engine.Observer] that remembers.
type Recorder struct {
	began  time.Time
	made   time.Time // with a clock that nobody sets
	memory *sampler

	mu        sync.Mutex
	clocks    clocks
	records   int
	dropped   int
	stages    []*stage
	phases    []*phase
	transfers []*transfer
}

var _ engine.Observer = (*Recorder)(nil)

// New makes a Recorder of a build that began at a time, and looks at the memory of the
// process until it is closed.
func New(began time.Time) *Recorder {
	r := &Recorder{began: began, made: time.Now(), clocks: newClocks()}
	r.memory = newSampler(r.now)
	return r
}

// Close ends looking at memory.
func (r *Recorder) Close() { r.memory.close() }

// now is the time since the build began. It never goes back, even if another process
// has said when that was.
func (r *Recorder) now() time.Duration { return max(0, r.made.Sub(r.began)) + time.Since(r.made) }

// stage, step and phase are records under way; they are written under the
// recorder's lock.
type stage struct {
	Stage
	steps  []*step
	phases []*phase
	over   bool
}

type step struct {
	Step
	phases []*phase
	over   bool
}

type phase struct {
	Phase
	over bool
	// While phases lie within it the time is theirs; within counts them.
	outer  *phase
	within int
}

type transfer struct {
	Transfer
	moved atomic.Int64
	over  bool
}

// place is where in the build a context is.
type place struct {
	stage *stage
	step  *step
	phase *phase
}

type placeKey struct{}

func placeOf(ctx context.Context) place {
	p, _ := ctx.Value(placeKey{}).(place)
	return p
}

func (p place) in(ctx context.Context) context.Context { return context.WithValue(ctx, placeKey{}, p) }

// keep reports whether one more record may be kept.
func (r *Recorder) keep() bool {
	if r.records == MaxRecords {
		r.dropped++
		return false
	}
	r.records++
	return true
}

// Stage implements [engine.Observer].
func (r *Recorder) Stage(ctx context.Context, s *plan.Stage) (context.Context, func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := &stage{Stage: Stage{
		Span: Span{Begin: r.now()}, Index: s.Index, Name: clip(s.Name), Platform: s.Platform.String(), Base: clip(baseOf(s)),
	}}
	if r.keep() {
		r.stages = append(r.stages, st)
	}
	return place{stage: st}.in(ctx), func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		st.End, st.over, st.Err = r.now(), true, failure(err)
	}
}

func baseOf(s *plan.Stage) string {
	switch from := s.Base; {
	case from.Image != nil:
		return from.Image.Ref
	case from.Stage != nil && from.Stage.Name != "":
		return from.Stage.Name
	case from.Stage != nil:
		return "an earlier stage"
	}
	return "scratch"
}

// Step implements [engine.Observer].
func (r *Recorder) Step(ctx context.Context, st *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(engine.Outcome, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, meta := s.Op.(plan.Meta)
	one := &step{Step: Step{
		Span: Span{Begin: r.now()}, Number: slices.Index(st.Steps, s) + 1, Of: len(st.Steps), Text: clip(s.Text), At: s.At.String(), Meta: meta,
	}}
	at := placeOf(ctx)
	if r.keep() && at.stage != nil {
		at.stage.steps = append(at.stage.steps, one)
	}
	return place{stage: at.stage, step: one}.in(ctx), nil, func(out engine.Outcome, err error) {
		digest, size := layerOf(out)
		r.mu.Lock()
		defer r.mu.Unlock()
		one.finish(out, err)
		one.End, one.over, one.Digest, one.Size = r.now(), true, digest, size
		if out.Layer != nil && !out.Cached {
			r.clocks.compress(out.Compress, size)
		}
	}
}

func (s *step) finish(out engine.Outcome, err error) {
	s.Files, s.From, s.Compress = out.Files, clip(out.From), out.Compress
	for _, why := range out.Missed[:min(len(out.Missed), MaxReasons)] {
		s.Missed = append(s.Missed, clip(why))
	}
	switch {
	case errors.Is(err, context.Canceled):
		s.State = Stopped
	case err != nil:
		s.State, s.Err = Failed, failure(err)
	case out.Cached:
		s.State = Cached
	default:
		s.State = Done
	}
}

// layerOf asks a layer for what it knows of itself.
func layerOf(out engine.Outcome) (digest string, size int64) {
	if out.Layer == nil {
		return "", 0
	}
	if h, err := out.Layer.Digest(); err == nil {
		digest = h.String()
	}
	if n, err := out.Layer.Size(); err == nil {
		size = n
	}
	return digest, size
}

// Phase implements [engine.Observer]. A phase of a kind that is not in the table is a part
// of the one that it lies within.
func (r *Recorder) Phase(ctx context.Context, kind engine.Phase) (context.Context, func(error)) {
	at := placeOf(ctx)
	if at.phase != nil && !slices.Contains(kinds(), kind) {
		return ctx, func(error) {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	one := &phase{Phase: Phase{Span: Span{Begin: now}, Kind: kind}, outer: at.phase}
	if outer := one.outer; outer != nil && !outer.over {
		if outer.within++; outer.within == 1 {
			r.clocks.change(outer.Kind, -1, now)
		}
	}
	r.clocks.of(kind).Count++
	r.clocks.change(kind, 1, now)
	if r.keep() {
		r.file(at, one)
	}
	at.phase = one
	return at.in(ctx), func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		one.Err = err != nil
		r.endPhase(one)
	}
}

// file puts a phase where it belongs.
func (r *Recorder) file(at place, one *phase) {
	switch {
	case at.step != nil:
		at.step.phases = append(at.step.phases, one)
	case at.stage != nil:
		at.stage.phases = append(at.stage.phases, one)
	default:
		r.phases = append(r.phases, one)
	}
}

func (r *Recorder) endPhase(one *phase) {
	if one.over {
		return
	}
	now := r.now()
	one.End, one.over = now, true
	if one.within == 0 {
		r.clocks.change(one.Kind, -1, now)
	}
	if outer := one.outer; outer != nil && !outer.over {
		if outer.within--; outer.within == 0 {
			r.clocks.change(outer.Kind, 1, now)
		}
	}
}

// Transfer implements [engine.Observer].
func (r *Recorder) Transfer(ctx context.Context, t engine.Transfer) (context.Context, func(int64), func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, kind := r.now(), engine.Phase(t.Kind)
	one := &transfer{Transfer: Transfer{Span: Span{Begin: now}, Kind: kind, Name: clip(t.Name), Size: t.Size}}
	r.clocks.of(kind).Count++
	r.clocks.change(kind, 1, now)
	if r.keep() {
		r.transfers = append(r.transfers, one)
	}
	return ctx, func(n int64) { one.moved.Add(n) }, func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if one.over {
			return
		}
		one.End, one.over, one.Err = r.now(), true, failure(err)
		r.clocks.change(kind, -1, one.End)
		r.clocks.of(kind).Bytes += one.moved.Load()
	}
}

// Past adds a phase from the beginning of the build until now, of which nobody told
// when it began. It comes before all others.
func (r *Recorder) Past(kind engine.Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.clocks.past(kind, now)
	if r.keep() {
		r.phases = append(r.phases, &phase{Phase: Phase{Span: Span{End: now}, Kind: kind}, over: true})
	}
}

// failure is an error in words; what was stopped did not fail.
func failure(err error) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	return clip(err.Error())
}

// clip bounds a text.
func clip(text string) string {
	if len(text) <= MaxText {
		return strings.Clone(text)
	}
	return strings.ToValidUTF8(text[:MaxText-len("…")], "") + "…"
}
