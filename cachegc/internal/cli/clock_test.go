package cli

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestCheckClock: a machine whose clock is not that of a registry, one way or the other,
// deletes nothing there.
func TestCheckClock(t *testing.T) {
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	for _, c := range []struct {
		wrong time.Duration
		fails bool
	}{{0, false}, {time.Minute, false}, {-time.Minute, false}, {time.Hour, true}, {-time.Hour, true}} {
		r := &runner{clock: place.NewClock(func() time.Time { return time.Now().Add(c.wrong) })}
		client := registry.New(registry.Config{Wrap: func(rt http.RoundTripper) http.RoundTripper { return r.clock.Wrap(rt) }})
		p, err := place.Open(host+"/app", client, kind.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Probe(context.Background()); err != nil {
			t.Fatal(err)
		}
		var refused *ClockError
		if err := r.checkClock(p); errors.As(err, &refused) != c.fails {
			t.Errorf("a clock that is %s ahead: %v", c.wrong, err)
		}
	}
}
