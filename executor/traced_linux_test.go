package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// What a traced job has and must not tell.
const (
	plantedSecret   = "planted-secret-4711"
	plantedArgument = "planted-argument-0815"
	plantedPassword = "planted-password-1234"
	plantedText     = "planted-command"
)

// The trace that the job is a part of.
const (
	jobTrace = "0af7651916cd43dd8448eb211c80319c"
	jobSpan  = "b7ad6b7169203331"
)

// job is what a CI job does with the suite, one program after the other.
type job struct {
	t         *testing.T
	dir, host string
	collector *otelcol
	executor  string
}

// TestTraced: a job that warms a base image, builds with an empty cache, with a full one
// and after a change, asks for an explanation, and cleans the cache is one trace for a real collector,
// which has been told of all and of nothing that is nobody's business.
func TestTraced(t *testing.T) {
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	if choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir())); err != nil || choice.Grant == nil || os.Geteuid() != 0 {
		t.Skip("needs root and namespaces")
	}
	j := newJob(t)
	warmer, inspect, cachegc := otherProgram(t, "warmer"), otherProgram(t, "inspect"), otherProgram(t, "cachegc")
	base, app := j.host+"/base:1", j.host+"/app"
	bases := filepath.Join(j.dir, "bases")

	j.run(nil, j.executor, "--context=base", "--destination="+base)
	j.run(j.traced("http/protobuf"), warmer, "--cache-dir="+bases, "--image="+base)
	build := []string{
		"--context=app", "--build-arg=BASE=" + base, "--secret=id=token,src=token", "--cache", "--cache-dir=" + bases,
		"--cache-repo=" + app + "/cache", "--destination=" + app + ":1",
	}
	with := func(more ...string) []string { return append(slices.Clone(build), more...) }

	said := j.run(j.traced("grpc"), j.executor, with("--isolation=namespaces", "--build-arg=WORD="+plantedArgument,
		"--trace-file=out/trace.json", "--metrics-file=out/kaniko.prom")...)
	if !regexp.MustCompile(`parent: 00-` + jobTrace + `-[0-9a-f]{16}-01`).MatchString(said) {
		t.Errorf("the command does not see the trace:\n%s", said)
	}
	said = j.run(j.traced("http/protobuf"), j.executor, with("--isolation=namespaces", "--build-arg=WORD="+plantedArgument)...)
	if strings.Contains(said, "parent: ") {
		t.Errorf("the command runs again:\n%s", said)
	}
	said = j.inPlace(j.traced("http/protobuf"), with("--build-arg=WORD=another-"+plantedArgument, "--trace-file=/kaniko/trace.json", "--cleanup")...)
	if !strings.Contains(said, "parent: 00-"+jobTrace) {
		t.Errorf("in place, the command does not see the trace:\n%s", said)
	}
	j.run(j.traced("grpc"), inspect, "explain", "--cache-repo="+app+"/cache", app+":1")
	said = j.run(j.traced("http/protobuf"), cachegc, "run", app+"/cache", "--ttl=1ns", "--grace=0", "--force-large")
	if !strings.Contains(said, "\ndeleted ") {
		t.Errorf("nothing was cleaned:\n%s", said)
	}
	j.collector.stop()

	spans := readSpans(t, j.collector.traces())
	j.connected(spans)
	j.shape(spans)
	j.cached(spans)
	j.cleaned(spans)
	j.requests(spans)
	j.files(spans)
	j.resent()
	j.told()
	if t.Failed() {
		t.Log(outline(spans))
	}
}

// TestTraced_unreachable: a collector that is not there fails no build, and is one warning.
func TestTraced_unreachable(t *testing.T) {
	executor, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), executor, "--context="+dir, "--no-push", "--trace-file="+dir+"/trace.json")
		cmd.Env = []string{
			"HOME=" + dir, "KANIKO_DIR=" + dir + "/state", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + servertest.FreeAddress(t), "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
		}
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "tracing:") != 1 {
			t.Errorf("%s: %v; want a build, and one warning:\n%s", protocol, err, out)
		}
		if len(readSpans(t, dir+"/trace.json")) == 0 {
			t.Errorf("%s: the file has no spans", protocol)
		}
	}
}

func newJob(t *testing.T) *job {
	hash, err := bcrypt.GenerateFromPassword([]byte(plantedPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	executor, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	j := &job{t: t, dir: t.TempDir(), executor: executor, collector: startCollector(t)}
	j.host = registrytest.Real(t, registrytest.RealConfig{Htpasswd: "alice:" + string(hash) + "\n"})
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	j.write("base/busybox", string(program), 0o755)
	j.write("base/Dockerfile", "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/cat\n", 0o644)
	j.write("app/hello", "hello", 0o644)
	j.write("app/Dockerfile", `ARG BASE
FROM $BASE AS build
ARG WORD
COPY hello /hello
RUN --mount=type=secret,id=token echo `+plantedText+` > /dev/null; echo "parent: $TRACEPARENT"; echo "$WORD" > /word; cat /run/secrets/token > /dev/null
FROM $BASE
COPY --from=build /word /word
RUN cat /word > /copy
`, 0o644)
	j.write("token", plantedSecret, 0o600)
	j.write("config.json", fmt.Sprintf(`{"auths": {%q: {"username": "alice", "password": %q}}}`, j.host, plantedPassword), 0o600)
	return j
}

func (j *job) write(name, text string, mode os.FileMode) {
	j.t.Helper()
	path := filepath.Join(j.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		j.t.Fatal(err)
	}
}

// traced is the environment of a part of the job.
func (j *job) traced(protocol string) []string {
	return append(j.collector.environment(protocol), "TRACEPARENT=00-"+jobTrace+"-"+jobSpan+"-01")
}

// run runs a program, and returns what it said.
func (j *job) run(env []string, program string, args ...string) string {
	j.t.Helper()
	cmd := exec.CommandContext(j.t.Context(), program, args...)
	cmd.Dir = j.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/", "DOCKER_CONFIG=" + j.dir, "KANIKO_DIR=" + filepath.Join(j.dir, "state")}, env...)
	return j.said(cmd)
}

// inPlace runs the executor with a root of its own, which it builds in.
func (j *job) inPlace(env []string, args ...string) string {
	j.t.Helper()
	root := filepath.Join(j.dir, "jail")
	if err := os.MkdirAll(root, 0o755); err != nil {
		j.t.Fatal(err)
	}
	cmd := exec.CommandContext(j.t.Context(), j.executor,
		append([]string{"--isolation=in-place", "--force", "--kaniko-dir=" + conformance.JailState}, args...)...)
	cmd.SysProcAttr, cmd.Env = conformance.Jail(root, j.dir)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME=/", "TMPDIR="+conformance.JailState, "DOCKER_CONFIG=.")
	cmd.Env = append(cmd.Env, env...)
	return j.said(cmd)
}

func (j *job) said(cmd *exec.Cmd) string {
	j.t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		j.t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	if strings.Contains(string(out), "tracing:") {
		j.t.Errorf("%s: a warning of tracing:\n%s", cmd.Args[0], out)
	}
	return string(out)
}

// connected: there is one trace, and each span is in another of it or in the job's.
func (j *job) connected(spans map[string]span) {
	var roots []string
	for _, s := range spans {
		if s.TraceID != jobTrace {
			j.t.Errorf("%s is in the trace %s", s.Name, s.TraceID)
		}
		if s.ParentSpanID == jobSpan {
			roots = append(roots, s.service+" "+s.Name)
		} else if _, ok := spans[s.ParentSpanID]; !ok {
			j.t.Errorf("what %s is in is not there", s.Name)
		}
	}
	slices.Sort(roots)
	want := []string{"kaniko-cachegc cachegc.run", "kaniko-executor build", "kaniko-executor build", "kaniko-executor build", "kaniko-inspect explain", "kaniko-warmer warm"}
	if !slices.Equal(roots, want) {
		j.t.Errorf("the roots are %q, want %q", roots, want)
	}
}

// shape: what lies within what, as docs/tracing.md says.
func (j *job) shape(spans map[string]span) {
	within := map[string][]string{
		"context": {"build"}, "parse": {"build"}, "plan": {"build"}, "sandbox": {"build"}, "resolve": {"plan"}, "ask": {"build"}, "prepare": {"build"}, "deliver": {"build"},
		"stage": {"build"}, "COPY": {"stage"}, "RUN": {"stage"},
		"copy": {"COPY"}, "run": {"RUN"}, "capture": {"RUN"}, "encode": {"copy", "capture"}, "unpack": {"RUN", "COPY", "stage"}, "decode": {"unpack"},
		"cache.get":    {"ask", "stage", "COPY", "RUN"},
		"cachegc.list": {"cachegc.run"}, "cachegc.decide": {"cachegc.run"}, "cachegc.delete": {"cachegc.run"},
	}
	seen := map[string]int{}
	for _, s := range spans {
		seen[s.Name]++
		parent := spans[s.ParentSpanID].Name
		if want, ok := within[s.Name]; ok && !slices.Contains(want, parent) {
			j.t.Errorf("%s is in %s, want one of %q", s.Name, parent, want)
		}
	}
	for _, name := range append(slices.Collect(maps.Keys(within)), "pull", "push", "cache.put", "GET", "PUT", "POST", "HEAD") {
		if seen[name] == 0 {
			j.t.Errorf("there is no span %s", name)
		}
	}
}

// cached: each RUN of the first build was made, each of the second found, and the third
// has its reasons.
func (j *job) cached(spans map[string]span) {
	reasons := map[string]int{}
	for _, s := range spans {
		if s.Name != "RUN" {
			continue
		}
		reasons[strings.TrimSpace(s.attribute("kaniko.cache.result")+" "+s.attribute("kaniko.cache.reason"))]++
		if s.attribute("kaniko.instruction") != "RUN" || s.attribute("kaniko.at") == "" || s.attribute("kaniko.text") != "" {
			j.t.Errorf("a RUN has %v", s.Attributes)
		}
	}
	for _, want := range []string{"hit", "miss no entry", "miss argument changed"} {
		if reasons[want] == 0 {
			j.t.Errorf("no RUN is %q: %v", want, reasons)
		}
	}
}

// cleaned: what was deleted was deleted in its part of the cleaning, and there was
// something.
func (j *job) cleaned(spans map[string]span) {
	within := map[string]int{}
	for _, s := range spans {
		if s.service == "kaniko-cachegc" && s.Name == "DELETE" {
			within[spans[s.ParentSpanID].Name]++
		}
	}
	if within["cachegc.delete"] == 0 || within["cachegc.list"]+within["cachegc.decide"] > 0 {
		j.t.Errorf("requests to delete, by what they are in: %v", within)
	}
}

// requests: each says what it was for and what came of it.
func (j *job) requests(spans map[string]span) {
	sent, received := false, false
	for _, s := range spans {
		if s.Kind != 3 { // a client's
			continue
		}
		for _, name := range []string{"http.request.method", "http.route", "server.address", "server.port"} {
			if s.attribute(name) == "" {
				j.t.Errorf("a request has no %s: %v", name, s.Attributes)
			}
		}
		// That the registry does not speak TLS is found out by a request without an answer.
		if s.attribute("http.response.status_code") == "" && s.attribute("error.type") == "" {
			j.t.Errorf("nothing came of a request: %v", s.Attributes)
		}
		sent = sent || s.attribute("http.request.body.size") != ""
		received = received || s.attribute("http.response.body.size") != ""
	}
	if !sent || !received {
		j.t.Errorf("bytes are counted: sent %v, received %v", sent, received)
	}
}

// files: what a program wrote itself is what it sent.
func (j *job) files(spans map[string]span) {
	for _, path := range []string{"out/trace.json", "jail/kaniko/trace.json"} {
		own := readSpans(j.t, filepath.Join(j.dir, path))
		for id, s := range own {
			if sent, ok := spans[id]; !ok || sent.Name != s.Name || sent.ParentSpanID != s.ParentSpanID || sent.TraceID != s.TraceID {
				j.t.Errorf("%s has a span %s that the collector has not", path, s.Name)
			}
		}
		if build := slices.ContainsFunc(slices.Collect(maps.Values(own)), func(s span) bool { return s.Name == "build" }); !build {
			j.t.Errorf("%s is not whole", path)
		}
	}
	for path, words := range map[string][]string{
		filepath.Join(j.dir, "out/kaniko.prom"): {"kaniko_transfer_io_bytes_total{", "kaniko_cache_steps_total{", "kaniko_memory_peak_bytes{", "kaniko_run_duration_seconds{"},
		j.collector.metrics():                   {`"kaniko.transfer.io"`, `"http.client.request.duration"`, `"kaniko-warmer"`, `"kaniko-inspect"`, `"kaniko-cachegc"`},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			j.t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				j.t.Errorf("%s has no %s", path, word)
			}
		}
	}
}

// resent: a collector takes the lines of a file as they are, and they are the same spans.
func (j *job) resent() {
	path := filepath.Join(j.dir, "out/trace.json")
	text, err := os.ReadFile(path)
	if err != nil {
		j.t.Fatal(err)
	}
	other := startCollector(j.t)
	for line := range strings.Lines(string(text)) {
		resp, err := http.Post("http://"+other.overHTTP+"/v1/traces", "application/json", strings.NewReader(line))
		if err != nil {
			j.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			j.t.Errorf("the collector answers %s to a line of the file", resp.Status)
		}
	}
	other.stop()
	if diff := cmp.Diff(readSpans(j.t, path), readSpans(j.t, other.traces()), cmp.AllowUnexported(span{})); diff != "" {
		j.t.Errorf("the file and what a collector makes of it:\n%s", diff)
	}
}

// told: what must not be told is nowhere.
func (j *job) told() {
	for _, path := range []string{
		j.collector.traces(), j.collector.metrics(), filepath.Join(j.dir, "out/trace.json"), filepath.Join(j.dir, "out/kaniko.prom"),
		filepath.Join(j.dir, "jail/kaniko/trace.json"),
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			j.t.Fatal(err)
		}
		for _, word := range []string{plantedSecret, plantedArgument, plantedPassword, plantedText, "alice"} {
			if strings.Contains(string(text), word) {
				j.t.Errorf("%s tells %s", path, word)
			}
		}
	}
}

// outline is the trace for people.
func outline(spans map[string]span) string {
	var out strings.Builder
	var show func(parent, indent string)
	show = func(parent, indent string) {
		for id, s := range spans {
			if s.ParentSpanID == parent {
				fmt.Fprintf(&out, "%s%s %s%s\n", indent, s.Name, s.attribute("http.route"), s.attribute("kaniko.cache.reason"))
				show(id, indent+"  ")
			}
		}
	}
	show(jobSpan, "")
	return out.String()
}
