package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

func findings() Findings {
	return Findings{
		File: "a b/Dockerfile", Version: "v1",
		Warnings: []dockerfile.Warning{
			{At: dockerfile.Location{File: "x", Line: 2, Last: 3}, Rule: "UndefinedVar", Text: "$a <&> \x1b[2J"},
			{At: dockerfile.Location{File: "x"}, Rule: dockerfile.UnusedBuildArg, Text: "unused"},
		},
		Fault: &dockerfile.Error{At: dockerfile.Location{File: "x", Line: 9}, Err: errors.New("no"), Advice: "do"},
	}
}

func write(t *testing.T, f interface {
	Write(w *bytes.Buffer) error
}) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type findingsAs struct {
	Findings
	format Format
}

func (f findingsAs) Write(w *bytes.Buffer) error { return f.Findings.Write(w, f.format) }

type buildAs struct {
	Build
	format Format
}

func (b buildAs) Write(w *bytes.Buffer) error { return b.Build.Write(w, b.format) }

func TestFindings_text(t *testing.T) {
	want := `a b/Dockerfile:2: UndefinedVar: $a <&>  [2J
a b/Dockerfile: UnusedBuildArg: unused
a b/Dockerfile:9: DockerfileError: no
`
	if got := write(t, findingsAs{findings(), Text}); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := write(t, findingsAs{Findings{File: "x"}, Text}); got != "" {
		t.Errorf("nothing found is %q", got)
	}
}

func TestFindings_json(t *testing.T) {
	var got struct{ Findings []finding }
	if err := json.Unmarshal([]byte(write(t, findingsAs{findings(), JSON})), &got); err != nil {
		t.Fatal(err)
	}
	want := []finding{
		{File: "a b/Dockerfile", Line: 2, LastLine: 3, Rule: "UndefinedVar", Level: "warning", Text: "$a <&> \x1b[2J", Help: help + "#undefinedvar"},
		{File: "a b/Dockerfile", Rule: "UnusedBuildArg", Level: "note", Text: "unused", Help: help + "#unusedbuildarg"},
		{File: "a b/Dockerfile", Line: 9, Rule: "DockerfileError", Level: "error", Text: "no", Hint: "do", Help: help + "#dockerfileerror"},
	}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Error(diff)
	}
	if got := write(t, findingsAs{Findings{}, JSON}); got != "{\n  \"findings\": []\n}\n" {
		t.Errorf("nothing found is %s", got)
	}
}

func TestFindings_levels(t *testing.T) {
	f := findings()
	if n := f.Warned(); n != 1 {
		t.Errorf("%d warnings: notes are none", n)
	}
	f.Strict = true
	for i, want := range []level{levelError, levelNote, levelError} {
		if got := f.list()[i].Level; got != want {
			t.Errorf("strict, finding %d is of level %s, want %s", i, got, want)
		}
	}
}

func TestFindings_sarif(t *testing.T) {
	var log sarifLog
	if err := json.Unmarshal([]byte(write(t, findingsAs{findings(), SARIF})), &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("version %q, %d runs", log.Version, len(log.Runs))
	}
	run := log.Runs[0]
	rules := run.Tool.Driver.Rules
	if len(rules) != len(dockerfile.Rules())+1 {
		t.Errorf("%d rules", len(rules))
	}
	for _, r := range rules {
		if r.ShortDescription.Text == "" || !strings.HasPrefix(r.HelpURI, help+"#") {
			t.Errorf("rule %+v", r)
		}
		if r.DefaultConfiguration.Enabled == (r.ID == "InvalidDefinitionDescription") {
			t.Errorf("rule %s is on: %v", r.ID, r.DefaultConfiguration.Enabled)
		}
	}
	var got []string
	for _, r := range run.Results {
		if rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s has the index of %s", r.RuleID, rules[r.RuleIndex].ID)
		}
		place := r.Locations[0].Physical
		if place.Artifact.URI != "a%20b/Dockerfile" {
			t.Errorf("URI %s", place.Artifact.URI)
		}
		if (place.Region == nil) != (r.RuleID == dockerfile.UnusedBuildArg) {
			t.Errorf("%s has the region %+v", r.RuleID, place.Region)
		}
		got = append(got, string(r.Level)+" "+r.Message.Text)
	}
	if want := []string{"warning $a <&> \x1b[2J", "note unused", "error no (do)"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if uri := fileURI("/a:b/c"); uri != "file:///a:b/c" {
		t.Errorf("absolute: %s", uri)
	}
}

func TestParseFormat(t *testing.T) {
	if f, err := ParseFormat("json", Text, JSON); f != JSON || err != nil {
		t.Errorf("got %q, %v", f, err)
	}
	_, err := ParseFormat("sarif", Text, JSON)
	if want := `--format is "sarif": it must be text or json`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// images has every image, each with two layers and the digest 11…1.
type images struct{}

func digest() v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)} }

func (images) Resolve(_ context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	config := &v1.ConfigFile{RootFS: v1.RootFS{DiffIDs: []v1.Hash{digest(), digest()}}}
	return &plan.Image{Ref: ref, Digest: digest(), Platform: p, Config: config}, nil
}

func build(t *testing.T, text string, o plan.Options) Build {
	t.Helper()
	f, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Bases, o.BuildPlatform = images{}, v1.Platform{OS: "linux", Architecture: "amd64"}
	p, err := plan.Compile(t.Context(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	has := func(id string) bool { return id == "here" }
	return Build{File: f, Path: "Dockerfile", Plan: p, Secret: has, Agent: has}
}

const everything = `FROM go:1 AS tools
COPY . /src
RUN --mount=type=secret,id=here --mount=type=secret,id=gone,required=true --mount=type=ssh,id=here --mount=type=cache,target=/c make
USER app
RUN --network=none --mount=type=cache,target=/c --mount=type=bind,from=other:2,target=/o test
ADD http://me:pass@example.com/f /f
FROM scratch AS unused
FROM base:1 AS last
COPY --from=tools /src /
COPY --from=named /a /
CMD ["x"]
FROM scratch AS after
`

func TestBuild_text(t *testing.T) {
	b := build(t, everything, plan.Options{Target: "last", Contexts: map[string]plan.Context{"named": {}}})
	b.Destinations = []string{"example.com/out"}
	b.Sandbox = Sandbox{Needed: true, Driver: "in-place", Reason: "refused:\n  here", Obstacles: []string{"none"}, Capabilities: InPlace(b.Plan)}
	const at = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	want := `target stage 2 last for linux/amd64

Dockerfile:1: stage 0 tools from go:1` + at + ` (linux/amd64, 2 layers) for linux/amd64
  Dockerfile:2: COPY . /src
      from the build context
  Dockerfile:3: RUN --mount=type=secret,id=here --mount=type=secret,id=gone,required=true --mount=type=ssh,id=her...
      mount secret here at /run/secrets/here
      mount secret gone at /run/secrets/gone, required
      mount ssh here at /run/buildkit/ssh_agent.0
      mount cache /c at /c
  Dockerfile:4: USER app
  Dockerfile:5: RUN --network=none --mount=type=cache,target=/c --mount=type=bind,from=other:2,target=/o test
      user app
      mount cache /c at /c
      mount bind from other:2` + at + ` (linux/amd64, 2 layers) at /o
      no network
  Dockerfile:6: ADD http://me:pass@example.com/f /f
      fetches http://me:xxxxx@example.com/f

Dockerfile:8: stage 2 last from base:1` + at + ` (linux/amd64, 2 layers) for linux/amd64
  Dockerfile:9: COPY --from=tools /src /
      from stage 0
  Dockerfile:10: COPY --from=named /a /
      from build context named
  Dockerfile:11: CMD ["x"]

left out
  Dockerfile:7: stage 1 unused: the target takes nothing from it
  Dockerfile:12: stage 3 after: it comes after the target

needs
  image        go:1` + at + ` (linux/amd64, 2 layers)
  image        other:2` + at + ` (linux/amd64, 2 layers)
  image        base:1` + at + ` (linux/amd64, 2 layers)
  network      pull go:1
  network      pull other:2
  network      pull base:1
  network      fetch http://me:xxxxx@example.com/f
  network      push example.com/out
  network      1 command that may use it
  secret       here: given (line 3)
  secret       gone: missing, and required (line 3)
  ssh agent    here: given (line 3)
  cache        /c, shared (lines 3, 5)
  sandbox      in-place
  because      refused:
               here
  obstacle     none
  capability   CAP_CHOWN for unpacking layers
  capability   CAP_DAC_OVERRIDE for unpacking layers
  capability   CAP_FOWNER for unpacking layers
  capability   CAP_MKNOD for layers with device nodes, if there are any
  capability   CAP_SETUID for USER
  capability   CAP_SETGID for USER

reused
  2 layers of base:1 as they are
`
	if diff := cmp.Diff(want, write(t, buildAs{b, Text})); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_nothingRuns(t *testing.T) {
	got := write(t, buildAs{build(t, "FROM scratch\nCOPY a /\n", plan.Options{}), Text})
	for _, want := range []string{"none: nothing is run", "\nreused\n  nothing\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	for _, bad := range []string{"image ", "network", "capability", "left out"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is in\n%s", bad, got)
		}
	}
}

// The JSON has every list, also where it is empty, and what the text has.
func TestBuild_json(t *testing.T) {
	var empty map[string]any
	if err := json.Unmarshal([]byte(write(t, buildAs{build(t, "FROM scratch\n", plan.Options{}), JSON})), &empty); err != nil {
		t.Fatal(err)
	}
	for _, list := range strings.Fields("stages leftOut images network secrets ssh caches reuse destinations warnings") {
		if _, ok := empty[list].([]any); !ok {
			t.Errorf("%s is %v, not a list", list, empty[list])
		}
	}
	var got planned
	b := build(t, everything, plan.Options{Target: "last", Contexts: map[string]plan.Context{"named": {}}})
	if err := json.Unmarshal([]byte(write(t, buildAs{b, JSON})), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.describe(), got); diff != "" {
		t.Errorf("what is written is not what is read (-want +got):\n%s", diff)
	}
	want := []given{{ID: "here", Given: true, Lines: []int{3}}, {ID: "gone", Required: true, Lines: []int{3}}}
	if diff := cmp.Diff(want, got.Secrets); diff != "" {
		t.Error(diff)
	}
	if !got.Stages[0].Sandbox || got.Stages[1].Sandbox {
		t.Errorf("sandboxes: %v, %v", got.Stages[0].Sandbox, got.Stages[1].Sandbox)
	}
}

// Only a user of its own asks for the right to become one.
func TestInPlace(t *testing.T) {
	for user, want := range map[string]bool{"root": false, "0:0": false, "root:app": true, "7": true} {
		p := build(t, "FROM scratch\nUSER "+user+"\nRUN [\"x\"]\n", plan.Options{}).Plan
		got := slices.ContainsFunc(InPlace(p), func(c Capability) bool { return c.Name == "CAP_SETUID" })
		if got != want {
			t.Errorf("USER %s: %v", user, got)
		}
	}
}
