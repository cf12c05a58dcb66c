package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Past is what was done before the process that traces the work began with it. It is
// plain data, to be handed from one process to another.
type Past struct {
	Started time.Time
	Parts   []Part
}

// Part is one thing that was done, one after the other.
type Part struct {
	Name       string
	Start, End time.Time
	Kind       string // of build context, in a word; may be empty
	// Failed names the type of the error if there was one.
	Failed string `json:",omitempty"`
}

// Do does a part, and notes how long it took. kind, which may be nil, is asked at the
// end.
func (p *Past) Do(name string, kind func() string, do func() error) error {
	part := Part{Name: name, Start: time.Now()}
	err := do()
	part.End = time.Now()
	if kind != nil {
		part.Kind = kind()
	}
	if err != nil {
		part.Failed = errorType(err)
	}
	p.Parts = append(p.Parts, part)
	return err
}

// tell makes spans of the past, in the span of ctx.
func (p *Provider) tell(ctx context.Context, past Past) {
	for _, part := range past.Parts {
		_, span := p.tracer.Start(ctx, part.Name, oteltrace.WithTimestamp(part.Start))
		if part.Kind != "" {
			span.SetAttributes(attribute.String("kaniko.context.kind", part.Kind))
		}
		if part.Failed != "" {
			span.SetStatus(failed(""))
			span.SetAttributes(attribute.String("error.type", part.Failed))
		}
		span.End(oteltrace.WithTimestamp(part.End))
		p.metrics.phase(ctx, part.Name, part.End.Sub(part.Start))
	}
}
