package page

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/timeline"
	"github.com/kaniko-suite/kaniko/shared/timeline/page/pagetest"
)

func seconds(from, to float64) timeline.Span {
	return timeline.Span{Begin: time.Duration(from * float64(time.Second)), End: time.Duration(to * float64(time.Second))}
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// long is a name that no line has room for.
var long = "registry.example.com:5000/" + strings.Repeat("a-long-name-of-a-team", 6) + "/app"

// built is a build of two stages for two platforms, with all that a page can show.
func built() Report {
	t := &timeline.Timeline{
		Began: time.Date(2026, 11, 27, 3, 14, 15, 0, time.UTC), Took: 187 * time.Second,
		Phases: []timeline.Phase{
			{Span: seconds(0, .4), Kind: timeline.Prepare}, {Span: seconds(.4, .6), Kind: timeline.Resolve},
			{Span: seconds(.6, .7), Kind: engine.Ask}, {Span: seconds(180, 187), Kind: engine.Deliver},
		},
		Memory: timeline.Memory{Peak: 181e6, Group: 2e9},
	}
	for i := range 300 {
		t.Memory.Samples = append(t.Memory.Samples, timeline.Sample{At: time.Duration(i) * time.Second * 187 / 300, Process: int64(40e6 + i*4e5), Group: int64(1e9 + i*3e6)})
	}
	for n, platform := range []string{"linux/amd64", "linux/arm64"} {
		at := float64(n) * 90
		t.Stages = append(t.Stages, timeline.Stage{
			Span: seconds(at+.7, at+80), Name: "build", Platform: platform, Several: true, Base: long + ":1@" + digest("b"),
			Phases: []timeline.Phase{{Span: seconds(at+79, at+80), Kind: engine.Unpack}},
			Steps: []timeline.Step{
				{Span: seconds(at+.7, at+.7), Number: 1, Of: 4, Text: "WORKDIR /src", State: timeline.Cached, From: long + "/cache", Digest: digest("1"), Size: 100},
				{Span: seconds(at+.7, at+.7), Number: 2, Of: 4, Text: "ENV A=b", Meta: true, State: timeline.Done},
				{
					Span: seconds(at+.7, at+12), Number: 3, Of: 4, Text: "COPY <all> & \"sundry\" /src", State: timeline.Done, Files: 1000, Digest: digest("2"), Size: 12e6,
					Missed: []string{"file main.go changed", "file <b>bold</b> is new"}, Compress: time.Second,
					Phases: []timeline.Phase{{Span: seconds(at+.7, at+9), Kind: engine.Unpack}, {Span: seconds(at+9, at+12), Kind: engine.Copy}},
				},
				{
					Span: seconds(at+12, at+79), Number: 4, Of: 4, Text: "RUN " + strings.Repeat("make everything && ", 30) + "echo '<script>alert(1)</script>'", State: timeline.Done, Files: 2, Digest: digest("3"), Size: 40e6,
					Missed: []string{"a step before it changed"}, Compress: 2 * time.Second,
					Phases: []timeline.Phase{{Span: seconds(at+12, at+70), Kind: engine.Run}, {Span: seconds(at+70, at+79), Kind: engine.Capture}},
				},
			},
		}, timeline.Stage{
			Span: seconds(at+.7, at+85), Index: 1, Platform: platform, Several: true, Base: "scratch",
			Steps: []timeline.Step{{
				Span: seconds(at+.7, at+85), Number: 1, Of: 1, Text: "COPY --from=build /out /", State: timeline.Done, Files: 1, Digest: digest("4"), Size: 30e6,
				Phases: []timeline.Phase{{Span: seconds(at+.7, at+80), Kind: engine.Wait}, {Span: seconds(at+80, at+85), Kind: engine.Copy}},
			}},
		})
	}
	for i := range 30 {
		t.Transfers = append(t.Transfers, timeline.Transfer{Span: seconds(float64(i), float64(i)+.01), Kind: timeline.Pull, Name: long + "@" + digest("5"), Size: 1000, Moved: 1000})
	}
	t.Transfers = append(t.Transfers,
		timeline.Transfer{Span: seconds(1, 60), Kind: timeline.Pull, Name: long + "@" + digest("6"), Size: 300e6, Moved: 300e6},
		timeline.Transfer{Span: seconds(186.999, 187), Kind: timeline.Push, Name: "localhost:5000/app", Size: -1, Moved: 30e6},
		timeline.Transfer{Span: seconds(85, 90), Kind: timeline.Push, Name: "localhost:5000/cache@" + digest("7"), Size: 1, Err: "out of reach"})
	for _, kind := range []engine.Phase{timeline.Prepare, timeline.Resolve, engine.Ask, timeline.Pull, engine.Unpack, engine.Run, engine.Copy, engine.Capture,
		timeline.Compress, timeline.Push, engine.Deliver, engine.Wait, timeline.Other} {
		t.Totals = append(t.Totals, timeline.Total{Kind: kind, Count: 12, Time: 187 * time.Second, Wall: 93 * time.Second, Bytes: 999_900_000})
	}
	image := func(platform, c string) Image {
		return Image{Platform: platform, Digest: digest(c), Size: 330e6, Base: long + ":1", Below: 1, Layers: []Layer{{digest("0"), 300e6}, {digest("4"), 30e6}, {digest("e"), 1}}}
	}
	skipped := &plan.Stage{Index: 2, Name: "tests"}
	return Report{
		Program: "kaniko executor v1", Names: []string{long + ":latest", "localhost:5000/app:1"}, Digest: digest("f"), Cache: true, Timeline: t,
		Images: []Image{image("linux/amd64", "a"), image("linux/arm64", "b")}, Plans: []*plan.Plan{{Stages: []*plan.Stage{skipped}}},
	}
}

// failed is one whose command failed.
func failed() Report {
	r := built()
	t := r.Timeline
	r.Digest, r.Images, r.Names = "", nil, nil
	t.Stages = t.Stages[:1]
	t.Stages[0].Err = "exit status 7"
	last := &t.Stages[0].Steps[3]
	last.State, last.Err = timeline.Failed, "exit status 7"
	r.Failure = &Failure{
		Error: "Dockerfile:4: RUN make: exit status 7\nand " + strings.Repeat("more", 100), Hint: "try <again>", Excerpt: "> 4 | RUN " + strings.Repeat("make ", 100),
		Output: []string{"\x1b[31mred\x1b[0m <i>words</i>", strings.Repeat("long ", 100)},
	}
	return r
}

// nothing is a build that failed before it began.
func nothing() Report {
	return Report{
		Program: "kaniko executor v1", Failure: &Failure{Error: "no such build context"},
		Timeline: &timeline.Timeline{Began: time.Date(2026, 11, 27, 3, 14, 15, 0, time.UTC), Totals: []timeline.Total{{Kind: timeline.Other}}},
	}
}

// shows is how many bars a report has lines for.
func shows(r Report) int {
	n := len(r.Timeline.Phases) + len(r.Timeline.Transfers)
	for _, st := range r.Timeline.Stages {
		n += len(st.Phases)
		for _, s := range st.Steps {
			if !s.Meta {
				n++
			}
		}
	}
	return n
}

func write(t *testing.T, r Report) (path, text string) {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, b.String()
}

// TestPage_inABrowser has Chromium lay pages out, on a desk and on a phone, light and
// dark, and finds what a reader would stumble over. With KANIKO_SCREENSHOTS it leaves
// pictures in that directory, for people.
func TestPage_inABrowser(t *testing.T) {
	c := pagetest.Start(t)
	for name, r := range map[string]Report{"built": built(), "failed": failed(), "nothing": nothing()} {
		path, _ := write(t, r)
		c.Open(path)
		for _, width := range []int{1280, 360} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s/%d/%s", name, width, scheme), func(t *testing.T) {
					c.For(t)
					c.As(width, scheme)
					look(t, c, r, scheme)
					c.Picture(fmt.Sprintf("%s-%d-%s", name, width, scheme))
				})
			}
		}
		c.For(t)
		if all := c.Requested(path); len(all) > 0 {
			t.Errorf("%s asks for %q", name, all)
		}
		if all := c.Happened("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"); len(all) > 0 {
			t.Errorf("%s makes the browser say %q", name, all)
		}
	}
}

// look finds what is wrong with a page as it is laid out now.
func look(t *testing.T, c *pagetest.Chromium, r Report, scheme string) {
	t.Helper()
	var bad []string
	c.Eval(pagetest.Faults, &bad)
	for _, line := range bad {
		t.Error(line)
	}
	var lines int
	c.Eval(`[...document.querySelectorAll("[role=img].track")].filter(e => e.querySelector(".bar").getBoundingClientRect().width > 0).length`, &lines)
	if want := shows(r); lines != want {
		t.Errorf("%d lines have a bar, of %d", lines, want)
	}
	var back string
	c.Eval(`getComputedStyle(document.body).backgroundColor`, &back)
	if dark := back == "rgb(15, 19, 23)"; dark != (scheme == "dark") {
		t.Errorf("the page is %s", back)
	}
	roles := c.Roles()
	if roles["table"] != 1+len(r.Images) || roles["row"] < len(r.Timeline.Totals) {
		t.Errorf("who does not see the page has %d tables with %d rows", roles["table"], roles["row"])
	}
}

// TestFaults spoils a page in every way that the test above is to find.
func TestFaults(t *testing.T) {
	c := pagetest.Start(t)
	path, _ := write(t, built())
	for what, spoil := range map[string]string{
		"the page is":         `document.querySelector("h1").style.whiteSpace = "nowrap"`,
		"text SPAN.quiet":     `document.documentElement.style.setProperty("--quiet", "#bbb")`,
		"mark bar k-run":      `document.documentElement.style.setProperty("--run", "#eee")`,
		"not to be seen":      `document.querySelectorAll(".bar").forEach(b => b.style.minWidth = 0)`,
		"outside of the plot": `document.querySelector(".bar").style.left = "101%"`,
		"two elements":        `document.querySelectorAll("section")[1].id = "steps"`,
		"leads nowhere":       `document.querySelector("a").href = "#nowhere"`,
		"there are scripts":   `document.body.append(document.createElement("script"))`,
		"words overlap":       `document.querySelector(".fall li .took").style.transform = "translateX(-90%) translateX(-900px)"`,
		"runs over its box":   `document.querySelector(".facts dd").style.whiteSpace = "nowrap"; document.querySelector(".facts dd").textContent = "x".repeat(90)`,
	} {
		t.Run(what, func(t *testing.T) {
			c.For(t)
			c.Open(path)
			c.As(1280, "light")
			var done any
			c.Eval("("+"function () {"+spoil+"; return 1 })()", &done)
			var bad []string
			c.Eval(pagetest.Faults, &bad)
			if text := strings.Join(bad, "\n"); !strings.Contains(text, what) {
				t.Errorf("not found: %s", text)
			}
		})
	}
	c.For(t)
}

// What a Dockerfile and commands write is text, not HTML, and does not move a cursor.
func TestWrite_escapes(t *testing.T) {
	for name, r := range map[string]Report{"built": built(), "failed": failed()} {
		_, text := write(t, r)
		for _, never := range []string{"<script", "<b>bold", "<i>words", "<again>", "<all>", "\x1b"} {
			if strings.Contains(text, never) {
				t.Errorf("%s: the page has %q", name, never)
			}
		}
	}
}

func TestDocument_put(t *testing.T) {
	d := &document{}
	d.put(`<a title="%s" style="left:%v%%">%s%s%d</a>`, `" onclick='x'`, 12.5, timeline.State("<b>"), []string{"&"}, 3)
	want := `<a title="&#34; onclick=&#39;x&#39;" style="left:12.5%">&lt;b&gt;[&amp;]3</a>`
	if diff := cmp.Diff(want, d.b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWrite_says(t *testing.T) {
	_, text := write(t, built())
	for _, want := range []string{
		"3m07s", "2 of 8", "file main.go changed", "a step before it changed", "base image", "all steps of the stage as one", digest("f"),
		"30 small ones, 30.0 kB together", "tests", "for linux/arm64", "181.0 MB", "begun 2026-11-27 03:14:15 UTC", "localhost:5000/app:1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	_, text = write(t, failed())
	for _, want := range []string{"Why it failed", "exit status 7", "try &lt;again&gt;", "red &lt;i&gt;words", "&gt; 4 | RUN", "The build failed before."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of a failure does not say %q", want)
		}
	}
}

// Of very many transfers those that took longest are drawn, and the page says so.
func TestWrite_many(t *testing.T) {
	r := built()
	r.Timeline.Transfers, r.Timeline.Dropped = nil, 7
	for i := range mostTransfers + 600 {
		took := time.Millisecond
		if i == 500 {
			took = time.Minute
		}
		r.Timeline.Transfers = append(r.Timeline.Transfers, timeline.Transfer{
			Span: timeline.Span{Begin: time.Second, End: time.Second + took}, Kind: timeline.Pull, Name: fmt.Sprintf("example.com/pulled-%d", i), Moved: 1,
		})
	}
	_, text := write(t, r)
	if n := strings.Count(text, `title="example.com/pulled-`); n != mostTransfers {
		t.Errorf("%d pulls are drawn", n)
	}
	for _, want := range []string{"There were 607 more", "pulled-500<"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// The same build is the same page.
func TestWrite_again(t *testing.T) {
	_, one := write(t, built())
	_, two := write(t, built())
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
}

func TestAxis(t *testing.T) {
	for whole, want := range map[time.Duration]string{
		0:                       `{"Step":100,"Ticks":null}`,
		3 * time.Millisecond:    `{"Step":33.333,"Ticks":["0@0","0.001s@33.333","0.002s@66.667","0.003s@100"]}`,
		837 * time.Millisecond:  `{"Step":23.895,"Ticks":["0@0","0.2s@23.895","0.4s@47.79","0.6s@71.685","0.8s@95.579"]}`,
		8220 * time.Millisecond: `{"Step":24.331,"Ticks":["0@0","2s@24.331","4s@48.662","6s@72.993","8s@97.324"]}`,
		187 * time.Second:       `{"Step":32.086,"Ticks":["0@0","1m@32.086","2m@64.171","3m@96.257"]}`,
		50 * time.Hour:          `{"Step":32,"Ticks":["0@0","16h00m@32","32h00m@64","48h00m@96"]}`,
	} {
		a := plot{whole}.axis()
		var ticks []string
		for _, tick := range a.Ticks {
			ticks = append(ticks, fmt.Sprintf("%s@%v", tick.Label, tick.At))
		}
		got, err := json.Marshal(map[string]any{"Step": a.Step, "Ticks": ticks})
		if err != nil {
			t.Fatal(err)
		}
		var g, w any
		json.Unmarshal(got, &g)
		json.Unmarshal([]byte(want), &w)
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%v: %s", whole, diff)
		}
	}
}
