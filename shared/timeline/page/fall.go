package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/timeline"
)

const (
	mostTransfers = 400     // that are drawn of each direction, the longest of them
	smallTransfer = 1 << 20 // bytes; what is smaller, and short, is folded away
	plainly       = 12      // transfers are shown without folding any
)

// group is a stage with its steps, or transfers of one direction.
type group struct {
	Title, Note string
	Bar         *bar
	Took        string
	Rows, More  []row
	MoreText    string
}

// row is a line of the waterfall.
type row struct {
	Anchor, Label, Full string
	State               timeline.State
	Mark                string // what became of it, if that is worth a word
	Took, Bytes         string
	Says                string // what the bars show
	Bars                []bar
}

// groups are what went on around stages, the stages, and the transfers.
func (b *builder) groups() (all []group, notShown string) {
	if around := b.around(); len(around.Rows) > 0 {
		all = append(all, around)
	}
	for i := range b.t.Stages {
		all = append(all, b.stageGroup(&b.t.Stages[i]))
	}
	left := 0
	for _, kind := range []engine.Phase{timeline.Pull, timeline.Push} {
		g, more := b.transfers(kind)
		if left += more; len(g.Rows)+len(g.More) > 0 {
			all = append(all, g)
		}
	}
	if left += b.t.Dropped; left > 0 {
		notShown = fmt.Sprintf("There were %d more, which are in the sums only.", left)
	}
	return all, notShown
}

func (b *builder) around() group {
	g := group{Title: "Around the stages"}
	for _, p := range b.t.Phases {
		title := string(p.Kind) + " " + timeline.Seconds(p.Took())
		g.Rows = append(g.Rows, row{
			Label: string(p.Kind), Full: string(p.Kind), Took: timeline.Seconds(p.Took()), Says: b.says(p.Span, title),
			Bars: []bar{b.plot.bar("k-"+string(p.Kind), p.Span, title)},
		})
	}
	return g
}

// says is what a line shows, for who does not see it.
func (b *builder) says(s timeline.Span, what string) string {
	return fmt.Sprintf("from %s to %s: %s", timeline.Seconds(s.Begin), timeline.Seconds(s.End), what)
}

func (b *builder) stageGroup(st *timeline.Stage) group {
	title := "Stage " + strings.TrimPrefix(st.Title(), "stage ")
	whole := b.plot.bar("stage", st.Span, title+" "+timeline.Seconds(st.Took()))
	g := group{Title: title, Note: b.stageNote(st), Bar: &whole, Took: timeline.Seconds(st.Took())}
	for i := range st.Steps {
		if s := &st.Steps[i]; !s.Meta {
			g.Rows = append(g.Rows, b.stepRow(s))
		}
	}
	for _, p := range st.Phases {
		title := string(p.Kind) + " " + timeline.Seconds(p.Took())
		g.Rows = append(g.Rows, row{
			Label: string(p.Kind), Full: string(p.Kind) + ", outside of steps", Took: timeline.Seconds(p.Took()), Says: b.says(p.Span, title),
			Bars: []bar{b.plot.bar("k-"+string(p.Kind), p.Span, title)},
		})
	}
	return g
}

// stageNote is, if there are several, a stage's platform, and what it starts from.
func (b *builder) stageNote(st *timeline.Stage) string {
	if st.Several {
		return "for " + st.Platform + ", from " + st.Base
	}
	return "from " + st.Base
}

// stepRow has the step as a whole with its phases in front of it.
func (b *builder) stepRow(s *timeline.Step) row {
	r := row{
		Anchor: b.anchors[s], Label: fmt.Sprintf("%d %s", s.Number, s.Text), Full: s.Text, State: s.State,
		Took: timeline.Seconds(s.Took()), Says: b.says(s.Span, cmp.Or(s.Split(), "nothing to tell")),
	}
	class := "k-other"
	switch s.State {
	case timeline.Cached:
		class, r.Mark = "k-cached", "cached"
	case timeline.Failed, timeline.Stopped:
		r.Mark = string(s.State)
	}
	r.Bars = append(r.Bars, b.plot.bar(class, s.Span, strings.TrimSpace(r.Mark+" "+timeline.Seconds(s.Took()))))
	for _, p := range s.Phases {
		r.Bars = append(r.Bars, b.plot.bar("k-"+string(p.Kind), p.Span, string(p.Kind)+" "+timeline.Seconds(p.Took())))
	}
	return r
}

// transfers are those of one direction in the order of time, small ones folded away;
// more is how many are not drawn at all.
func (b *builder) transfers(kind engine.Phase) (g group, more int) {
	g.Title = map[engine.Phase]string{timeline.Pull: "Pulls", timeline.Push: "Pushes"}[kind]
	all := slices.DeleteFunc(slices.Clone(b.t.Transfers), func(t timeline.Transfer) bool { return t.Kind != kind })
	if len(all) > mostTransfers {
		slices.SortStableFunc(all, func(x, y timeline.Transfer) int { return cmp.Compare(y.Took(), x.Took()) })
		more, all = len(all)-mostTransfers, all[:mostTransfers]
	}
	slices.SortStableFunc(all, func(x, y timeline.Transfer) int { return cmp.Compare(x.Begin, y.Begin) })
	var moved int64
	for _, t := range all {
		r := b.transferRow(t)
		if len(all) > plainly && t.Moved < smallTransfer && t.Took() < b.t.Took/20 && t.Err == "" {
			g.More = append(g.More, r)
			moved += t.Moved
			continue
		}
		g.Rows = append(g.Rows, r)
	}
	total := b.t.Total(kind)
	g.Note, g.MoreText = timeline.Bytes(total.Bytes), fmt.Sprintf("%d small ones, %s together", len(g.More), timeline.Bytes(moved))
	return g, more
}

func (b *builder) transferRow(t timeline.Transfer) row {
	r := row{Label: brief(t.Name), Full: t.Name, Took: timeline.Seconds(t.Took()), Bytes: timeline.Bytes(t.Moved)}
	title := fmt.Sprintf("%s %s in %s", t.Kind, r.Bytes, r.Took)
	if t.Err != "" {
		r.State, r.Mark, title = timeline.Failed, "failed", title+", failed: "+t.Err
	}
	r.Says = b.says(t.Span, title)
	r.Bars = []bar{b.plot.bar("k-"+string(t.Kind), t.Span, title)}
	return r
}

// brief is a name that tells transfers apart where there is little room: the last part
// of the repository, and the digest.
func brief(name string) string {
	repo, digest, found := strings.Cut(name, "@")
	if _, path, ok := strings.Cut(repo, "/"); ok {
		repo = path
	}
	if !found {
		return repo
	}
	return strings.TrimPrefix(short(digest), "sha256:") + " " + repo
}
