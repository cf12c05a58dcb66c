package trace

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// Cache makes a span of each question to s and of each entry that is put there; it is
// s itself if tracing is off. That there is nothing in the cache is no error. A span
// has the key and not what it stands for, which may say what is nobody's business.
func (p *Provider) Cache(s cache.Store) cache.Store {
	if !p.on() || s == nil {
		return s
	}
	return tracedCache{p, s}
}

type tracedCache struct {
	p    *Provider
	next cache.Store
}

// Get has a span for the question only: later reads of the layer are in it too, and
// go on after its end.
func (c tracedCache) Get(ctx context.Context, key cachekey.Key) (*cache.Entry, error) {
	ctx, end := c.span(ctx, "cache.get", key)
	e, err := c.next.Get(ctx, key)
	if err != nil {
		end(err)
		return e, err
	}
	attrs := []attribute.KeyValue{attribute.String("kaniko.cache.from", e.From)}
	if e.Layer != nil {
		if size, err := e.Layer.Size(); err == nil {
			attrs = append(attrs, attribute.Int64("kaniko.layer.size", size))
		}
	}
	end(nil, attrs...)
	return e, nil
}

func (c tracedCache) Put(ctx context.Context, r cache.Result) error {
	ctx, end := c.p.span(ctx, "cache.put", attribute.String("kaniko.cache.key", string(r.Definition.Key())),
		attribute.Int("kaniko.cache.definition.size", len(r.Definition)))
	span := oteltrace.SpanFromContext(ctx)
	err := c.next.Put(ctx, r)
	if r.Layer != nil {
		if size, sizeErr := r.Layer.Size(); sizeErr == nil {
			span.SetAttributes(attribute.Int64("kaniko.layer.size", size))
		}
	}
	end(err)
	return err
}

func (c tracedCache) Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error) {
	ctx, end := c.span(ctx, "cache.definition", key)
	d, err := c.next.Definition(ctx, key)
	end(err, attribute.Int("kaniko.cache.definition.size", len(d)))
	return d, err
}

// span begins the span of a question; the function that ends it tells how it was
// answered.
func (c tracedCache) span(ctx context.Context, name string, key cachekey.Key) (context.Context, func(error, ...attribute.KeyValue)) {
	ctx, end := c.p.span(ctx, name, attribute.String("kaniko.cache.key", string(key)))
	span := oteltrace.SpanFromContext(ctx)
	return ctx, func(err error, attrs ...attribute.KeyValue) {
		switch {
		case err == nil:
			span.SetAttributes(append(attrs, attribute.String("kaniko.cache.result", "hit"))...)
		case errors.Is(err, cache.ErrMiss):
			span.SetAttributes(attribute.String("kaniko.cache.result", "miss"), attribute.String("kaniko.cache.reason", string(cache.Why(err))))
			err = nil
		}
		end(err)
	}
}
