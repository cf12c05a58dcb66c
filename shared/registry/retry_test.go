package registry_test

import (
	"context"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestWithRetry: who says so waits less, and is not made to wait.
func TestWithRetry(t *testing.T) {
	for script, want := range map[string]int{
		"GET manifest: 503 always":               2,
		"GET manifest: stall always":             2,
		"GET manifest: hang at 10 always":        2,
		"GET manifest: 429 retry-after 5 always": 1,
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, registrytest.Config{})
			seed(t, s, "app:1", image(t, 1, 100))
			c := client(t, registry.Config{Retry: registry.Retry{Wait: time.Millisecond, Stall: time.Hour}})
			ref, err := c.Reference(s.Host() + "/app:1")
			if err != nil {
				t.Fatal(err)
			}
			s.Forget()
			s.Script(script)
			ctx := registry.WithRetry(context.Background(), registry.Retry{Tries: 2, Stall: 50 * time.Millisecond, Longest: time.Second})
			if _, err := c.Manifest(ctx, ref, 1<<20); err == nil {
				t.Error("no error")
			}
			if got := s.Count("GET manifest"); got > want {
				t.Errorf("asked %d times, want %d: %q", got, want, s.Requests())
			}
		})
	}
}

// TestWithRetry_upload: the same of what is sent.
func TestWithRetry_upload(t *testing.T) {
	for script, want := range map[string]int{
		"PATCH: 503 always\nPUT: 503 always":                             2,
		"PATCH: 429 retry-after 5 always\nPUT: 429 retry-after 5 always": 1,
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, registrytest.Config{Script: script})
			c := client(t, registry.Config{Retry: registry.Retry{Wait: time.Millisecond}})
			repo, err := c.Repository(s.Host() + "/app")
			if err != nil {
				t.Fatal(err)
			}
			ctx := registry.WithRetry(context.Background(), registry.Retry{Tries: 2, Longest: time.Second})
			if err := c.PushBlob(ctx, repo, []byte("blob")); err == nil {
				t.Error("no error")
			}
			if got := s.Count("PATCH") + s.Count("PUT"); got > want*want {
				t.Errorf("sent %d times, want %d: %q", got, want, s.Requests())
			}
		})
	}
}
