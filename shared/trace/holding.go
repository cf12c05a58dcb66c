package trace

import (
	"context"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// holding is a processor that keeps spans back until it is known whether they are to be
// told of: the process may yet leave the work to another one, which does it anew.
type holding struct {
	sdktrace.SpanProcessor

	mu       sync.Mutex
	released bool
	ended    []sdktrace.ReadOnlySpan
}

// OnEnd implements [sdktrace.SpanProcessor].
func (h *holding) OnEnd(s sdktrace.ReadOnlySpan) {
	h.mu.Lock()
	if !h.released {
		h.ended = append(h.ended, s)
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	h.SpanProcessor.OnEnd(s)
}

// release passes on what was held, and from now on everything at once.
func (h *holding) release() {
	h.mu.Lock()
	ended := h.ended
	h.released, h.ended = true, nil
	h.mu.Unlock()
	for _, s := range ended {
		h.SpanProcessor.OnEnd(s)
	}
}

// Shutdown implements [sdktrace.SpanProcessor].
func (h *holding) Shutdown(ctx context.Context) error {
	h.release()
	return h.SpanProcessor.Shutdown(ctx)
}
