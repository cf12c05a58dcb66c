// Package trace makes OpenTelemetry spans and metrics of what a program does. It watches
// from outside: as an observer of the engine, as a layer of an HTTP transport, and
// around a sandbox driver and a layer cache. Nothing else of the suite knows OpenTelemetry, and
// without somebody to tell nothing here costs anything. docs/tracing.md has a list of
// all that is told.
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
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

const (
	scope = "github.com/kaniko-suite/kaniko"
	// flush bounds what a program waits at its end for spans and metrics to leave.
	flush = 3 * time.Second
)

// Options is what Open goes by.
type Options struct {
	Service string // the name of the program; OTEL_SERVICE_NAME goes before it
	Version string
	// Files are written beside what the environment asks for.
	Files Flags
	// LookupEnv looks up the variables OTEL_*, TRACEPARENT, TRACESTATE and
	// KANIKO_TRACE_TEXT. OpenTelemetry's exporters read OTEL_EXPORTER_OTLP_* for
	// themselves, from the process.
	LookupEnv func(string) (string, bool)
	// Warn is told, once, of a collector that is not to be had, or cannot be sent to;
	// may be nil.
	Warn func(error)
}

// Provider makes spans and metrics, or passes everything through if both are off.
type Provider struct {
	sdk     *sdktrace.TracerProvider // nil if there are no spans
	held    []*holding
	tracer  oteltrace.Tracer // makes nothing if there are no spans
	file    *file            // nil without
	metrics *metrics         // nil if there are none
	parent  oteltrace.SpanContext
	text    bool
	warn    func(error)
}

// Open reads the environment and makes ready to tell whom it names. It does not
// connect yet, but makes the trace's file. The error is a [FileError]: whatever else is
// wrong is a matter of a warning, and turns off what cannot be had.
func Open(ctx context.Context, o Options) (*Provider, error) {
	env := func(name string) string {
		value, ok := o.LookupEnv(name)
		if !ok {
			return ""
		}
		return strings.TrimSpace(value)
	}
	p := &Provider{tracer: silent(), warn: onlyOnce(o.Warn)}
	p.parent = oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": env("TRACEPARENT"), "tracestate": env("TRACESTATE")}))
	p.text, _ = strconv.ParseBool(env("KANIKO_TRACE_TEXT"))
	if disabled, _ := strconv.ParseBool(env("OTEL_SDK_DISABLED")); disabled {
		return p, nil
	}
	if err := p.open(ctx, o, env); err != nil {
		return &Provider{tracer: silent(), warn: p.warn}, err
	}
	return p, nil
}

// open makes the parts that are wanted.
func (p *Provider) open(ctx context.Context, o Options, env func(string) string) error {
	spans, err := p.spanOutlets(ctx, o, env)
	if err != nil {
		return err
	}
	numbers, err := p.metricsOutlets(ctx, o, env)
	if err != nil {
		return errors.Join(err, p.closeFile())
	}
	if len(spans)+len(numbers) == 0 {
		return nil
	}
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", o.Service), attribute.String("service.version", o.Version)),
		resource.WithFromEnv())
	if err != nil {
		p.warn(err) // OTEL_RESOURCE_ATTRIBUTES is wrong in part; the rest counts
	}
	// The exporters report to a handler of the process; its default writes to
	// standard error whenever it likes.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(p.warn))
	if len(spans) > 0 {
		options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
		for _, to := range spans {
			h := &holding{SpanProcessor: to, released: true}
			p.held = append(p.held, h)
			options = append(options, sdktrace.WithSpanProcessor(h))
		}
		p.sdk = sdktrace.NewTracerProvider(options...)
		p.tracer = p.sdk.Tracer(scope, oteltrace.WithInstrumentationVersion(o.Version))
	}
	if len(numbers) > 0 {
		p.metrics = newMetrics(res, o.Version, numbers)
	}
	return nil
}

// onlyOnce passes on the first of what may be many errors of one cause.
func onlyOnce(warn func(error)) func(error) {
	var once sync.Once
	return func(err error) {
		if warn != nil && err != nil {
			once.Do(func() { warn(fmt.Errorf("tracing: %w", err)) })
		}
	}
}

// on reports whether anybody is told of anything.
func (p *Provider) on() bool { return p.sdk != nil || p.metrics != nil }

// Hold keeps spans back until Release, or Close. After Abandon nobody hears of them.
func (p *Provider) Hold() {
	for _, h := range p.held {
		h.mu.Lock()
		h.released = false
		h.mu.Unlock()
	}
}

// Release passes on what Hold has kept back.
func (p *Provider) Release() {
	for _, h := range p.held {
		h.release()
	}
}

// Abandon closes the provider and tells nobody anything: another process goes on with
// the work, and tells of all of it.
func (p *Provider) Abandon() error {
	for _, h := range p.held {
		h.drop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), flush)
	defer cancel()
	if p.sdk != nil {
		p.warn(p.sdk.Shutdown(ctx)) // there is nothing to send
	}
	err := p.closeFile()
	*p = Provider{tracer: silent(), warn: p.warn}
	return err
}

// silent makes no spans.
func silent() oteltrace.Tracer { return noop.NewTracerProvider().Tracer(scope) }

// Close sends what has not been sent yet, and waits no longer than a few seconds
// for that. It is to be called after the last span has ended, also when the
// build's context is cancelled. That a collector could not be told is a warning; the
// error is a [FileError].
func (p *Provider) Close() error {
	if !p.on() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flush)
	defer cancel()
	var both sync.WaitGroup
	if p.sdk != nil {
		both.Go(func() { p.warn(p.sdk.Shutdown(ctx)) })
	}
	err := p.metrics.close(ctx, p.warn)
	both.Wait()
	return errors.Join(p.closeFile(), err)
}

func (p *Provider) closeFile() error {
	if p.file == nil {
		return nil
	}
	return p.file.close()
}

// Begin opens a provider and starts its first span, for a program that does one thing.
// end ends both; its error is the one it is given, and those of files.
func Begin(ctx context.Context, o Options, name string) (_ context.Context, _ *Provider, end func(error) error, err error) {
	p, err := Open(ctx, o)
	if err != nil {
		return ctx, nil, nil, err
	}
	ctx, endSpan := p.Start(ctx, name, Past{})
	return ctx, p, func(err error) error {
		endSpan(err)
		return errors.Join(err, p.Close())
	}, nil
}

// Start begins the span that all others are in, as a child of TRACEPARENT. What was
// done before is in it too.
func (p *Provider) Start(ctx context.Context, name string, past Past) (context.Context, func(error)) {
	if !p.on() {
		return ctx, func(error) {}
	}
	if p.parent.IsValid() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, p.parent)
	}
	var options []oteltrace.SpanStartOption
	start := time.Now()
	if !past.Started.IsZero() {
		start = past.Started
		options = append(options, oteltrace.WithTimestamp(start))
	}
	ctx, span := p.tracer.Start(context.WithValue(ctx, within{}, true), name, options...)
	p.tell(ctx, past)
	return ctx, func(err error) {
		p.fail(span, err)
		span.End()
		p.metrics.run(ctx, name, time.Since(start), err)
	}
}

// within marks the context of what is done below Start.
type within struct{}

func isWithin(ctx context.Context) bool { return ctx.Value(within{}) != nil }

// ID is the id of the trace that the context is in, for people to look it up;
// empty if there is none.
func (p *Provider) ID(ctx context.Context) string {
	if span := oteltrace.SpanContextFromContext(ctx); p.sdk != nil && span.IsSampled() {
		return span.TraceID().String()
	}
	return ""
}

// Part begins a part of the work that no observer is told of.
func (p *Provider) Part(ctx context.Context, name string) (context.Context, func(error)) {
	if !p.on() {
		return ctx, func(error) {}
	}
	return p.timed(ctx, name)
}

// timed begins a span that counts as a phase of that name.
func (p *Provider) timed(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, func(error)) {
	start := time.Now()
	ctx, end := p.span(ctx, name, attrs...)
	return ctx, func(err error) {
		end(err)
		p.metrics.phase(ctx, name, time.Since(start))
	}
}

// span begins a span; the function that ends it records the error.
func (p *Provider) span(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, span := p.tracer.Start(ctx, name, oteltrace.WithAttributes(attrs...))
	return ctx, func(err error) {
		p.fail(span, err)
		span.End()
	}
}

// fail marks a span with an error: its type always, its words if they may be told.
func (p *Provider) fail(span oteltrace.Span, err error) {
	if err == nil {
		return
	}
	text := ""
	if p.text {
		text = err.Error()
	}
	span.SetStatus(failed(text))
	span.SetAttributes(attribute.String("error.type", errorType(err)))
	var exit *sandbox.ExitError
	if errors.As(err, &exit) {
		span.SetAttributes(attribute.Int("process.exit.code", exit.Status))
	}
}

// failed is the status of a span that ended in an error.
func failed(text string) (codes.Code, string) { return codes.Error, text }

// errorType names the type of the innermost error.
func errorType(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}
