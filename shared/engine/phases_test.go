package engine_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// witness notes which phases there were, each with the step it lies within. Those that are
// parts of them it leaves out.
type witness struct {
	mu       sync.Mutex
	phases   []string
	compress map[string]time.Duration
}

type withinKey struct{}

func within(ctx context.Context, what string) context.Context {
	outer, _ := ctx.Value(withinKey{}).(string)
	return context.WithValue(ctx, withinKey{}, outer+what+"/")
}

func (w *witness) Stage(ctx context.Context, _ *plan.Stage) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (w *witness) Step(ctx context.Context, _ *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(engine.Outcome, error)) {
	word, _, _ := strings.Cut(s.Text, " ")
	return within(ctx, word), nil, func(o engine.Outcome, _ error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o.Layer != nil && !o.Cached {
			w.compress[s.Text] = o.Compress
		}
	}
}

func (w *witness) Phase(ctx context.Context, kind engine.Phase) (context.Context, func(error)) {
	switch kind {
	case engine.Ask, engine.Wait, engine.Unpack, engine.Run, engine.Copy, engine.Capture, engine.Deliver:
	default:
		return ctx, func(error) {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	outer, _ := ctx.Value(withinKey{}).(string)
	w.phases = append(w.phases, outer+string(kind))
	return within(ctx, string(kind)), func(error) {}
}

func (w *witness) Transfer(ctx context.Context, _ engine.Transfer) (context.Context, func(int64), func(error)) {
	return ctx, func(int64) {}, func(error) {}
}

// An observer hears of all kinds of work, and where it is done; and of each layer that
// was made how long compressing it held up its step.
func TestBuild_phases(t *testing.T) {
	for _, squash := range []bool{false, true} {
		base, img := image(t, map[string]string{"etc/x": "x"})
		c := newCached(t)
		c.limit, c.squash = 1, squash
		w := &witness{compress: map[string]time.Duration{}}
		observed := func(b *bench) { b.Observer = w }
		c.with(twoStages(base, "1"), observed, img)
		slices.Sort(w.phases)
		got := strings.Join(slices.Compact(w.phases), " ")
		want := "COPY/copy COPY/unpack RUN/capture RUN/run RUN/unpack ask deliver"
		if squash {
			want = "COPY/copy RUN/capture RUN/run ask capture deliver unpack"
		}
		if got != want {
			t.Errorf("squash %v: phases %s, want %s", squash, got, want)
		}
		if len(w.compress) != 6 {
			t.Errorf("%d layers, want 6", len(w.compress))
		}
		for text, held := range w.compress {
			if held <= 0 {
				t.Errorf("%s: compressing its layer took %v", text, held)
			}
		}
		w.phases = nil
		c.with(twoStages(base, "1"), observed, img)
		if got := strings.Join(w.phases, " "); got != "ask deliver" {
			t.Errorf("squash %v: with all in the cache there are %s", squash, got)
		}
	}
}
