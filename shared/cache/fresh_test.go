package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cache"
)

func TestFresh(t *testing.T) {
	for _, tc := range []struct {
		ttl, age time.Duration
		reason   string // empty is a hit
	}{
		{time.Hour, 0, ""},
		{time.Hour, time.Hour, ""},
		{time.Hour, time.Hour + time.Second, "what 0 has is 1h0m1s old, more than 1h0m0s"},
		{time.Hour, -48 * time.Hour, ""}, // of a machine whose clock is ahead
		{0, 0, "is 0s old"},
		{0, time.Minute, "is 1m0s old"},
		{0, -time.Minute, "is 0s old"},
		{-1, 0, "is 0s old"},
	} {
		now := func() time.Time { return created().Add(tc.age) }
		s := cache.Fresh(fake{name: "0"}, tc.ttl, now)
		e, err := s.Get(context.Background(), "k")
		if tc.reason == "" {
			if err != nil || e.From != "0" {
				t.Errorf("%s of %s: %v", tc.age, tc.ttl, err)
			}
			continue
		}
		if !errors.Is(err, cache.ErrMiss) || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%s of %s: %v", tc.age, tc.ttl, err)
		}
	}
	broken := errors.New("no answer")
	if _, err := cache.Fresh(fake{err: broken}, time.Hour, nil).Get(context.Background(), "k"); err != broken {
		t.Errorf("error %v", err)
	}
	if _, err := cache.Fresh(fake{}, time.Since(created())+time.Hour, nil).Get(context.Background(), "k"); err != nil {
		t.Errorf("by this machine's clock: %v", err)
	}
}
