package registry

import (
	"context"
	"sync"
)

// memo answers each question once: whoever asks while the answer is under way
// waits for it, whoever asks later gets it from memory. A failure is not kept.
// The zero value is ready for use.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

type call[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// get returns the answer for k, asking f if nobody has. f runs under the context
// of the first to ask; when only that one gave up, the next in line asks again.
func (m *memo[K, V]) get(ctx context.Context, k K, f func(context.Context) (V, error)) (V, error) {
	for {
		m.mu.Lock()
		c, waiting := m.calls[k]
		if !waiting {
			c = &call[V]{done: make(chan struct{})}
			if m.calls == nil {
				m.calls = make(map[K]*call[V])
			}
			m.calls[k] = c
		}
		m.mu.Unlock()

		if !waiting {
			c.value, c.err = f(ctx)
			if c.err != nil {
				m.forget(k)
			}
			abandoned := c.err != nil && ctx.Err() != nil
			value, err := c.value, c.err
			if abandoned {
				c.err = errAbandoned
			}
			close(c.done)
			return value, err
		}

		select {
		case <-c.done:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
		if c.err != errAbandoned {
			return c.value, c.err
		}
	}
}

// put notes an answer that was come by in another way.
func (m *memo[K, V]) put(k K, v V) {
	c := &call[V]{done: make(chan struct{}), value: v}
	close(c.done)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.calls = make(map[K]*call[V])
	}
	if _, ok := m.calls[k]; !ok {
		m.calls[k] = c
	}
}

// forget drops the answer for k; the next to ask starts afresh.
func (m *memo[K, V]) forget(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.calls, k)
}

// peek returns the answer for k if it is there already.
func (m *memo[K, V]) peek(k K) (V, bool) {
	m.mu.Lock()
	c, ok := m.calls[k]
	m.mu.Unlock()
	if ok {
		select {
		case <-c.done:
			return c.value, c.err == nil
		default:
		}
	}
	var none V
	return none, false
}

// find returns a key that fits and whose answer is there.
func (m *memo[K, V]) find(fits func(K) bool) (K, bool) {
	m.mu.Lock()
	var found []K
	for k := range m.calls {
		if fits(k) {
			found = append(found, k)
		}
	}
	m.mu.Unlock()
	for _, k := range found {
		if _, ok := m.peek(k); ok {
			return k, true
		}
	}
	var none K
	return none, false
}
