package cache

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// Several is a store that reads from all and writes to the first. All are asked at
// once; if several have an entry, the one of the first of them is taken. If none
// has, one that could not be asked counts for more than any that has nothing.
func Several(first Store, more ...Store) Store {
	if len(more) == 0 {
		return first
	}
	return several(append([]Store{first}, more...))
}

type several []Store

// Put implements [Store].
func (s several) Put(ctx context.Context, r Result) error { return s[0].Put(ctx, r) }

// Get implements [Store].
func (s several) Get(ctx context.Context, key cachekey.Key) (*Entry, error) {
	return preferred(ctx, s, func(ctx context.Context, s Store) (*Entry, error) { return s.Get(ctx, key) })
}

// Definition implements [Store].
func (s several) Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error) {
	return preferred(ctx, s, func(ctx context.Context, s Store) (cachekey.Definition, error) { return s.Definition(ctx, key) })
}

// answer is what a store said.
type answer[T any] struct {
	value T
	err   error
	done  chan struct{}
	stop  context.CancelFunc
}

// preferred asks all stores and takes the first answer in their order. Those after
// it are stopped; the context of the one that is taken is not, since it governs what
// is read of the answer later.
func preferred[T any](ctx context.Context, stores []Store, ask func(context.Context, Store) (T, error)) (T, error) {
	answers := make([]*answer[T], len(stores))
	var all sync.WaitGroup
	for i, s := range stores {
		asked, stop := context.WithCancel(ctx)
		a := &answer[T]{done: make(chan struct{}), stop: stop}
		answers[i] = a
		all.Go(func() {
			defer close(a.done)
			a.value, a.err = ask(asked, s)
		})
	}
	defer all.Wait()
	for i, a := range answers {
		<-a.done
		if a.err != nil {
			a.stop()
			continue
		}
		for _, late := range answers[i+1:] {
			late.stop()
		}
		return a.value, nil
	}
	var none T
	return none, refusals(answers)
}

// refusals is one error of all: what could not be asked if anything could not, and
// otherwise a miss with the reasons that there are.
func refusals[T any](answers []*answer[T]) error {
	var unasked, missed []error
	var reasons []string
	for _, a := range answers {
		if !errors.Is(a.err, ErrMiss) {
			unasked = append(unasked, a.err)
		} else if reason, ok := strings.CutPrefix(a.err.Error(), ErrMiss.Error()+": "); ok {
			reasons, missed = append(reasons, reason), append(missed, a.err)
		}
	}
	switch {
	case len(unasked) > 0:
		return errors.Join(unasked...)
	case len(reasons) > 0:
		return &missError{reasons, missed}
	}
	return ErrMiss
}

// missError is an ErrMiss for several reasons.
type missError struct {
	reasons []string
	all     []error
}

func (e *missError) Error() string   { return ErrMiss.Error() + ": " + strings.Join(e.reasons, "; ") }
func (e *missError) Unwrap() []error { return e.all }
