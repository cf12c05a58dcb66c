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
	dropped  bool
	ended    []sdktrace.ReadOnlySpan
}

// OnEnd implements [sdktrace.SpanProcessor].
func (h *holding) OnEnd(s sdktrace.ReadOnlySpan) {
	h.mu.Lock()
	held := !h.released
	if held && !h.dropped {
		h.ended = append(h.ended, s)
	}
	h.mu.Unlock()
	if !held {
		h.SpanProcessor.OnEnd(s)
	}
}

// release passes on what was held, and from now on everything at once.
func (h *holding) release() {
	h.mu.Lock()
	ended := h.ended
	h.released, h.ended = !h.dropped, nil
	h.mu.Unlock()
	for _, s := range ended {
		h.SpanProcessor.OnEnd(s)
	}
}

// drop forgets what was held, and all that comes.
func (h *holding) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped, h.released, h.ended = true, false, nil
}

// Shutdown implements [sdktrace.SpanProcessor].
func (h *holding) Shutdown(ctx context.Context) error {
	h.release()
	return h.SpanProcessor.Shutdown(ctx)
}
