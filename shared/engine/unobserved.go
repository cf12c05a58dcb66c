package engine

import (
	"context"
	"io"

	"github.com/kaniko-suite/kaniko/shared/plan"
)

// unobserved is the Observer of a build that nobody looks at.
type unobserved struct{}

func (unobserved) Stage(ctx context.Context, _ *plan.Stage) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (unobserved) Step(ctx context.Context, _ *plan.Stage, _ *plan.Step) (context.Context, io.Writer, func(Outcome, error)) {
	return ctx, io.Discard, func(Outcome, error) {}
}

func (unobserved) Phase(ctx context.Context, _ Phase) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (unobserved) Transfer(ctx context.Context, _ Transfer) (context.Context, func(int64), func(error)) {
	return ctx, func(int64) {}, func(error) {}
}
