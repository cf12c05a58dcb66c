package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/shared/timeline/page/pagetest"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

var errNothing = fmt.Errorf("nothing")

// long is a name that no line has room for.
func long() string {
	return "registry.example.com:5000/" + strings.Repeat("a-long-name-of-a-team", 6) + "/app"
}

// several is the comparison of two indexes, with all that a report can show.
func several() *compare.Result {
	r := &compare.Result{
		Version: 1, Verdict: compare.Different, Level: compare.Content, Preset: compare.Semantic, Counted: 7, Ignored: 2,
		A:           compare.Side{Name: long() + ":1", Digest: digest("a"), MediaType: "application/vnd.oci.image.index.v1+json"},
		B:           compare.Side{Name: long() + ":2", Digest: digest("b"), MediaType: "application/vnd.oci.image.index.v1+json"},
		Differences: []compare.Difference{{Level: compare.Manifest, Path: "index", Field: "annotation.a", A: "(none)", B: "<script>alert(1)</script>"}},
		Rules:       []compare.RuleCount{{Rule: "/var/log/** (logs | <b>)", Count: 1}, {Rule: "mtime (x)", Count: 0}},
		Notes:       []string{"the rule mtime (x) met no difference", "\x1b[31mred"},
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64/v8"} {
		r.Images = append(r.Images, compare.Pair{
			Platform: platform, Verdict: compare.Different, A: &compare.Side{Digest: digest("1"), Size: 31e6}, B: &compare.Side{Digest: digest("2"), Size: 29e6},
			Layers: []compare.LayerPair{
				{A: 1, B: 1, State: compare.LayerEqual, DigestA: digest("3"), DigestB: digest("3"), SizeA: 29e6, SizeB: 29e6, CreatedBy: "ADD file:" + digest("4") + " in /"},
				{A: 2, B: 2, State: compare.LayerRecompressed, SizeA: 2e6, SizeB: 1500, CreatedBy: "RUN " + strings.Repeat("make everything && ", 30)},
				{A: 3, B: 4, State: compare.LayerDiffers, SizeA: 2e6, SizeB: 1500, CreatedBy: "COPY <all> & \"sundry\" /src", Read: "archive"},
				{B: 3, State: compare.LayerAdded, SizeB: 1500},
			},
			Differences: []compare.Difference{
				{Level: compare.Config, Path: "config", Field: "label." + strings.Repeat("org.example", 9), A: strings.Repeat("x", 900), B: "(none)"},
				{Level: compare.Layers, LayerA: 2, LayerB: 2, Field: "recompressed", A: "gzip", B: "zstd", Ignored: "semantic: how layers are compressed"},
				{Level: compare.Files, LayerA: 3, LayerB: 4, Path: "/src/" + strings.Repeat("deep/", 40) + "a|b`c*", Field: "content", A: digest("5"), B: digest("6"), Text: "@@ -1,2 +1,2 @@\n same\n-<i>old</i> " + strings.Repeat("long ", 80) + "\n+new\x1b[0m ``` ````\n"},
				{Level: compare.Files, LayerA: 3, LayerB: 4, Path: "/etc/\x1bpasswd", Field: "mode", A: "0644", B: "0755"},
			},
		})
	}
	r.Images = append(r.Images, compare.Pair{
		Platform: "linux/amd64", Attestation: true, Verdict: compare.Different, B: &compare.Side{Digest: digest("9")},
		Differences: []compare.Difference{{Level: compare.Manifest, Path: "linux/amd64 (attestation)", Field: "added", A: "(none)", B: digest("9")}},
	})
	return r
}

// many has more differences than a comment has room for.
func many() *compare.Result {
	r := several()
	p := &r.Images[0]
	for i := range 2500 {
		p.Differences = append(p.Differences, compare.Difference{Level: compare.Files, LayerA: 3, LayerB: 4, Path: fmt.Sprintf("/many/%d", i), Field: "mtime", A: "2026-11-27T03:00:00Z", B: "2026-11-27T04:00:00Z"})
	}
	r.Counted += 2500
	return r
}

func identical() *compare.Result {
	return compare.SameDigest(compare.Side{Name: "a", Digest: digest("a")}, compare.Side{Name: "b", Digest: digest("a")}, compare.Options{})
}

func results() map[string]*compare.Result {
	return map[string]*compare.Result{"several": several(), "many": many(), "identical": identical()}
}

func write(t *testing.T, form string, r *compare.Result, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, form, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every form says the same thing twice, lists what it is to, and has nothing in it that
// moves a cursor or is markup of somebody else's.
func TestWrite(t *testing.T) {
	for _, form := range Forms() {
		for what, r := range results() {
			text := write(t, form, r, Options{Ignored: true})
			if again := write(t, form, r, Options{Ignored: true}); again != text {
				t.Errorf("%s of %s is not the same twice", form, what)
			}
			if form != JSON && strings.Contains(text, "\x1b") {
				t.Errorf("%s of %s moves the cursor", form, what)
			}
			for _, never := range []string{"<script>alert", "<i>old", "<all>"} {
				if (form == HTML || form == Markdown && !strings.Contains(never, "old") || form == JUnit) && strings.Contains(text, never) {
					t.Errorf("%s of %s has %q", form, what, never)
				}
			}
			if what != "several" {
				continue
			}
			for _, want := range []string{"recompressed", "0755", "linux/arm64/v8", "passwd"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s does not say %q", form, want)
				}
			}
			if strings.Contains(write(t, form, r, Options{}), "how layers are compressed") {
				t.Errorf("%s lists what is ignored", form)
			}
			if !strings.Contains(text, "how layers are compressed") {
				t.Errorf("%s does not list what is ignored", form)
			}
		}
	}
	if err := Write(&strings.Builder{}, "pdf", identical(), Options{}); err == nil {
		t.Error("pdf is a form")
	}
}

// broken is a writer that has no room.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errNothing }

func TestWrite_fails(t *testing.T) {
	for _, form := range Forms() {
		if err := Write(broken{}, form, identical(), Options{}); err == nil {
			t.Errorf("%s was written", form)
		}
	}
}

func TestTable(t *testing.T) {
	r := identical()
	want := "a  a  " + digest("a") + "\nb  b  " + digest("a") + "\n\nidentical: both are " + digest("a") + "\n"
	if diff := cmp.Diff(want, write(t, Table, r, Options{})); diff != "" {
		t.Error(diff)
	}
}

func TestJSON(t *testing.T) {
	var got struct {
		Version int
		Verdict string
		Level   string
		Images  []struct {
			Platform    string
			Differences []map[string]any
		}
		Counted, Ignored int
	}
	if err := json.Unmarshal([]byte(write(t, JSON, many(), Options{})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Verdict != "different" || got.Level != "content" || len(got.Images) != 3 || got.Ignored != 2 || len(got.Images[0].Differences) != 2503 {
		t.Errorf("%+v", got)
	}
	want := map[string]any{"level": "config", "path": "config", "field": "label." + strings.Repeat("org.example", 9), "a": strings.Repeat("x", 900), "b": "(none)"}
	if diff := cmp.Diff(want, got.Images[0].Differences[0]); diff != "" {
		t.Error(diff)
	}
	text := write(t, JSON, identical(), Options{})
	for _, key := range []string{`"images": []`, `"differences": []`} {
		if !strings.Contains(text, key) {
			t.Errorf("no %s in %s", key, text)
		}
	}
}

// A comment is never too long, is closed, and says what it has left out.
func TestMarkdown(t *testing.T) {
	for what, r := range results() {
		text := write(t, Markdown, r, Options{Ignored: true})
		if len(text) > maxMarkdown {
			t.Errorf("%s: %d bytes", what, len(text))
		}
		if open, closed := strings.Count(text, "<details>"), strings.Count(text, "</details>"); open != closed {
			t.Errorf("%s: %d parts are opened and %d closed", what, open, closed)
		}
		if cut := strings.Contains(text, "**Cut off**"); cut != (what == "many") {
			t.Errorf("%s: cut off: %v", what, cut)
		}
	}
	text := write(t, Markdown, several(), Options{})
	if !strings.Contains(text, "`````diff\n") {
		t.Error("the fence is not longer than what is in it")
	}
	if !strings.Contains(text, "a&#124;b&#96;c&#42;") {
		t.Error("a path is markup")
	}
}

func TestJUnit(t *testing.T) {
	var got suites
	if err := xml.Unmarshal([]byte(write(t, JUnit, several(), Options{})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Failures != 6 || got.Tests != 15 || len(got.Suites) != 4 {
		t.Errorf("%d of %d cases in %d suites fail", got.Failures, got.Tests, len(got.Suites))
	}
	var names []string
	for _, c := range got.Suites[1].Cases {
		name := c.Name
		if c.Failure != nil {
			name += " " + c.Failure.Message
		}
		names = append(names, name)
	}
	want := []string{"manifest", "config 1 difference", "layer 1", "layer 2", "layers 3|4 2 differences", "layer 3 of b"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// Of very many differences some are shown, and the page says so.
func TestPage_many(t *testing.T) {
	text := write(t, HTML, many(), Options{})
	if n := strings.Count(text, "/many/"); n >= 2500 || n < 1900 {
		t.Errorf("%d are shown", n)
	}
	if !strings.Contains(text, "There are 502 more") {
		t.Error("the page does not say how many there are")
	}
}

// TestPage_inABrowser has Chromium lay pages out, on a desk and on a phone, light and
// dark, and finds what a reader would stumble over.
func TestPage_inABrowser(t *testing.T) {
	c := pagetest.Start(t)
	for what, r := range results() {
		path := filepath.Join(t.TempDir(), "diff.html")
		if err := os.WriteFile(path, []byte(write(t, HTML, r, Options{Ignored: true})), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Open(path)
		for _, width := range []int{1280, 360} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s/%d/%s", what, width, scheme), func(t *testing.T) {
					c.For(t)
					c.As(width, scheme)
					var bad []string
					c.Eval(pagetest.Faults, &bad)
					for _, line := range bad[:min(10, len(bad))] {
						t.Error(line)
					}
					var back string
					c.Eval(`getComputedStyle(document.body).backgroundColor`, &back)
					if dark := back == "rgb(15, 19, 23)"; dark != (scheme == "dark") {
						t.Errorf("the page is %s", back)
					}
					if what != "many" {
						c.Picture(fmt.Sprintf("diff-%s-%d-%s", what, width, scheme))
					}
				})
			}
		}
		c.For(t)
		if what == "several" {
			if n := c.Roles()["table"]; n != 11 {
				t.Errorf("who does not see the page has %d tables", n)
			}
		}
		if all := slices.Concat(c.Requested(path), c.Happened("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")); len(all) > 0 {
			t.Errorf("%s makes the browser ask or say %q", what, all)
		}
	}
}
