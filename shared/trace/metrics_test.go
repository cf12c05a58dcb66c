package trace

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// work does what leads to each of the metrics.
func work(ctx context.Context, t *testing.T, p *Provider, registry string) {
	build(ctx, p.Observer())
	for _, out := range []engine.Outcome{
		{Cached: true, From: "here", Layer: sizedLayer{size: 40}},
		{Cause: cachekey.FilesChanged, Missed: []string{"file hunter2 changed"}, Layer: sizedLayer{size: 7}},
		{},
	} {
		_, _, end := p.Observer().Step(ctx, stage, run)
		end(out, nil)
	}
	_, end := p.Observer().Phase(ctx, engine.Unpack)
	end(nil)
	p.Cleaned(ctx, Cleaning{
		Cache: "registry.example/cache", Decided: map[Decided]int{{"delete", "ttl"}: 3}, Deletions: map[string]int{"deleted": 2},
		Bytes: 100, Freed: 60, Oldest: time.Hour,
	})
	p.CleanedAll(ctx, time.Second, time.Unix(1_800_000_000, 0), nil)
	client := &http.Client{Transport: p.Transport(http.DefaultTransport)}
	r, err := http.NewRequestWithContext(ctx, "GET", registry+"/v2/app/blobs/sha256:hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestMetricsFile: the file has every metric in Prometheus's form, and nothing of what
// must not be told, also if the work failed.
func TestMetricsFile(t *testing.T) {
	registry := httptest.NewServer(http.NotFoundHandler())
	defer registry.Close()
	path := filepath.Join(t.TempDir(), "kaniko.prom")
	p := openFiles(t, map[string]string{"OTEL_SERVICE_NAME": "nightly"}, Flags{MetricsFile: path})
	if p.sdk != nil {
		t.Error("there are spans, too")
	}
	ctx, end := p.Start(t.Context(), "build", Past{})
	work(ctx, t, p, registry.URL)
	end(errSecret)
	if text, err := os.ReadFile(path); err != nil || len(text) > 0 {
		t.Errorf("before the end the file has %q, %v", text, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if strings.Contains(text, "hunter2") {
		t.Errorf("the file tells:\n%s", text)
	}
	for _, want := range []string{
		`# TYPE http_client_request_duration_seconds histogram`,
		`http_client_request_duration_seconds_bucket{service_name="nightly",error_type="404",http_request_method="GET",http_response_status_code="404",http_route="/v2/{name}/blobs/{digest}",server_address="127.0.0.1",le="+Inf"} 1`,
		`kaniko_transfer_io_bytes_total{service_name="nightly",kaniko_transfer_kind="pull"} 42`,
		`kaniko_cache_steps_total{service_name="nightly",kaniko_cache_result="hit"} 1`,
		`kaniko_cache_steps_total{service_name="nightly",kaniko_cache_reason="files changed",kaniko_cache_result="miss"} 1`,
		`kaniko_step_duration_seconds_count{service_name="nightly",kaniko_cache_result="hit",kaniko_instruction="RUN"} 1`,
		`kaniko_step_duration_seconds_count{service_name="nightly",kaniko_instruction="RUN"} 2`,
		`kaniko_phase_duration_seconds_count{service_name="nightly",kaniko_phase="unpack"} 1`,
		`kaniko_layer_size_bytes_total{service_name="nightly",kaniko_cache_result="miss"} 7`,
		`# TYPE kaniko_run_duration_seconds gauge`,
		`kaniko_cachegc_entries{service_name="nightly",kaniko_cache="registry.example/cache",kaniko_decision="delete",kaniko_rule="ttl"} 3`,
		`kaniko_cachegc_deletions_total{service_name="nightly",kaniko_cache="registry.example/cache",kaniko_status="deleted"} 2`,
		`kaniko_cachegc_size_bytes{service_name="nightly",kaniko_cache="registry.example/cache"} 100`,
		`kaniko_cachegc_freed_bytes_total{service_name="nightly",kaniko_cache="registry.example/cache"} 60`,
		`kaniko_cachegc_oldest_seconds{service_name="nightly",kaniko_cache="registry.example/cache"} 3600`,
		`kaniko_cachegc_waited_seconds{service_name="nightly"} 1`,
		`kaniko_cachegc_success_seconds{service_name="nightly"} 1.8e+09`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the file has no line %s", want)
		}
	}
	if runtime.GOOS == "linux" && !regexp.MustCompile(`(?m)^kaniko_memory_peak_bytes\{.*kaniko_memory_of="process"\} \d{7,}$`).MatchString(text) {
		t.Error("the file has no peak of memory")
	}
	for l := range strings.Lines(text) {
		if !regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{([a-z_]+="([^"\\]|\\.)*",?)+\} [0-9.e+-]+)\n$`).MatchString(l) {
			t.Errorf("not as Prometheus reads it: %q", l)
		}
	}
	if t.Failed() {
		t.Log("\n" + text)
	}
}

// TestMetrics_sent: the same goes to a collector, each metric by OpenTelemetry's name.
func TestMetrics_sent(t *testing.T) {
	registry := httptest.NewServer(http.NotFoundHandler())
	defer registry.Close()
	for protocol, start := range map[string]func(*testing.T) (*collector, string){"http/protobuf": overHTTP, "grpc": overGRPC} {
		t.Run(protocol, func(t *testing.T) {
			c, url := start(t)
			p := openFiles(t, map[string]string{
				"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url + map[string]string{"http/protobuf": "/v1/metrics"}[protocol],
				"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": protocol,
			}, Flags{})
			ctx, end := p.Start(t.Context(), "build", Past{})
			work(ctx, t, p, registry.URL)
			end(nil)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, m := range c.metrics {
				names = append(names, m.Name)
				if strings.Contains(m.String(), "hunter2") {
					t.Errorf("the metric %s tells: %v", m.Name, m)
				}
			}
			for _, want := range []string{
				"http.client.request.duration", "kaniko.transfer.io", "kaniko.cache.steps", "kaniko.step.duration", "kaniko.phase.duration",
				"kaniko.layer.size", "kaniko.run.duration", "kaniko.cachegc.entries", "kaniko.cachegc.deletions", "kaniko.cachegc.size",
				"kaniko.cachegc.freed", "kaniko.cachegc.oldest", "kaniko.cachegc.waited", "kaniko.cachegc.success",
			} {
				if !slices.Contains(names, want) {
					t.Errorf("no metric %s among %q", want, names)
				}
			}
			if len(c.spans) > 0 {
				t.Errorf("there are %d spans", len(c.spans))
			}
		})
	}
}

// TestOff_free: what is not asked for costs nothing: nothing is allocated, and nothing
// goes on beside the program.
func TestOff_free(t *testing.T) {
	before := runtime.NumGoroutine()
	p := openFiles(t, nil, Flags{})
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more", after-before)
	}
	ctx, driver, store := t.Context(), sandbox.Driver(&fakeDriver{}), &fakeCache{}
	if n := testing.AllocsPerRun(100, func() {
		ctx, end := p.Start(ctx, "build", Past{})
		_, endPart := p.Part(ctx, "plan")
		if p.Observer() != nil || p.Transport(http.DefaultTransport) != http.DefaultTransport || p.Driver(driver) != driver || p.Cache(store) != store {
			t.Error("something is wrapped")
		}
		endPart(nil)
		end(nil)
		p.Close()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
