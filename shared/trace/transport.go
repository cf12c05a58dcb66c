package trace

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Transport makes a span of each request that goes through rt; it is rt itself if
// tracing is off. The span lasts until the response's body has been read or
// closed. It has the URL's host and path, neither its query nor credentials, and
// no header is added to the request: whom we talk to need not know of the trace.
func (p *Provider) Transport(rt http.RoundTripper) http.RoundTripper {
	if p.sdk == nil {
		return rt
	}
	return &transport{p, rt}
}

type transport struct {
	p    *Provider
	next http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	// Only what belongs to a build; a request of its own would be a trace of its own.
	if !oteltrace.SpanContextFromContext(r.Context()).IsValid() {
		return t.next.RoundTrip(r)
	}
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", r.Method),
		attribute.String("server.address", r.URL.Hostname()),
		attribute.String("url.scheme", r.URL.Scheme),
		attribute.String("url.path", r.URL.EscapedPath()),
	}
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		attrs = append(attrs, attribute.Int("server.port", port))
	}
	if r.ContentLength > 0 {
		attrs = append(attrs, attribute.Int64("http.request.body.size", r.ContentLength))
	}
	ctx, span := t.p.tracer.Start(r.Context(), r.Method,
		oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithAttributes(attrs...))
	resp, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.p.fail(span, err)
		span.End()
		return resp, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	if resp.StatusCode >= 400 {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(resp.StatusCode)))
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == nil {
		span.End()
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, p: t.p, span: span}
	return resp, nil
}

// CloseIdleConnections is what http.Client looks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body ends its request's span.
type body struct {
	io.ReadCloser
	p    *Provider
	span oteltrace.Span
	read atomic.Int64 // Close may come while Read is under way
}

func (b *body) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	b.read.Add(int64(n))
	switch {
	case errors.Is(err, io.EOF):
		b.end(nil)
	case err != nil:
		b.end(err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}

// end is called any number of times; a span ends once.
func (b *body) end(err error) {
	if !b.span.IsRecording() {
		return
	}
	b.span.SetAttributes(attribute.Int64("http.response.body.size", b.read.Load()))
	b.p.fail(b.span, err)
	b.span.End()
}
