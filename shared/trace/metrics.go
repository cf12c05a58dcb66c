package trace

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// metrics are the numbers that a program leaves. They are collected once, at the end:
// a build has one answer to how long it took. Of nil, all methods do nothing.
//
// Attributes are words of a few, and the names of registries: never anything that a
// Dockerfile says.
type metrics struct {
	provider *sdkmetric.MeterProvider
	outlets  []outlet

	requests  metric.Float64Histogram
	resends   metric.Int64Counter
	transfers metric.Int64Counter
	cached    metric.Int64Counter
	steps     metric.Float64Histogram
	phases    metric.Float64Histogram
	layers    metric.Int64Counter
	runs      metric.Float64Gauge
	cleaning  cleaning
}

// outlet is one place that metrics go to: a file, or a collector.
type outlet struct {
	reader   *sdkmetric.ManualReader
	exporter sdkmetric.Exporter // nil if it is a file
	path     string
}

// Bounds of histograms, in seconds: those of requests are OpenTelemetry's, those of
// steps reach from what is hardly worth a step to what takes too long.
func requestBounds() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

func workBounds() []float64 {
	return []float64{0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600}
}

func newMetrics(res *resource.Resource, version string, outlets []outlet) *metrics {
	options := []sdkmetric.Option{sdkmetric.WithResource(res)}
	for _, o := range outlets {
		options = append(options, sdkmetric.WithReader(o.reader))
	}
	m := &metrics{provider: sdkmetric.NewMeterProvider(options...), outlets: outlets}
	meter := m.provider.Meter(scope, metric.WithInstrumentationVersion(version))
	// The errors are of names that are no names; a test makes them all.
	m.requests, _ = meter.Float64Histogram("http.client.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of requests to registries, to the end of the answer."), metric.WithExplicitBucketBoundaries(requestBounds()...))
	m.resends, _ = meter.Int64Counter("kaniko.http.resends", metric.WithUnit("{request}"),
		metric.WithDescription("Requests to registries that repeat one which failed."))
	m.transfers, _ = meter.Int64Counter("kaniko.transfer.io", metric.WithUnit("By"),
		metric.WithDescription("Bytes pulled and pushed."))
	m.cached, _ = meter.Int64Counter("kaniko.cache.steps", metric.WithUnit("{step}"),
		metric.WithDescription("Steps that the layer cache had, or had not, and why."))
	m.steps, _ = meter.Float64Histogram("kaniko.step.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of steps."), metric.WithExplicitBucketBoundaries(workBounds()...))
	m.phases, _ = meter.Float64Histogram("kaniko.phase.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the parts of the work; they overlap."), metric.WithExplicitBucketBoundaries(workBounds()...))
	m.layers, _ = meter.Int64Counter("kaniko.layer.size", metric.WithUnit("By"),
		metric.WithDescription("Compressed bytes of the layers of steps."))
	m.runs, _ = meter.Float64Gauge("kaniko.run.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the whole."))
	m.cleaning = newCleaning(meter)
	_, _ = meter.Int64ObservableGauge("kaniko.memory.peak", metric.WithUnit("By"),
		metric.WithDescription("The most memory that this process, or the largest of the commands it ran, had at once."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for of, bytes := range peakMemory() {
				o.Observe(bytes, metric.WithAttributes(attribute.String("kaniko.memory.of", of)))
			}
			return nil
		}))
	return m
}

// request is a request that has come to its end.
func (m *metrics) request(ctx context.Context, took time.Duration, attempt int, attrs []attribute.KeyValue) {
	if m == nil {
		return
	}
	var few []attribute.KeyValue
	for _, a := range attrs {
		switch a.Key {
		case "http.request.method", "http.route", "http.response.status_code", "server.address", "error.type":
			few = append(few, a)
		}
	}
	m.requests.Record(ctx, took.Seconds(), metric.WithAttributes(few...))
	if attempt > 0 {
		m.resends.Add(ctx, 1, metric.WithAttributes(few...))
	}
}

func (m *metrics) moved(ctx context.Context, kind string, n int64) {
	if m != nil {
		m.transfers.Add(ctx, n, metric.WithAttributes(attribute.String("kaniko.transfer.kind", kind)))
	}
}

func (m *metrics) phase(ctx context.Context, name string, took time.Duration) {
	if m != nil {
		m.phases.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("kaniko.phase", name)))
	}
}

// step is one that is done, or that the cache had: cached is what the cache was to it.
func (m *metrics) step(ctx context.Context, instruction string, took time.Duration, size int64, cached []attribute.KeyValue) {
	if m == nil {
		return
	}
	attrs := []attribute.KeyValue{attribute.String("kaniko.instruction", instruction)}
	if len(cached) > 0 {
		attrs = append(attrs, cached[0])
		m.cached.Add(ctx, 1, metric.WithAttributes(cached...))
	}
	m.steps.Record(ctx, took.Seconds(), metric.WithAttributes(attrs...))
	if size > 0 {
		m.layers.Add(ctx, size, metric.WithAttributes(attrs[1:]...))
	}
}

// run is the whole.
func (m *metrics) run(ctx context.Context, command string, took time.Duration, err error) {
	if m == nil {
		return
	}
	attrs := []attribute.KeyValue{attribute.String("kaniko.command", command)}
	if err != nil {
		attrs = append(attrs, attribute.String("error.type", errorType(err)))
	}
	m.runs.Record(ctx, took.Seconds(), metric.WithAttributes(attrs...))
}

// close tells all, files first.
func (m *metrics) close(ctx context.Context, warn func(error)) error {
	if m == nil {
		return nil
	}
	var wrong error
	for _, o := range m.outlets {
		wrong = errors.Join(wrong, o.tell(ctx, warn))
	}
	return wrong
}

// tell hands on what was measured. What is wrong with a file is the error; a collector
// is a matter of a warning.
func (o outlet) tell(ctx context.Context, warn func(error)) error {
	var all metricdata.ResourceMetrics
	err := o.reader.Collect(ctx, &all)
	if o.exporter != nil {
		if err == nil {
			err = o.exporter.Export(ctx, &all)
		}
		warn(errors.Join(err, o.exporter.Shutdown(ctx)))
		return nil
	}
	if err == nil {
		err = writeMetrics(o.path, &all)
	}
	if err != nil {
		return &FileError{"metrics file", o.path, err}
	}
	return nil
}
