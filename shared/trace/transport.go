package trace

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Transport makes a span of each request that goes through rt; it is rt itself if
// tracing is off. The span lasts until the response's body has been read or
// closed. It has the URL's host and what it is for: of a request to a registry the
// route and the repository, of another the path; neither its query nor credentials. No
// header is added to the request: whom we talk to need not know of the trace.
func (p *Provider) Transport(rt http.RoundTripper) http.RoundTripper {
	if !p.on() {
		return rt
	}
	return &transport{p, rt}
}

type transport struct {
	p    *Provider
	next http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	// Only what belongs to the work; a request of its own would be a trace of its own.
	if !isWithin(r.Context()) {
		return t.next.RoundTrip(r)
	}
	q := &request{p: t.p, start: time.Now(), attempt: registry.Attempt(r.Context()), known: described(r)}
	q.ctx, q.span = t.p.tracer.Start(r.Context(), r.Method,
		oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithAttributes(q.known...))
	out, sent := counted(r.WithContext(q.ctx))
	resp, err := t.next.RoundTrip(out)
	if n := sent(); n > 0 {
		q.span.SetAttributes(attribute.Int64("http.request.body.size", n))
	}
	if err != nil {
		q.end(err)
		return resp, err
	}
	q.answered(resp.StatusCode)
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == nil {
		q.end(nil)
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, of: q}
	return resp, nil
}

// request is a request under way.
type request struct {
	p       *Provider
	ctx     context.Context
	span    oteltrace.Span
	start   time.Time
	attempt int                  // 0 for the first
	known   []attribute.KeyValue // of it
	ended   sync.Once
}

func (q *request) answered(status int) {
	attrs := []attribute.KeyValue{attribute.Int("http.response.status_code", status)}
	if status >= 400 {
		q.span.SetStatus(failed(""))
		attrs = append(attrs, attribute.String("error.type", strconv.Itoa(status)))
	}
	q.span.SetAttributes(attrs...)
	q.known = append(q.known, attrs...)
}

// end is called any number of times; a request ends once.
func (q *request) end(err error, attrs ...attribute.KeyValue) {
	q.ended.Do(func() {
		q.span.SetAttributes(attrs...)
		if err != nil {
			q.p.fail(q.span, err)
			q.known = append(q.known, attribute.String("error.type", errorType(err)))
		}
		q.span.End()
		q.p.metrics.request(q.ctx, time.Since(q.start), q.attempt, q.known)
	})
}

// described is what is known of a request before it is sent.
func described(r *http.Request) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", r.Method),
		attribute.String("server.address", r.URL.Hostname()),
		attribute.String("url.scheme", r.URL.Scheme),
	}
	if template, repository := route(r.URL.Path); template != "" {
		attrs = append(attrs, attribute.String("http.route", template))
		if repository != "" {
			attrs = append(attrs, attribute.String("kaniko.repository", repository))
		}
	} else {
		attrs = append(attrs, attribute.String("url.path", r.URL.EscapedPath()))
	}
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		attrs = append(attrs, attribute.Int("server.port", port))
	}
	if n := registry.Attempt(r.Context()); n > 0 {
		attrs = append(attrs, attribute.Int("http.request.resend_count", n))
	}
	return attrs
}

// counted is a request of which sent tells how many bytes of its body were read: the
// length of a layer that is sent while it is made is not known before.
func counted(r *http.Request) (out *http.Request, sent func() int64) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func() int64 { return 0 }
	}
	c := &counter{ReadCloser: r.Body}
	r.Body = c // of a copy that is ours
	return r, c.n.Load
}

// counter counts what is read.
type counter struct {
	io.ReadCloser
	n atomic.Int64
}

func (c *counter) Read(buf []byte) (int, error) {
	n, err := c.ReadCloser.Read(buf)
	c.n.Add(int64(n))
	return n, err
}

// CloseIdleConnections is what http.Client looks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body ends its request.
type body struct {
	io.ReadCloser
	of   *request
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

func (b *body) end(err error) {
	b.of.end(err, attribute.Int64("http.response.body.size", b.read.Load()))
}
