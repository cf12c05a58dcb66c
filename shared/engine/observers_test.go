package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/plan"
)

// recorder writes what it is told into a log, under its name.
type recorder struct {
	name   string
	log    *[]string
	output io.Writer
}

type recorderKey string

func (r recorder) say(format string, args ...any) {
	*r.log = append(*r.log, r.name+" "+fmt.Sprintf(format, args...))
}

func (r recorder) Stage(ctx context.Context, s *plan.Stage) (context.Context, func(error)) {
	r.say("stage %d", s.Index)
	return context.WithValue(ctx, recorderKey(r.name), true), func(err error) { r.say("stage end %v", err) }
}

func (r recorder) Step(ctx context.Context, _ *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(Outcome, error)) {
	r.say("step %s", s.Text)
	return context.WithValue(ctx, recorderKey(r.name), true), r.output, func(o Outcome, err error) { r.say("step end %d %v", o.Files, err) }
}

func (r recorder) Phase(ctx context.Context, kind Phase) (context.Context, func(error)) {
	r.say("phase %s", kind)
	return context.WithValue(ctx, recorderKey(r.name), true), func(err error) { r.say("phase end %v", err) }
}

func (r recorder) Transfer(ctx context.Context, t Transfer) (context.Context, func(int64), func(error)) {
	r.say("transfer %s", t.Name)
	return context.WithValue(ctx, recorderKey(r.name), true), func(n int64) { r.say("moved %d", n) }, func(err error) { r.say("transfer end %v", err) }
}

func TestObservers_none(t *testing.T) {
	if Observers() != nil || Observers(nil, nil) != nil {
		t.Error("an observer where there is none")
	}
	r := recorder{name: "a"}
	if got := Observers(nil, r); got != Observer(r) {
		t.Errorf("got %v, want the only one as it is", got)
	}
}

func TestObservers_several(t *testing.T) {
	var log []string
	var a, c strings.Builder
	o := Observers(recorder{"a", &log, &a}, nil, recorder{"b", &log, nil}, recorder{"c", &log, &c})

	checkContext := func(ctx context.Context) {
		t.Helper()
		for _, name := range []string{"a", "b", "c"} {
			if ctx.Value(recorderKey(name)) == nil {
				t.Errorf("the context has nothing of %s", name)
			}
		}
	}
	ctx, endStage := o.Stage(t.Context(), &plan.Stage{Index: 2})
	checkContext(ctx)
	ctx, output, endStep := o.Step(t.Context(), nil, &plan.Step{Text: "RUN x"})
	checkContext(ctx)
	if _, err := io.WriteString(output, "hello"); err != nil {
		t.Fatal(err)
	}
	endStep(Outcome{Files: 3}, nil)
	ctx, endPhase := o.Phase(t.Context(), Unpack)
	checkContext(ctx)
	endPhase(nil)
	ctx, moved, endTransfer := o.Transfer(t.Context(), Transfer{Name: "img"})
	checkContext(ctx)
	moved(7)
	endTransfer(nil)
	endStage(errors.New("bad"))

	if a.String() != "hello" || c.String() != "hello" {
		t.Errorf("output went to %q and %q", a.String(), c.String())
	}
	want := []string{
		"a stage 2", "b stage 2", "c stage 2",
		"a step RUN x", "b step RUN x", "c step RUN x",
		"c step end 3 <nil>", "b step end 3 <nil>", "a step end 3 <nil>",
		"a phase unpack", "b phase unpack", "c phase unpack",
		"c phase end <nil>", "b phase end <nil>", "a phase end <nil>",
		"a transfer img", "b transfer img", "c transfer img",
		"a moved 7", "b moved 7", "c moved 7",
		"c transfer end <nil>", "b transfer end <nil>", "a transfer end <nil>",
		"c stage end bad", "b stage end bad", "a stage end bad",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
}

func TestObservers_noOutput(t *testing.T) {
	var log []string
	_, output, _ := Observers(recorder{"a", &log, nil}, recorder{"b", &log, nil}).Step(t.Context(), nil, &plan.Step{})
	if output != nil {
		t.Error("there is somewhere for output to go")
	}
}
