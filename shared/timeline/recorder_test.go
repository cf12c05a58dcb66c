package timeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

var (
	fetch   = &plan.Step{Text: "RUN fetch", Op: plan.Run{}}
	compile = &plan.Step{Text: "RUN make", Op: plan.Run{}}
	copying = &plan.Step{Text: "COPY --from=build /a /a", Op: plan.Copy{}}
	label   = &plan.Step{Text: "LABEL a=b", Op: plan.Meta{}}
	build   = &plan.Stage{Name: "build", Steps: []*plan.Step{fetch, compile}, Base: plan.Base{Image: &plan.Image{Ref: "debian:12"}}}
	final   = &plan.Stage{Index: 1, Steps: []*plan.Step{copying, label}, Base: plan.Base{Stage: build}}
)

// recorded is what f's build leaves, by a clock that only f moves.
func recorded(t *testing.T, f func(r *Recorder)) (out *Timeline) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		r := New(time.Now())
		defer r.Close()
		f(r)
		out = r.Timeline()
	})
	return out
}

// spend is a phase that takes so many seconds.
func spend(ctx context.Context, r *Recorder, kind engine.Phase, seconds int) {
	_, end := r.Phase(ctx, kind)
	wait(seconds)
	end(nil)
}

func wait(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

func someLayer(t *testing.T) v1.Layer {
	t.Helper()
	l, err := random.Layer(100, "")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// inSeconds are the totals there are, as "kind count time wall bytes".
func inSeconds(t *Timeline) []string {
	var all []string
	for _, total := range t.Totals {
		if total.Count > 0 || total.Time > 0 {
			all = append(all, fmt.Sprintf("%s %d %v %v %d", total.Kind, total.Count, total.Time, total.Wall, total.Bytes))
		}
	}
	return all
}

func TestTotals(t *testing.T) {
	l := someLayer(t)
	size, err := l.Size()
	if err != nil {
		t.Fatal(err)
	}
	got := recorded(t, func(r *Recorder) {
		ctx := t.Context()
		wait(1)
		r.Past(Prepare)
		wait(1) // nobody says at what
		ctx, endStage := r.Stage(ctx, build)
		stepCtx, _, endStep := r.Step(ctx, build, compile)
		unpacking, endUnpack := r.Phase(stepCtx, engine.Unpack)
		_, moved, done := r.Transfer(unpacking, engine.Transfer{Kind: "pull", Name: "a", Size: 9})
		wait(2)
		_, moved2, done2 := r.Transfer(unpacking, engine.Transfer{Kind: "pull", Name: "b", Size: 9})
		wait(2)
		moved(4)
		done(nil)
		wait(3)
		moved2(5)
		done2(nil)
		endUnpack(nil)
		spend(stepCtx, r, engine.Run, 10)
		captured, endCapture := r.Phase(stepCtx, engine.Capture)
		spend(captured, r, "a kind of its own", 1) // which is capturing as well
		spend(captured, r, engine.Wait, 4)
		wait(1)
		endCapture(nil)
		endStep(engine.Outcome{Layer: l, Files: 1, Compress: time.Second}, nil)
		endStage(nil)
	})
	want := []string{
		"prepare 1 1s 1s 0",
		"pull 2 9s 7s 9", // 4 and 5 seconds, 2 of them at once
		"unpack 1 7s 7s 0",
		"run 1 10s 10s 0",
		"capture 1 2s 2s 0", // without what it waited
		fmt.Sprintf("compress 1 1s 0s %d", size),
		"wait 1 4s 4s 0",
		"other 0 5s 5s 0", // the second that nobody spoke for, and the waiting
	}
	if diff := cmp.Diff(want, inSeconds(got)); diff != "" {
		t.Error(diff)
	}
	if got.Took != 25*time.Second {
		t.Errorf("took %v", got.Took)
	}
	step := got.Stages[0].Steps[0]
	parts := fmt.Sprint(step.Parts())
	if want := "[{unpack 7s} {run 10s} {capture 1s} {compress 1s} {wait 4s}]"; parts != want {
		t.Errorf("parts %s, want %s", parts, want)
	}
	if step.Work() != 19*time.Second {
		t.Errorf("worked %v", step.Work())
	}
}

// Two stages that run commands at once take the time of both, and the wall time of one.
func TestTotals_stagesAtOnce(t *testing.T) {
	got := recorded(t, func(r *Recorder) {
		var all sync.WaitGroup
		for _, st := range []*plan.Stage{build, final} {
			all.Go(func() {
				ctx, end := r.Stage(t.Context(), st)
				ctx, _, endStep := r.Step(ctx, st, st.Steps[0])
				spend(ctx, r, engine.Run, 3)
				endStep(engine.Outcome{}, nil)
				end(nil)
			})
		}
		all.Wait()
	})
	if diff := cmp.Diff([]string{"run 2 6s 3s 0"}, inSeconds(got)); diff != "" {
		t.Error(diff)
	}
	if len(got.Stages) != 2 || got.Stages[0].Name != "build" || got.Stages[1].Base != "build" || got.Stages[0].Base != "debian:12" {
		t.Errorf("stages %+v", got.Stages)
	}
}

func TestStates(t *testing.T) {
	got := recorded(t, func(r *Recorder) {
		ctx, endStage := r.Stage(t.Context(), build)
		_, _, end := r.Step(ctx, build, fetch)
		end(engine.Outcome{Cached: true, From: "example.com/cache", Layer: someLayer(t)}, nil)
		_, _, end = r.Step(ctx, build, compile)
		end(engine.Outcome{Missed: []string{"file f changed"}}, errors.New("exit status 7"))
		endStage(errors.New("exit status 7"))
		ctx, _ = r.Stage(t.Context(), final)
		_, _, end = r.Step(ctx, final, copying)
		end(engine.Outcome{}, fmt.Errorf("x: %w", context.Canceled))
		r.Step(ctx, final, label) // it never ends
		wait(1)
	})
	var states []string
	for _, st := range got.Stages {
		for _, s := range st.Steps {
			states = append(states, fmt.Sprintf("%d/%d %s %s %v %q %v", s.Number, s.Of, s.Text, s.State, s.Meta, s.Err, s.Missed))
		}
	}
	want := []string{
		`1/2 RUN fetch cached false "" []`,
		`2/2 RUN make failed false "exit status 7" [file f changed]`,
		`1/2 COPY --from=build /a /a stopped false "" []`,
		`2/2 LABEL a=b stopped true "" []`,
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
	first, last := got.Stages[0].Steps[0], got.Stages[1].Steps[1]
	if first.From != "example.com/cache" || !strings.HasPrefix(first.Digest, "sha256:") || first.Size == 0 {
		t.Errorf("%+v", first)
	}
	if last.Took() != time.Second {
		t.Errorf("what never ended took %v", last.Took())
	}
	if cached, all := got.Steps(); cached != 1 || all != 3 {
		t.Errorf("%d of %d cached", cached, all)
	}
}

// What is under way when the build is over counts until then.
func TestTimeline_underWay(t *testing.T) {
	got := recorded(t, func(r *Recorder) {
		_, moved, _ := r.Transfer(t.Context(), engine.Transfer{Kind: "push", Size: -1})
		r.Phase(t.Context(), engine.Run)
		wait(2)
		moved(7)
	})
	if diff := cmp.Diff([]string{"run 1 2s 2s 0", "push 1 2s 2s 7"}, inSeconds(got)); diff != "" {
		t.Error(diff)
	}
	if tr := got.Transfers[0]; tr.Took() != 2*time.Second || tr.Moved != 7 {
		t.Errorf("%+v", tr)
	}
}

// A build of any size leaves so much and no more, but is measured as a whole.
func TestBounds(t *testing.T) {
	const more = 500
	got := recorded(t, func(r *Recorder) {
		ctx, _ := r.Stage(t.Context(), build)
		for range MaxRecords + more {
			_, moved, done := r.Transfer(ctx, engine.Transfer{Kind: "pull", Name: strings.Repeat("é", MaxText)})
			time.Sleep(time.Millisecond)
			moved(1)
			done(nil)
		}
		_, _, end := r.Step(ctx, build, compile)
		end(engine.Outcome{Missed: make([]string, 10*MaxReasons)}, nil)
	})
	if kept := len(got.Transfers) + len(got.Stages) + len(got.Stages[0].Steps); kept != MaxRecords {
		t.Errorf("kept %d records", kept)
	}
	if got.Dropped != more+2 {
		t.Errorf("dropped %d", got.Dropped)
	}
	if name := got.Transfers[0].Name; len(name) > MaxText || !strings.HasSuffix(name, "é…") {
		t.Errorf("kept %d bytes of a name", len(name))
	}
	if pull := got.Total(Pull); pull.Bytes != MaxRecords+more || pull.Wall != (MaxRecords+more)*time.Millisecond {
		t.Errorf("pulled %+v", pull)
	}
}

// Nothing is torn when everything happens at once; for the race detector.
func TestRecorder_atOnce(t *testing.T) {
	r := New(time.Now())
	defer r.Close()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				ctx, end := r.Stage(t.Context(), build)
				ctx, _, endStep := r.Step(ctx, build, compile)
				inner, endPhase := r.Phase(ctx, engine.Capture)
				_, moved, done := r.Transfer(inner, engine.Transfer{Kind: "push"})
				moved(1)
				r.Timeline()
				done(nil)
				endPhase(nil)
				endStep(engine.Outcome{}, nil)
				end(nil)
			}
		})
	}
	all.Wait()
	if n := r.Timeline().Total(Push).Bytes; n != 800 {
		t.Errorf("pushed %d bytes", n)
	}
}
