package engine

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// turns says whose turn it is: as many stages work at the same time as may, and as many
// commands run. A stage that waits, or whose command runs, does not work (decision 31).
type turns struct {
	working *semaphore.Weighted
	running *semaphore.Weighted
}

func newTurns(l Limits) turns {
	return turns{semaphore.NewWeighted(int64(l.Stages)), semaphore.NewWeighted(int64(l.Commands))}
}

// work does a stage's work when it is its turn, unless ctx ends before.
func (t turns) work(ctx context.Context, what func()) {
	if t.working.Acquire(ctx, 1) != nil {
		return
	}
	defer t.working.Release(1)
	what()
}

// aside lets others work while one that works does something else.
func (t turns) aside(ctx context.Context, what func() error) error {
	t.working.Release(1)
	err := what()
	// Also of a build that has ended: the place is given back by who was given it.
	if again := t.working.Acquire(context.WithoutCancel(ctx), 1); again != nil {
		return again
	}
	return err
}

// command runs a command when it is its turn. waiting is called if that is not at once,
// and what it gives when the turn has come, or never will.
func (t turns) command(ctx context.Context, waiting func() (end func(error)), run func() error) error {
	if !t.running.TryAcquire(1) {
		end := waiting()
		err := t.running.Acquire(ctx, 1)
		end(nil)
		if err != nil {
			return context.Cause(ctx)
		}
	}
	defer t.running.Release(1)
	return run()
}
