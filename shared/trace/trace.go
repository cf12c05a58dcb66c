// Package trace makes OpenTelemetry spans of what a build does. It watches from
// outside: as an observer of the engine, as a layer of an HTTP transport, and
// around a sandbox driver and a layer cache. Nothing else of the suite knows OpenTelemetry, and
// without an endpoint to send to nothing here costs anything.
//
// A trace must be safe to hand to others. So what a Dockerfile says, the arguments
// of commands, the text of errors, and the queries and credentials of URLs are left
// out; KANIKO_TRACE_TEXT=1 lets the first three in.
package trace

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

const (
	scope = "github.com/kaniko-suite/kaniko"
	// flush bounds what a program waits at its end for spans to leave.
	flush = 3 * time.Second
)

// Options is what Open goes by.
type Options struct {
	Service string // the name of the program; OTEL_SERVICE_NAME goes before it
	Version string
	// LookupEnv looks up the variables OTEL_*, TRACEPARENT, TRACESTATE and
	// KANIKO_TRACE_TEXT. OpenTelemetry's exporters read OTEL_EXPORTER_OTLP_* for
	// themselves, from the process.
	LookupEnv func(string) (string, bool)
	// Warn is told, once, of spans that could not be sent; may be nil.
	Warn func(error)
}

// Provider makes spans, or passes everything through if tracing is off.
type Provider struct {
	sdk    *sdktrace.TracerProvider // nil if off
	tracer oteltrace.Tracer
	parent oteltrace.SpanContext // from TRACEPARENT; may be invalid
	text   bool
}

// Open reads the environment and makes ready to send spans to where it says. It
// does not connect yet. With an error, the provider is off and can be used.
func Open(ctx context.Context, o Options) (*Provider, error) {
	env := func(name string) string {
		value, ok := o.LookupEnv(name)
		if !ok {
			return ""
		}
		return strings.TrimSpace(value)
	}
	p := &Provider{}
	p.parent = oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": env("TRACEPARENT"), "tracestate": env("TRACESTATE")}))
	p.text, _ = strconv.ParseBool(env("KANIKO_TRACE_TEXT"))

	exporter, err := newExporter(ctx, env)
	if err != nil || exporter == nil {
		return p, err
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", o.Service), attribute.String("service.version", o.Version)),
		resource.WithFromEnv())
	if err != nil {
		return p, fmt.Errorf("tracing: %w", err)
	}
	// The exporters report to a handler of the process; its default writes to
	// standard error whenever it likes.
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if o.Warn != nil {
			once.Do(func() { o.Warn(fmt.Errorf("tracing: %w", err)) })
		}
	}))
	p.sdk = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	p.tracer = p.sdk.Tracer(scope, oteltrace.WithInstrumentationVersion(o.Version))
	return p, nil
}

// newExporter is the exporter that the environment asks for; nil if for none.
func newExporter(ctx context.Context, env func(string) string) (*otlptrace.Exporter, error) {
	if disabled, _ := strconv.ParseBool(env("OTEL_SDK_DISABLED")); disabled {
		return nil, nil
	}
	switch name := env("OTEL_TRACES_EXPORTER"); name {
	case "none":
		return nil, nil
	case "otlp":
	case "":
		if env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			return nil, nil
		}
	default:
		return nil, fmt.Errorf("tracing: OTEL_TRACES_EXPORTER=%s is neither otlp nor none", name)
	}
	protocol := env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = env("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("tracing: the protocol %s is neither grpc nor http/protobuf", protocol)
}

// Close sends what has not been sent yet, and waits no longer than a few seconds
// for that. It is to be called after the last span has ended, also when the
// build's context is cancelled.
func (p *Provider) Close() error {
	if p.sdk == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flush)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	return nil
}

// Start begins the span that all others are in, as a child of TRACEPARENT.
func (p *Provider) Start(ctx context.Context, name string) (context.Context, func(error)) {
	if p.sdk == nil {
		return ctx, func(error) {}
	}
	if p.parent.IsValid() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, p.parent)
	}
	return p.span(ctx, name)
}

// ID is the id of the trace that the context is in, for people to look it up;
// empty if there is none.
func (p *Provider) ID(ctx context.Context) string {
	if span := oteltrace.SpanContextFromContext(ctx); p.sdk != nil && span.IsSampled() {
		return span.TraceID().String()
	}
	return ""
}

// span begins a span; the function that ends it records the error.
func (p *Provider) span(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, span := p.tracer.Start(ctx, name, oteltrace.WithAttributes(attrs...))
	return ctx, func(err error) {
		p.fail(span, err)
		span.End()
	}
}

// fail marks a span with an error: its kind always, its words if they may be told.
func (p *Provider) fail(span oteltrace.Span, err error) {
	if err == nil {
		return
	}
	text := ""
	if p.text {
		text = err.Error()
	}
	span.SetStatus(codes.Error, text)
	span.SetAttributes(attribute.String("error.type", kind(err)))
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		span.SetAttributes(attribute.Int("process.exit.code", exit.Status))
	}
}

// kind names the type of the innermost error.
func kind(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}
