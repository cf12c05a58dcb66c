package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// Fresh is a store without the entries that are older than ttl. With a ttl of 0, or
// below, all are. An entry of the future, made by a machine whose clock is ahead,
// is new. now is the clock; nil is the machine's.
func Fresh(s Store, ttl time.Duration, now func() time.Time) Store {
	if now == nil {
		now = time.Now
	}
	return &fresh{Store: s, ttl: ttl, now: now}
}

type fresh struct {
	Store
	ttl time.Duration
	now func() time.Time
}

// Get implements [Store].
func (f *fresh) Get(ctx context.Context, key cachekey.Key) (*Entry, error) {
	e, err := f.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	age := f.now().Sub(e.Created)
	if f.ttl <= 0 || age > f.ttl {
		return nil, fmt.Errorf("%w: %w", ErrMiss, &oldError{e.From, age, f.ttl})
	}
	return e, nil
}
