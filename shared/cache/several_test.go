package cache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// fake is a store that says one thing.
type fake struct {
	name string
	err  error
	put  *[]string
	// begun, if set, is closed when the store is asked, and it answers only when the
	// other is.
	begun, wait chan struct{}
	ctx         *context.Context // that it was asked with
}

func (f fake) Get(ctx context.Context, key cachekey.Key) (*cache.Entry, error) {
	if f.ctx != nil {
		*f.ctx = ctx
	}
	if f.begun != nil {
		close(f.begun)
	}
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return &cache.Entry{Key: key, From: f.name, Created: created()}, nil
}

func (f fake) Put(context.Context, cache.Result) error {
	*f.put = append(*f.put, f.name)
	return nil
}

func (f fake) Definition(context.Context, cachekey.Key) (cachekey.Definition, error) {
	return cachekey.Definition(f.name), f.err
}

func because(reason string) error { return fmt.Errorf("%w: %s", cache.ErrMiss, reason) }

func TestSeveral(t *testing.T) {
	broken := errors.New("no answer")
	for _, tc := range []struct {
		errs []error
		from string
		err  string
	}{
		{[]error{nil, nil, nil}, "0", ""},
		{[]error{cache.ErrMiss, nil, nil}, "1", ""},
		{[]error{broken, because("old"), nil}, "2", ""},
		{[]error{cache.ErrMiss, cache.ErrMiss}, "", "not in the cache"},
		{[]error{because("old"), cache.ErrMiss, because("bad")}, "", "not in the cache: old; bad"},
		{[]error{because("old"), broken, cache.ErrMiss}, "", "no answer"},
	} {
		var stores []cache.Store
		for i, err := range tc.errs {
			stores = append(stores, fake{name: fmt.Sprint(i), err: err})
		}
		s := cache.Several(stores[0], stores[1:]...)
		e, err := s.Get(context.Background(), "k")
		d, derr := s.Definition(context.Background(), "k")
		if tc.err == "" {
			if err != nil || e.From != tc.from || derr != nil || string(d) != tc.from {
				t.Errorf("%v: %v, %v; %q, %v", tc.errs, e, err, d, derr)
			}
			continue
		}
		if err == nil || err.Error() != tc.err || derr.Error() != tc.err {
			t.Errorf("%v: %v, %v", tc.errs, err, derr)
		}
		if errors.Is(err, cache.ErrMiss) != strings.HasPrefix(tc.err, cache.ErrMiss.Error()) {
			t.Errorf("%v is a miss, or not", err)
		}
	}
}

// TestSeveral_atOnce: all are asked at once, one that is slow and not needed is not
// waited for, and the context of what was found lives on.
func TestSeveral_atOnce(t *testing.T) {
	one, two := make(chan struct{}), make(chan struct{})
	var ctx context.Context
	s := cache.Several(
		fake{name: "0", begun: one, wait: two, err: cache.ErrMiss},
		fake{name: "1", begun: two, wait: one, ctx: &ctx},
		fake{name: "2", wait: make(chan struct{})},
	)
	e, err := s.Get(context.Background(), "k")
	if err != nil || e.From != "1" || ctx.Err() != nil {
		t.Errorf("%v, %v; context: %v", e, err, ctx.Err())
	}
}

func TestSeveral_put(t *testing.T) {
	var put []string
	s := cache.Several(fake{name: "0", put: &put}, fake{name: "1", put: &put})
	if err := s.Put(context.Background(), cache.Result{}); err != nil || len(put) != 1 || put[0] != "0" {
		t.Errorf("put into %q, %v", put, err)
	}
	only := fake{name: "0"}
	if cache.Several(only) != cache.Store(only) {
		t.Error("one is not itself")
	}
}
