package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestTraceFile: the file has what a collector's file exporter writes, also where no
// collector is wanted, and nothing that must not be told.
func TestTraceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "trace.json")
	env := map[string]string{"OTEL_TRACES_EXPORTER": "none", "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	p := openFiles(t, env, Flags{TraceFile: path})
	past := Past{Started: time.Unix(1000, 5)}
	if err := past.Do("context", func() string { return "archive" }, func() error { return errSecret }); !errors.Is(err, errSecret) {
		t.Errorf("got %v", err)
	}
	ctx, end := p.Start(t.Context(), "build", past)
	build(ctx, p.Observer())
	end(errSecret)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spans := map[string]map[string]any{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), "hunter2") {
			t.Errorf("the file tells: %s", lines.Text())
		}
		var data struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []map[string]any }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &data); err != nil {
			t.Fatal(err)
		}
		for _, r := range data.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					spans[span["name"].(string)] = span
				}
			}
		}
	}
	root := spans["build"]
	if root["traceId"] != "0af7651916cd43dd8448eb211c80319c" || root["parentSpanId"] != "b7ad6b7169203331" || root["startTimeUnixNano"] != "1000000000005" {
		t.Errorf("the root is %v", root)
	}
	if status, ok := root["status"].(map[string]any); !ok || status["code"] != 2.0 {
		t.Errorf("the root's status is %v, want the number of an error", root["status"])
	}
	if root["kind"] != 1.0 {
		t.Errorf("the root's kind is %v, want a number", root["kind"])
	}
	for _, name := range []string{"context", "stage", "pull", "RUN"} {
		id, _ := spans[name]["spanId"].(string)
		if spans[name]["traceId"] != root["traceId"] || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
			t.Errorf("%s is %v", name, spans[name])
		}
	}
}

func openFiles(t *testing.T, env map[string]string, files Flags) *Provider {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	p, err := Open(t.Context(), Options{
		Service: "executor", Files: files, Warn: func(err error) { t.Errorf("warning: %v", err) },
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What a process does that then leaves the work to another is not told.
func TestAbandon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	p := openFiles(t, nil, Flags{TraceFile: path})
	p.Hold()
	ctx, end := p.Start(t.Context(), "build", Past{})
	build(ctx, p.Observer())
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	end(nil)
	if text, err := os.ReadFile(path); err != nil || len(text) > 0 {
		t.Errorf("the file has %q, %v", text, err)
	}

	p = openFiles(t, nil, Flags{TraceFile: path})
	p.Hold()
	ctx, end = p.Start(t.Context(), "build", Past{})
	build(ctx, p.Observer())
	p.Release()
	end(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Count(string(text), `"traceId"`) != 4 {
		t.Errorf("the file has %q, %v; want four spans", text, err)
	}
}

// Files that cannot be written are found before the work, those that cannot be written
// to the end after it.
func TestFiles_wrong(t *testing.T) {
	dir := t.TempDir()
	for _, files := range []Flags{{TraceFile: dir}, {MetricsFile: dir}} {
		p, err := Open(t.Context(), Options{Files: files, LookupEnv: func(string) (string, bool) { return "", false }})
		var wrong *FileError
		if !errors.As(err, &wrong) || wrong.ExitCode() != 73 || wrong.Hint() == "" || !strings.Contains(wrong.Error(), dir) {
			t.Errorf("%v: got %v", files, err)
		}
		if p.Observer() != nil || p.Close() != nil {
			t.Errorf("%v: the provider is on", files)
		}
	}
	if err := (&Flags{TraceFile: "a/b", MetricsFile: "a/./b"}).Check(); err == nil {
		t.Error("two files of one name are no error")
	}
	if runtime.GOOS != "linux" {
		return
	}
	p := openFiles(t, nil, Flags{TraceFile: "/dev/full"})
	_, end := p.Start(t.Context(), "build", Past{})
	end(nil)
	var full *FileError
	if err := p.Close(); !errors.As(err, &full) || full.ExitCode() != 74 {
		t.Errorf("got %v from a full disk", err)
	}
}
