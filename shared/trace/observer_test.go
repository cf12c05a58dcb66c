package trace

import (
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/engine"
)

// TestStep_cache: a step says what the cache was to it and, in a few words, why; the
// sentences, which quote the Dockerfile, only where texts may be told.
func TestStep_cache(t *testing.T) {
	for _, text := range []string{"", "1"} {
		c, url := overHTTP(t)
		p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "KANIKO_TRACE_TEXT": text})
		ctx, end := p.Start(t.Context(), "build", Past{})
		for _, out := range []engine.Outcome{
			{Cached: true, From: "registry.example/cache"},
			{Cause: cachekey.ArgumentChanged, Missed: []string{"variable A: hunter1 → hunter2"}},
			{},
		} {
			_, _, endStep := p.Observer().Step(ctx, stage, run)
			endStep(out, nil)
		}
		end(nil)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range c.spans {
			if s.Name != "RUN" {
				continue
			}
			a := attributes(s)
			got = append(got, strings.TrimSpace(a["kaniko.cache.result"]+" "+a["kaniko.cache.from"]+a["kaniko.cache.reason"]))
			if missed := strings.Contains(s.String(), "hunter1"); missed != (text != "" && a["kaniko.cache.result"] == "miss") {
				t.Errorf("with KANIKO_TRACE_TEXT=%s: %v", text, s)
			}
		}
		if want := "hit registry.example/cache; miss argument changed; "; strings.Join(got, "; ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestTransfers: those who have no engine have spans of transfers, or nothing.
func TestTransfers(t *testing.T) {
	if open(t, nil).Transfers() != nil {
		t.Error("there are transfers though tracing is off")
	}
	c, url := overHTTP(t)
	p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	ctx, end := p.Start(t.Context(), "index", Past{})
	_, moved, done := p.Transfers()(ctx, "push", "registry.example/app", 9)
	moved(9)
	done(nil)
	end(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if a := attributes(c.named(t, "push")); a["kaniko.transfer.moved"] != "9" || a["kaniko.transfer.size"] != "9" {
		t.Errorf("the push has %v", a)
	}
}
