package trace

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Observer makes spans of stages, steps, phases and transfers; nil if tracing is off.
func (p *Provider) Observer() engine.Observer {
	if !p.on() {
		return nil
	}
	return observer{p}
}

type observer struct{ p *Provider }

func (o observer) Stage(ctx context.Context, s *plan.Stage) (context.Context, func(error)) {
	return o.p.span(ctx, "stage", attribute.Int("kaniko.stage.index", s.Index), attribute.String("kaniko.stage.name", s.Name))
}

func (o observer) Step(ctx context.Context, st *plan.Stage, s *plan.Step) (context.Context, io.Writer, func(engine.Outcome, error)) {
	keyword := keyword(s)
	attrs := []attribute.KeyValue{
		attribute.String("kaniko.instruction", keyword),
		attribute.Int("kaniko.stage.index", st.Index),
		attribute.String("kaniko.at", s.At.String()),
	}
	if o.p.text {
		attrs = append(attrs, attribute.String("kaniko.text", s.Text))
	}
	start := time.Now()
	ctx, end := o.p.span(ctx, keyword, attrs...)
	span := oteltrace.SpanFromContext(ctx)
	return ctx, nil, func(out engine.Outcome, err error) {
		size := int64(0)
		if out.Layer != nil {
			span.SetAttributes(attribute.Int("kaniko.layer.changes", out.Files))
			// A layer that is still being written knows neither yet.
			if digest, err := out.Layer.Digest(); err == nil {
				span.SetAttributes(attribute.String("kaniko.layer.digest", digest.String()))
			}
			if n, err := out.Layer.Size(); err == nil {
				size = n
				span.SetAttributes(attribute.Int64("kaniko.layer.size", size))
			}
		}
		cached := ofCache(out)
		span.SetAttributes(cached...)
		if out.Cached {
			span.SetAttributes(attribute.String("kaniko.cache.from", out.From))
		} else if o.p.text && len(out.Missed) > 0 {
			span.SetAttributes(attribute.StringSlice("kaniko.cache.missed", out.Missed))
		}
		end(err)
		o.p.metrics.step(ctx, keyword, time.Since(start), size, cached)
	}
}

// Transfers makes spans of pulls and pushes for those who have no engine; nil if tracing
// is off.
func (p *Provider) Transfers() func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
	if !p.on() {
		return nil
	}
	return func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
		return observer{p}.Transfer(ctx, engine.Transfer{Kind: kind, Name: name, Size: size})
	}
}

// ofCache is what the cache was to a step: whether it had it, and why not. It is nothing
// if the cache was not asked.
func ofCache(out engine.Outcome) []attribute.KeyValue {
	switch {
	case out.Cached:
		return []attribute.KeyValue{attribute.String("kaniko.cache.result", "hit")}
	case out.Cause != "":
		return []attribute.KeyValue{attribute.String("kaniko.cache.result", "miss"), attribute.String("kaniko.cache.reason", string(out.Cause))}
	}
	return nil
}

func (o observer) Phase(ctx context.Context, kind engine.Phase) (context.Context, func(error)) {
	return o.p.timed(ctx, string(kind))
}

func (o observer) Transfer(ctx context.Context, t engine.Transfer) (context.Context, func(int64), func(error)) {
	attrs := []attribute.KeyValue{attribute.String("kaniko.transfer.name", t.Name)}
	if t.Size >= 0 {
		attrs = append(attrs, attribute.Int64("kaniko.transfer.size", t.Size))
	}
	ctx, end := o.p.timed(ctx, t.Kind, attrs...)
	span := oteltrace.SpanFromContext(ctx)
	var moved atomic.Int64
	return ctx, func(n int64) { moved.Add(n) }, func(err error) {
		span.SetAttributes(attribute.Int64("kaniko.transfer.moved", moved.Load()))
		end(err)
		o.p.metrics.moved(ctx, t.Kind, moved.Load())
	}
}

// keyword is the instruction's, and nothing that comes after it.
func keyword(s *plan.Step) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s.Text), " ")
	first = strings.ToUpper(first)
	if first != "" && strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return first
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", s.Op), "plan.")
}
