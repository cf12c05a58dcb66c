package trace

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metricscollectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// collector receives OTLP, over HTTP and over gRPC.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	mu      sync.Mutex
	spans   []*tracepb.Span
	metrics []*metricspb.Metric
	service string
	headers http.Header
}

// metricsCollector is the part of a collector that takes metrics.
type metricsCollector struct {
	metricscollectorpb.UnimplementedMetricsServiceServer
	c *collector
}

func (m metricsCollector) Export(_ context.Context, r *metricscollectorpb.ExportMetricsServiceRequest) (*metricscollectorpb.ExportMetricsServiceResponse, error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for _, resource := range r.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			m.c.metrics = append(m.c.metrics, scope.Metrics...)
		}
	}
	return &metricscollectorpb.ExportMetricsServiceResponse{}, nil
}

func (c *collector) Export(_ context.Context, r *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				c.service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.headers = r.Header.Clone()
	c.mu.Unlock()
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in = z
	}
	data, err := io.ReadAll(in)
	var response proto.Message
	switch {
	case err != nil:
	case r.URL.Path == "/v1/metrics":
		var request metricscollectorpb.ExportMetricsServiceRequest
		if err = proto.Unmarshal(data, &request); err == nil {
			response, err = metricsCollector{c: c}.Export(r.Context(), &request)
		}
	case r.URL.Path == "/v1/traces":
		var request collectorpb.ExportTraceServiceRequest
		if err = proto.Unmarshal(data, &request); err == nil {
			response, err = c.Export(r.Context(), &request)
		}
	default:
		err = errors.New("not OTLP")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	data, _ = proto.Marshal(response)
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(data)
}

// overHTTP and overGRPC start a collector and return the URL it is at.
func overHTTP(t *testing.T) (*collector, string) {
	c := &collector{}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return c, s.URL
}

func overGRPC(t *testing.T) (*collector, string) {
	c := &collector{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(s, c)
	metricscollectorpb.RegisterMetricsServiceServer(s, metricsCollector{c: c})
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return c, "http://" + l.Addr().String()
}

// open opens a provider in an environment, which is the process's as well, because
// the exporters look there.
func open(t *testing.T, env map[string]string) *Provider {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	p, err := Open(t.Context(), Options{
		Service: "executor", Version: "v1",
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Warn:      func(err error) { t.Logf("warning: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (c *collector) named(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, s := range c.spans {
		if s.Name == name {
			return s
		}
		names = append(names, s.Name)
	}
	t.Fatalf("no span %q among %q", name, names)
	return nil
}

func attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		if v := a.Value.GetStringValue(); v != "" {
			all[a.Key] = v
		} else {
			all[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return all
}

var (
	errSecret = errors.New("hunter2 is in this text")
	stage     = &plan.Stage{Index: 1, Name: "build"}
	run       = &plan.Step{
		Op:   plan.Run{},
		Text: "run curl -H hunter2 https://example.com",
		At:   dockerfile.Location{File: "Dockerfile", Line: 7, Last: 7},
	}
)

// build does what an engine tells its observers.
func build(ctx context.Context, o engine.Observer) {
	ctx, endStage := o.Stage(ctx, stage)
	_, moved, endTransfer := o.Transfer(ctx, engine.Transfer{Kind: "pull", Name: "debian:12", Size: 100})
	moved(40)
	moved(2)
	endTransfer(nil)
	_, _, endStep := o.Step(ctx, stage, run)
	err := fmt.Errorf("%w: %w", errSecret, &sandbox.ExitError{Status: 6})
	endStep(engine.Outcome{}, err)
	endStage(err)
}

func TestSpans(t *testing.T) {
	for protocol, start := range map[string]func(*testing.T) (*collector, string){"http/protobuf": overHTTP, "grpc": overGRPC} {
		t.Run(protocol, func(t *testing.T) {
			c, url := start(t)
			p := open(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url,
				"OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"TRACEPARENT":                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			})
			ctx, end := p.Start(t.Context(), "build", Past{})
			if got := p.ID(ctx); got != "0af7651916cd43dd8448eb211c80319c" {
				t.Errorf("trace %q, want the parent's", got)
			}
			build(ctx, p.Observer())
			end(nil)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if c.service != "executor" {
				t.Errorf("service %q", c.service)
			}
			root, st, pull, step := c.named(t, "build"), c.named(t, "stage"), c.named(t, "pull"), c.named(t, "RUN")
			for child, parent := range map[*tracepb.Span]*tracepb.Span{st: root, pull: st, step: st} {
				if string(child.ParentSpanId) != string(parent.SpanId) {
					t.Errorf("%s is not in %s", child.Name, parent.Name)
				}
			}
			if got := fmt.Sprintf("%x", root.ParentSpanId); got != "b7ad6b7169203331" {
				t.Errorf("the build's parent is %s", got)
			}
			if a := attributes(st); a["kaniko.stage.index"] != "1" || a["kaniko.stage.name"] != "build" {
				t.Errorf("stage has %v", a)
			}
			if a := attributes(pull); a["kaniko.transfer.moved"] != "42" || a["kaniko.transfer.size"] != "100" || a["kaniko.transfer.name"] != "debian:12" {
				t.Errorf("pull has %v", a)
			}
			if a := attributes(step); a["kaniko.at"] != "Dockerfile:7" || a["process.exit.code"] != "6" || a["error.type"] == "" {
				t.Errorf("step has %v", a)
			}
			if step.Status.Code != tracepb.Status_STATUS_CODE_ERROR || root.Status.Code == tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("the step's status is %v, the build's %v", step.Status, root.Status)
			}
			for _, s := range c.spans {
				if strings.Contains(s.String(), "hunter2") || strings.Contains(s.String(), "example.com") {
					t.Errorf("the span %s tells: %v", s.Name, s)
				}
			}
		})
	}
}

func TestSpans_withText(t *testing.T) {
	c, url := overHTTP(t)
	p := open(t, map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url + "/v1/traces",
		"OTEL_EXPORTER_OTLP_HEADERS":         "x-key=abc",
		"OTEL_SERVICE_NAME":                  "nightly",
		"KANIKO_TRACE_TEXT":                  "1",
	})
	ctx, end := p.Start(t.Context(), "build", Past{})
	build(ctx, p.Observer())
	end(errSecret)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if c.service != "nightly" || c.headers.Get("X-Key") != "abc" {
		t.Errorf("service %q, headers %v", c.service, c.headers)
	}
	if got := attributes(c.named(t, "RUN"))["kaniko.text"]; got != run.Text {
		t.Errorf("text %q", got)
	}
	if got := c.named(t, "build").Status.Message; got != errSecret.Error() {
		t.Errorf("status %q", got)
	}
}

func TestOff(t *testing.T) {
	_, url := overHTTP(t)
	for name, env := range map[string]map[string]string{
		"nothing set": {},
		"disabled":    {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": url},
		"no exporter": {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": url},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, env)
			if p.Observer() != nil {
				t.Error("there is an observer")
			}
			if p.Transport(http.DefaultTransport) != http.DefaultTransport {
				t.Error("the transport is wrapped")
			}
			d := &fakeDriver{}
			if p.Driver(d) != sandbox.Driver(d) {
				t.Error("the driver is wrapped")
			}
			store := &fakeCache{}
			if p.Cache(store) != cache.Store(store) || p.Cache(nil) != nil {
				t.Error("the cache is wrapped")
			}
			ctx, end := p.Start(t.Context(), "build", Past{})
			end(nil)
			if ctx != t.Context() || p.ID(ctx) != "" {
				t.Error("there is a span")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpen_errors(t *testing.T) {
	for _, env := range []map[string]string{
		{"OTEL_TRACES_EXPORTER": "zipkin"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
	} {
		var warned []error
		p, err := Open(t.Context(), Options{
			LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
			Warn:      func(err error) { warned = append(warned, err) },
		})
		if err != nil || len(warned) != 1 || p.Observer() != nil {
			t.Errorf("%v: got %v, warnings %v; want one and a provider that is off", env, err, warned)
		}
	}
}

// A collector that does not answer costs the end of a build little time and one
// warning.
func TestClose_unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	var warned []error
	p, err := Open(t.Context(), Options{LookupEnv: func(name string) (string, bool) {
		return "http://" + l.Addr().String(), name == "OTEL_EXPORTER_OTLP_ENDPOINT"
	}, Warn: func(err error) { warned = append(warned, err) }})
	if err != nil {
		t.Fatal(err)
	}
	_, end := p.Start(t.Context(), "build", Past{})
	end(nil)
	begin := time.Now()
	if err := p.Close(); err != nil || len(warned) != 1 {
		t.Errorf("got %v, warnings %v; want one for all that is lost", err, warned)
	}
	if took := time.Since(begin); took > flush+time.Second {
		t.Errorf("took %v", took)
	}
}

func TestTransport(t *testing.T) {
	c, url := overHTTP(t)
	p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	seen := make(http.Header)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "0123456789")
	}))
	defer server.Close()
	client := &http.Client{Transport: p.Transport(http.DefaultTransport)}
	ctx, end := p.Start(t.Context(), "build", Past{})
	do := func(ctx context.Context, method, path string) error {
		r, err := http.NewRequestWithContext(ctx, method, strings.Replace(server.URL, "://", "://user:hunter2@", 1)+path, strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
		return nil
	}
	if err := do(ctx, "PUT", "/v2/blobs/uploads?digest=hunter2"); err != nil {
		t.Fatal(err)
	}
	if err := do(ctx, "GET", "/missing"); err != nil {
		t.Fatal(err)
	}
	if err := do(t.Context(), "DELETE", "/outside-of-the-build"); err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	server.Close()
	if err := do(ctx, "POST", "/nobody"); err == nil {
		t.Error("no error from a closed server")
	}
	end(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	put := attributes(c.named(t, "PUT"))
	for name, want := range map[string]string{
		"url.path": "/v2/blobs/uploads", "http.response.status_code": "200", "server.address": "127.0.0.1",
		"http.request.body.size": "3", "http.response.body.size": "10",
	} {
		if put[name] != want {
			t.Errorf("PUT: %s is %q, want %q", name, put[name], want)
		}
	}
	if get := c.named(t, "GET"); get.Status.Code != tracepb.Status_STATUS_CODE_ERROR || attributes(get)["error.type"] != "404" {
		t.Errorf("GET: %v", get)
	}
	if post := c.named(t, "POST"); post.Status.Code != tracepb.Status_STATUS_CODE_ERROR || attributes(post)["error.type"] == "" {
		t.Errorf("POST: %v", post)
	}
	if len(c.spans) != 4 {
		t.Errorf("%d spans, want 3 requests and the build", len(c.spans))
	}
	for _, s := range c.spans {
		if strings.Contains(s.String(), "hunter2") {
			t.Errorf("the span %s tells: %v", s.Name, s)
		}
	}
	if seen.Get("Traceparent") != "" {
		t.Error("the server was told of the trace")
	}
}

// fakeDriver records the environment of what runs.
type fakeDriver struct{ env []string }

func (d *fakeDriver) New(context.Context, string) (sandbox.Sandbox, error) {
	return fakeSandbox{d: d}, nil
}
func (d *fakeDriver) Limit() int { return 1 }

func (d *fakeDriver) Check(sandbox.Needs) error { return nil }
func (d *fakeDriver) Close() error              { return nil }

type fakeSandbox struct {
	tree.FS
	d *fakeDriver
}

func (s fakeSandbox) Apply(context.Context, ...sandbox.Layer) error  { return nil }
func (s fakeSandbox) Commit(context.Context, string) layer.Changes   { return layer.None }
func (s fakeSandbox) Close() error                                   { return nil }
func (s fakeSandbox) Run(_ context.Context, p sandbox.Process) error { s.d.env = p.Env; return nil }

func TestDriver(t *testing.T) {
	_, url := overHTTP(t)
	p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	defer p.Close()
	ctx, end := p.Start(t.Context(), "build", Past{})
	defer end(nil)
	d := &fakeDriver{}
	runWith := func(ctx context.Context, env ...string) []string {
		s, err := p.Driver(d).New(ctx, "stage")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ctx, sandbox.Process{Env: env}); err != nil {
			t.Fatal(err)
		}
		return d.env
	}
	got := runWith(ctx, "A=b")
	if len(got) != 2 || got[0] != "A=b" || !strings.HasPrefix(got[1], "TRACEPARENT=00-"+p.ID(ctx)+"-") {
		t.Errorf("environment %q", got)
	}
	if got := runWith(ctx, "TRACEPARENT=mine"); !slices.Equal(got, []string{"TRACEPARENT=mine"}) {
		t.Errorf("environment %q, want what the Dockerfile says", got)
	}
	if got := runWith(t.Context(), "A=b"); !slices.Equal(got, []string{"A=b"}) {
		t.Errorf("environment %q outside of a trace", got)
	}
}
