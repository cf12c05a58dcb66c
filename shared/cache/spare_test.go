package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestSpare: a spare store that is out of order says so once, is not asked again, and
// keeps nobody from what the others have.
func TestSpare(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 1000)
	put(t, in(t, s.Host()+"/first", cache.Options{}), r)
	put(t, in(t, s.Host()+"/second", cache.Options{}), r)
	var told []error
	spare := cache.Spare(in(t, s.Host()+"/second", cache.Options{}), func(err error) { told = append(told, err) })
	get(t, spare, r.Definition.Key())
	if _, err := spare.Get(t.Context(), definition("b").Key()); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("what is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := spare.Get(ctx, r.Definition.Key()); errors.Is(err, cache.ErrMiss) || len(told) > 0 {
		t.Errorf("after the end: %v, told %v", err, told)
	}
	s.Script("GET manifest: 500 always")
	both := cache.Several(cache.Nothing{}, spare)
	for range 3 {
		if _, err := both.Get(t.Context(), r.Definition.Key()); !errors.Is(err, cache.ErrMiss) {
			t.Errorf("error %v", err)
		}
	}
	asked := len(s.Requests())
	if _, err := spare.Definition(t.Context(), r.Definition.Key()); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("definition: %v", err)
	}
	if len(told) != 1 || len(s.Requests()) != asked {
		t.Errorf("told %v; %d requests", told, len(s.Requests())-asked)
	}
	if err := both.Put(t.Context(), r); err == nil {
		t.Error("nothing took something")
	}
}
