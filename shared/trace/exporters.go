package trace

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The signals, as OpenTelemetry's variables name them.
const (
	traces  = "TRACES"
	numbers = "METRICS"
)

// The transports of OTLP that there are here.
const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

// protocolOf is how the environment wants a signal sent; empty if it does not want it
// sent (OpenTelemetry specification, "Environment Variable Specification"; an exporter
// is off there only if it is said so, here also if no address is given).
func protocolOf(env func(string) string, signal string) (string, error) {
	switch name := env("OTEL_" + signal + "_EXPORTER"); name {
	case "none":
		return "", nil
	case "otlp":
	case "":
		if env("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			return "", nil
		}
	default:
		return "", fmt.Errorf("OTEL_%s_EXPORTER=%s is neither otlp nor none", signal, name)
	}
	protocol := env("OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL")
	if protocol == "" {
		protocol = env("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "":
		return protocolHTTP, nil
	case protocolHTTP, protocolGRPC:
		return protocol, nil
	}
	return "", fmt.Errorf("the protocol %s is neither grpc nor http/protobuf", protocol)
}

// again is how often what a collector refuses for now is tried again. The first wait of
// OpenTelemetry's own is longer than the end of a build waits for all.
func again() otlptracehttp.RetryConfig {
	return otlptracehttp.RetryConfig{Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 5 * time.Second, MaxElapsedTime: time.Minute}
}

// spanOutlets are where spans go, a batch at a time. A file has all of them; to a
// collector more than the queue holds are lost, rather than that the build waits.
func (p *Provider) spanOutlets(ctx context.Context, o Options, env func(string) string) (all []sdktrace.SpanProcessor, err error) {
	if o.Files.TraceFile != "" {
		if p.file, err = createFile(o.Files.TraceFile); err != nil {
			return nil, err
		}
		all = append(all, sdktrace.NewBatchSpanProcessor(otlptrace.NewUnstarted(p.file), sdktrace.WithBlocking()))
	}
	protocol, err := protocolOf(env, traces)
	var e *otlptrace.Exporter
	switch protocol {
	case protocolHTTP:
		e, err = otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig(again())))
	case protocolGRPC:
		e, err = otlptracegrpc.New(ctx, otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig(again())))
	}
	if err != nil {
		p.warn(err)
		return all, nil
	}
	if e != nil {
		all = append(all, sdktrace.NewBatchSpanProcessor(e))
	}
	return all, nil
}

// metricsOutlets are where metrics go.
func (p *Provider) metricsOutlets(ctx context.Context, o Options, env func(string) string) (all []outlet, err error) {
	if o.Files.MetricsFile != "" {
		if err := writable(o.Files.MetricsFile); err != nil {
			return nil, err
		}
		all = append(all, outlet{reader: sdkmetric.NewManualReader(), path: o.Files.MetricsFile})
	}
	protocol, err := protocolOf(env, numbers)
	var e sdkmetric.Exporter
	switch protocol {
	case protocolHTTP:
		e, err = otlpmetrichttp.New(ctx, otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig(again())))
	case protocolGRPC:
		e, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig(again())))
	}
	if err != nil {
		p.warn(err)
		return all, nil
	}
	if e != nil {
		reader := sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(e.Temporality), sdkmetric.WithAggregationSelector(e.Aggregation))
		all = append(all, outlet{reader: reader, exporter: e})
	}
	return all, nil
}
