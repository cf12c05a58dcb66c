package cache

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// Spare is a store that a build can do without, such as one that it only reads from
// beside its own: what goes wrong with it is told once, and from then on it has
// nothing. failed may be called from any goroutine.
func Spare(s Store, failed func(error)) Store { return &spare{Store: s, failed: failed} }

type spare struct {
	Store
	failed func(error)
	over   atomic.Bool
}

// Get implements [Store].
func (s *spare) Get(ctx context.Context, key cachekey.Key) (*Entry, error) {
	if s.over.Load() {
		return nil, ErrMiss
	}
	e, err := s.Store.Get(ctx, key)
	return e, s.forgive(ctx, err)
}

// Definition implements [Store].
func (s *spare) Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error) {
	if s.over.Load() {
		return "", ErrMiss
	}
	d, err := s.Store.Definition(ctx, key)
	return d, s.forgive(ctx, err)
}

func (s *spare) forgive(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, ErrMiss) || ctx.Err() != nil {
		return err
	}
	if !s.over.Swap(true) {
		s.failed(err)
	}
	return ErrMiss
}

// Nothing is a store that has no entry, and takes none.
type Nothing struct{}

var _ Store = Nothing{}

// Get implements [Store].
func (Nothing) Get(context.Context, cachekey.Key) (*Entry, error) { return nil, ErrMiss }

// Definition implements [Store].
func (Nothing) Definition(context.Context, cachekey.Key) (cachekey.Definition, error) {
	return "", ErrMiss
}

// Put implements [Store].
func (Nothing) Put(context.Context, Result) error { return errNothing }

var errNothing = errors.New("there is no cache to put it into")
