package page

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// view is what is on the page: words and numbers, nothing to decide.
type view struct {
	Report
	Title      string
	State      string // "built" or "failed"
	DigestOf   string
	When       string
	FailedStep *stepRef
	Facts      []fact
	Brief      []sentence
	Kinds      []kindRow
	Legend     []legend
	Axis       axis
	Groups     []group
	NotShown   string
	CacheText  string
	Stages     []stageView
	Unbegun    []string
	UnbegunWhy string
	Several    bool // images
	Images     []imageView
	Memory     *chart
	Words      []fact
}

// fact is a number with its name, or a word with its meaning.
type fact struct{ Name, Value, Note string }

// sentence has a step in its middle.
type sentence struct {
	Before string
	Step   *stepRef
	After  string
}

// stepRef names a step where another part of the page speaks of it.
type stepRef struct{ Anchor, Label, Text string }

// builder makes a view.
type builder struct {
	Report
	t       *timeline.Timeline
	plot    plot
	anchors map[*timeline.Step]string
}

func newView(r Report) *view {
	b := &builder{Report: r, t: r.Timeline, plot: plot{r.Timeline.Took}, anchors: anchors(r.Timeline)}
	if r.Failure != nil {
		f := *r.Failure
		f.Output = nil
		for _, line := range r.Failure.Output {
			f.Output = append(f.Output, plain(line))
		}
		b.Report.Failure = &f
	}
	v := &view{
		Report: b.Report, Title: b.title(), DigestOf: "image",
		When: "begun " + b.t.Began.UTC().Format("2006-01-02 15:04:05") + " UTC", Facts: b.facts(), Brief: b.brief(),
		Kinds: b.kinds(), Legend: b.legend(), Axis: b.plot.axis(), CacheText: b.cacheText(), Stages: b.stages(),
		Several: len(r.Images) > 1, Images: b.images(), Memory: b.memory(), Words: words(),
	}
	v.State = "built"
	if r.Failure != nil {
		v.State, v.FailedStep = "failed", b.failedStep()
	}
	if v.Several {
		v.DigestOf = "index"
	}
	v.Groups, v.NotShown = b.groups()
	v.Unbegun, v.UnbegunWhy = b.unbegun()
	return v
}

// title is the image's name, the others are listed below it.
func (b *builder) title() string {
	switch {
	case len(b.Names) > 0:
		first := b.Names[0]
		b.Names = b.Names[1:]
		return first
	case b.Failure != nil:
		return "An image that was not built"
	}
	return "An image without a name"
}

func (b *builder) facts() []fact {
	took := fact{Name: "Took", Value: timeline.Seconds(b.t.Took)}
	all := []fact{took}
	if cached, steps := b.t.Steps(); steps > 0 {
		all = append(all, fact{"Steps from the cache", fmt.Sprintf("%d of %d", cached, steps), ""})
	}
	if size := b.imagesSize(); size > 0 {
		layers := 0
		for _, img := range b.Report.Images {
			layers += len(img.Layers)
		}
		all = append(all, fact{"Size, compressed", timeline.Bytes(size), count(layers, "layer")})
	}
	for _, kind := range []engine.Phase{timeline.Pull, timeline.Push} {
		name := map[engine.Phase]string{timeline.Pull: "Pulled", timeline.Push: "Pushed"}[kind]
		if total := b.t.Total(kind); total.Count > 0 {
			all = append(all, fact{name, timeline.Bytes(total.Bytes), "in " + timeline.Seconds(total.Wall)})
		}
	}
	if peak := b.t.Memory.Peak; peak > 0 {
		all = append(all, fact{"Memory", timeline.Bytes(peak), "at most, the executor alone"})
	}
	return all
}

func (b *builder) imagesSize() (size int64) {
	for _, img := range b.Report.Images {
		size += img.Size
	}
	return size
}

// brief says what a user would look for: what took longest, and where the cache ended.
func (b *builder) brief() []sentence {
	var all []sentence
	for i, r := range b.t.Slowest(3) {
		before := "Longest at work: "
		if i > 0 {
			before = "then "
		}
		all = append(all, sentence{before, b.ref(r), ", " + timeline.Seconds(r.Step.Work()) + " (" + r.Step.Split() + ")"})
	}
	if first := b.firstMiss(); first != nil {
		why := "."
		if len(first.Step.Missed) > 0 {
			why = ": " + first.Step.Missed[0]
		}
		all = append(all, sentence{"The first step that the cache did not have: ", b.ref(*first), why})
	}
	return all
}

// firstMiss is the first step of the first stage that has one which the cache was to
// have had.
func (b *builder) firstMiss() *timeline.Ranked {
	if !b.Cache {
		return nil
	}
	for i := range b.t.Stages {
		st := &b.t.Stages[i]
		for j := range st.Steps {
			if s := &st.Steps[j]; !s.Meta && s.State != timeline.Cached && len(s.Missed) > 0 {
				return &timeline.Ranked{Stage: st, Step: s}
			}
		}
	}
	return nil
}

func (b *builder) failedStep() *stepRef {
	for i := range b.t.Stages {
		st := &b.t.Stages[i]
		for j := range st.Steps {
			if st.Steps[j].State == timeline.Failed {
				return b.ref(timeline.Ranked{Stage: st, Step: &st.Steps[j]})
			}
		}
	}
	return nil
}

// kindRow is a line of the table of where the time went.
type kindRow struct {
	Kind              engine.Phase
	Within            bool // it is a part of others
	Share             float64
	Percent           string
	Wall, Time, Bytes string
	Times             string
}

func (b *builder) kinds() []kindRow {
	var rows []kindRow
	for _, t := range b.t.Shown() {
		row := kindRow{Kind: t.Kind, Time: timeline.Seconds(t.Time), Wall: timeline.Seconds(t.Wall), Share: b.plot.at(t.Wall), Percent: b.t.Share(t.Wall)}
		if t.Kind == timeline.Compress {
			row.Within, row.Wall = true, "–"
		}
		if t.Count > 0 {
			row.Times = fmt.Sprint(t.Count)
		}
		if t.Bytes > 0 {
			row.Bytes = timeline.Bytes(t.Bytes)
		}
		rows = append(rows, row)
	}
	return rows
}

// legend is what a colour of bars means.
type legend struct {
	Kind engine.Phase // the first that has it
	Text string
}

// legend has those that the page shows. What goes on around stages has one colour, for
// it goes on at other times.
func (b *builder) legend() []legend {
	var all []legend
	around := -1
	for _, t := range b.t.Shown() {
		switch t.Kind {
		case timeline.Compress:
		case timeline.Prepare, timeline.Resolve, engine.Ask, engine.Deliver, timeline.Sign, timeline.Attest:
			if around >= 0 {
				all[around].Text += ", " + string(t.Kind)
				break
			}
			around = len(all)
			fallthrough
		default:
			all = append(all, legend{t.Kind, string(t.Kind)})
		}
	}
	if cached, _ := b.t.Steps(); cached > 0 {
		all = append(all, legend{"cached", "cached"})
	}
	return all
}

func (b *builder) cacheText() string {
	switch cached, all := b.t.Steps(); {
	case !b.Cache:
		return "No layer cache was asked: the build was done without --cache."
	case all > 0 && cached == all:
		return "The cache had all that was asked of it."
	case all > 0:
		return fmt.Sprintf("The cache had %d of %s about files.", cached, count(all, "step"))
	}
	return ""
}

// unbegun are the stages of the plan of which nothing was done.
func (b *builder) unbegun() (names []string, why string) {
	begun := map[string]bool{}
	key := func(index int, platform string) string { return fmt.Sprint(index, " ", platform) }
	for _, st := range b.t.Stages {
		begun[key(st.Index, st.Platform)] = true
	}
	for _, p := range b.Plans {
		for _, st := range p.Stages {
			if begun[key(st.Index, st.Platform.String())] {
				continue
			}
			name := (&timeline.Stage{Index: st.Index, Name: st.Name}).Title()
			if len(b.Plans) > 1 {
				name += " for " + st.Platform.String()
			}
			names = append(names, name)
		}
	}
	if b.Failure != nil {
		return names, "The build failed before."
	}
	return names, "Nothing of these stages was needed, since the cache had what is made of them."
}

func words() []fact {
	return []fact{
		{"prepare", "finding the build context and the Dockerfile, entering namespaces, asking whether the destinations may be pushed to", ""},
		{"resolve", "finding what the tags of base images name, and reading their configurations", ""},
		{"ask", "asking the cache, all at once, for every step", ""},
		{"pull", "layers on their way from a registry; a pull goes on for as long as who unpacks it reads", ""},
		{"unpack", "layers being written to where commands see them, or read so far that their files are known; the layers are pulled meanwhile", ""},
		{"run", "commands of RUN", ""},
		{"copy", "placing files of COPY, ADD and WORKDIR, and writing them into a layer", ""},
		{"capture", "finding what a command has changed, and writing it into a layer", ""},
		{"compress", "how long copy and capture were held up by the compressor, which works beside them; not the time of processors", ""},
		{"push", "layers on their way to a registry, the cache’s too; it begins while a layer is still being written, and waits for it then", ""},
		{"deliver", "all that is done with the image once its layers are made: what is left to push, the manifest, files", ""},
		{"sign, attest", "what accompanies the image is made and attached", ""},
		{"wait", "waiting for another stage to be done; the work is that one’s", ""},
		{"other", "none of these", ""},
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (b *builder) ref(r timeline.Ranked) *stepRef {
	return &stepRef{Anchor: b.anchors[r.Step], Label: r.Label(), Text: cut(r.Step.Text)}
}

// anchors are the ids of steps' entries.
func anchors(t *timeline.Timeline) map[*timeline.Step]string {
	all := map[*timeline.Step]string{}
	for i := range t.Stages {
		for j := range t.Stages[i].Steps {
			all[&t.Stages[i].Steps[j]] = fmt.Sprintf("step-%d-%d", i+1, j+1)
		}
	}
	return all
}

// cut makes a text one that can be a part of a sentence.
func cut(text string) string {
	const most = 120
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// short is a digest as people compare it.
func short(digest string) string {
	before, hex, found := strings.Cut(digest, "sha256:")
	if found && len(hex) == 64 {
		return before + "sha256:" + hex[:12]
	}
	return digest
}

// escapes are the sequences by which commands colour what they write.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")

// plain takes out of a line what only a terminal understands.
func plain(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, escapes.ReplaceAllString(line, ""))
}
