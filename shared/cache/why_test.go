package cache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

func TestWhy(t *testing.T) {
	old := cache.Fresh(fake{name: "0"}, time.Second, nil)
	nothing, damaged := fake{err: cache.ErrMiss}, fake{err: fmt.Errorf("%w: a damaged manifest", cache.ErrMiss)}
	for want, stores := range map[cachekey.Cause][]cache.Store{
		cachekey.NoEntry: {nothing, nothing},
		cachekey.Expired: {nothing, old},
		cachekey.Damaged: {damaged, nothing},
	} {
		for _, s := range []cache.Store{cache.Several(stores[0], stores[1]), stores[0], stores[1]} {
			_, err := s.Get(context.Background(), "k")
			if got := cache.Why(err); got != want && err != cache.ErrMiss {
				t.Errorf("%v: %q, want %q", err, got, want)
			}
		}
	}
	if got := cache.Why(cache.ErrMiss); got != cachekey.NoEntry {
		t.Errorf("got %q", got)
	}
}
