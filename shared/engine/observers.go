package engine

import (
	"context"
	"io"
	"slices"

	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Observers is an observer that tells several, in order; what ends is told in the
// reverse order. It leaves out those that are nil, and is nil if none is left.
func Observers(observers ...Observer) Observer {
	all := slices.DeleteFunc(slices.Clone(observers), func(o Observer) bool { return o == nil })
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return multiObserver(all)
}

type multiObserver []Observer

func (m multiObserver) Stage(ctx context.Context, s *plan.Stage) (context.Context, func(error)) {
	ends := make([]func(error), 0, len(m))
	for _, o := range m {
		var end func(error)
		if ctx, end = o.Stage(ctx, s); end != nil {
			ends = append(ends, end)
		}
	}
	return ctx, endAll(ends)
}

func endAll(ends []func(error)) func(error) {
	return func(err error) {
		for _, end := range slices.Backward(ends) {
			end(err)
		}
	}
}

func (m multiObserver) Step(ctx context.Context, st *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(Outcome, error)) {
	ends := make([]func(Outcome, error), 0, len(m))
	var outputs []io.Writer
	for _, o := range m {
		var end func(Outcome, error)
		var output io.Writer
		if ctx, output, end = o.Step(ctx, st, s); end != nil {
			ends = append(ends, end)
		}
		if output != nil {
			outputs = append(outputs, output)
		}
	}
	var output io.Writer
	switch len(outputs) {
	case 0:
	case 1:
		output = outputs[0]
	default:
		output = io.MultiWriter(outputs...)
	}
	return ctx, output, func(out Outcome, err error) {
		for _, end := range slices.Backward(ends) {
			end(out, err)
		}
	}
}

func (m multiObserver) Phase(ctx context.Context, kind Phase) (context.Context, func(error)) {
	ends := make([]func(error), 0, len(m))
	for _, o := range m {
		var end func(error)
		if ctx, end = o.Phase(ctx, kind); end != nil {
			ends = append(ends, end)
		}
	}
	return ctx, endAll(ends)
}

func (m multiObserver) Transfer(ctx context.Context, t Transfer) (context.Context, func(int64), func(error)) {
	ends := make([]func(error), 0, len(m))
	moves := make([]func(int64), 0, len(m))
	for _, o := range m {
		var end func(error)
		var moved func(int64)
		if ctx, moved, end = o.Transfer(ctx, t); end != nil {
			ends = append(ends, end)
		}
		if moved != nil {
			moves = append(moves, moved)
		}
	}
	return ctx, func(n int64) {
		for _, moved := range moves {
			moved(n)
		}
	}, endAll(ends)
}
