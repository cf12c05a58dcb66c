package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// otelcol is a real collector of OpenTelemetry, which writes what it is sent into files.
type otelcol struct {
	t             *testing.T
	dir           string
	overHTTP, rpc string // its addresses
	cmd           *exec.Cmd
	ended         chan struct{}
}

// startCollector starts it; without the program the test is skipped.
func startCollector(t *testing.T) *otelcol {
	t.Helper()
	program := servertest.Program(t, "otelcol", "otelcol")
	c := &otelcol{t: t, dir: t.TempDir(), overHTTP: servertest.FreeAddress(t), rpc: servertest.FreeAddress(t), ended: make(chan struct{})}
	config := filepath.Join(c.dir, "config.yml")
	text := fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: %q}, grpc: {endpoint: %q}}}}
exporters:
  file/traces: {path: %q, flush_interval: 50ms}
  file/metrics: {path: %q, flush_interval: 50ms}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file/traces]}
    metrics: {receivers: [otlp], exporters: [file/metrics]}
`, c.overHTTP, c.rpc, c.traces(), c.metrics())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(program, "--config="+config)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		c.cmd.Wait() //nolint:errcheck // it is stopped
	}()
	t.Cleanup(func() { c.cmd.Process.Kill(); <-c.ended })
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if answers(c.overHTTP) && answers(c.rpc) {
			return c
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("the collector does not answer: %s", said)
	return nil
}

func (c *otelcol) traces() string  { return filepath.Join(c.dir, "traces.jsonl") }
func (c *otelcol) metrics() string { return filepath.Join(c.dir, "metrics.jsonl") }

// stop ends the collector when it has written all.
func (c *otelcol) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		c.t.Fatal("the collector does not end")
	}
}

// environment is what sends a program's spans and metrics there.
func (c *otelcol) environment(protocol string) []string {
	at := c.overHTTP
	if protocol == "grpc" {
		at = c.rpc
	}
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + at, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol}
}

func answers(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// otherProgram is another program of the suite: beside the test's files where Bazel put
// it, or else built anew.
func otherProgram(t *testing.T, name string) string {
	t.Helper()
	if path, err := filepath.Abs(filepath.Join("..", name, name+"_", name)); err == nil {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "../"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("%s is not there, and there is no go command to build it", name)
	}
	if err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// span is a span as OTLP's JSON has it.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Kind                                int
	Attributes                          []struct {
		Key   string
		Value struct {
			StringValue, IntValue string
		}
	}
	Status struct{ Code int }

	service string
}

// attribute is the value of one attribute as text; empty without it.
func (s span) attribute(name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			return a.Value.StringValue + a.Value.IntValue
		}
	}
	return ""
}

// readSpans reads a file of lines of OTLP's JSON.
func readSpans(t *testing.T, path string) map[string]span {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]span{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var data struct {
			ResourceSpans []struct {
				Resource struct {
					Attributes []struct {
						Key   string
						Value struct{ StringValue string }
					}
				}
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &data); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, r := range data.ResourceSpans {
			service := ""
			for _, a := range r.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.StringValue
				}
			}
			for _, scope := range r.ScopeSpans {
				for _, s := range scope.Spans {
					s.service = service
					if _, twice := all[s.SpanID]; twice {
						t.Errorf("%s: the span %s is there twice", path, s.Name)
					}
					all[s.SpanID] = s
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no spans: %s", path, strings.TrimSpace(string(text)))
	}
	return all
}
