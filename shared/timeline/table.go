package timeline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

const (
	slowest  = 5  // steps that the table names
	textRoom = 60 // characters of a step's text in it
)

// WriteTable writes for people where the time went: a line for each kind of work that
// there was, and the steps that took longest.
func (t *Timeline) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "where the time went, of %s", Seconds(t.Took))
	if cached, all := t.Steps(); all > 0 {
		fmt.Fprintf(&b, "; steps from the cache: %d of %d", cached, all)
	}
	if t.Memory.Peak > 0 {
		fmt.Fprintf(&b, "; memory: %s at most", Bytes(t.Memory.Peak))
	}
	b.WriteString("\n")
	t.writeTotals(&b)
	t.writeSlowest(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// Print writes the table or, where the log is for programs, a record of it there. There
// is nobody to tell if it cannot be written.
func (t *Timeline) Print(w io.Writer, log *slog.Logger, forPrograms bool) {
	if forPrograms {
		log.LogAttrs(context.Background(), slog.LevelInfo, "timing", t.Attrs()...)
		return
	}
	t.WriteTable(w) //nolint:errcheck // as for the log
}

func (t *Timeline) writeTotals(b *strings.Builder) {
	var rows strings.Builder
	tw := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\ttime\twall\tof all\ttimes\tbytes\t")
	for _, row := range t.Shown() {
		wall, share := "", ""
		if row.Kind != Compress {
			wall, share = Seconds(row.Wall), t.Share(row.Wall)
		}
		times, bytes := "", ""
		if row.Count > 0 {
			times = fmt.Sprint(row.Count)
		}
		if row.Bytes > 0 {
			bytes = Bytes(row.Bytes)
		}
		kind := string(row.Kind)
		if row.Kind == Compress {
			kind = "(" + kind + ")"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t\n", kind, Seconds(row.Time), wall, share, times, bytes)
	}
	tw.Flush() //nolint:errcheck // a strings.Builder takes all
	for line := range strings.Lines(rows.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	b.WriteString("time counts twice what went on twice at once, wall does not")
	if t.Total(Compress).Count > 0 {
		b.WriteString("; (compress) is a part of copy and capture")
	}
	b.WriteString("\n")
}

// Shown are the totals without those of which there was nothing.
func (t *Timeline) Shown() []Total {
	var rows []Total
	for _, row := range t.Totals {
		if row.Count > 0 || row.Kind == Other {
			rows = append(rows, row)
		}
	}
	return rows
}

// Share is a time as a part of the whole, in percent.
func (t *Timeline) Share(d time.Duration) string {
	if t.Took <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*d.Seconds()/t.Took.Seconds())
}

func (t *Timeline) writeSlowest(b *strings.Builder) {
	for i, r := range t.Slowest(slowest) {
		if i == 0 {
			b.WriteString("the steps that took longest, without waiting for others:\n")
		}
		fmt.Fprintf(b, "%8s  %s %s (%s)\n", Seconds(r.Step.Work()), r.Label(), shown(r.Step.Text, textRoom), r.Step.Split())
		for _, why := range r.Step.Missed {
			fmt.Fprintf(b, "%8s  not cached: %s\n", "", shown(why, 2*textRoom))
		}
	}
}

// Label names a step as the log does and, if there are several, its platform.
func (r Ranked) Label() string {
	if r.Stage.Several {
		return fmt.Sprintf("[%s for %s %d/%d]", shown(r.Stage.Title(), textRoom), r.Stage.Platform, r.Step.Number, r.Step.Of)
	}
	return fmt.Sprintf("[%s %d/%d]", shown(r.Stage.Title(), textRoom), r.Step.Number, r.Step.Of)
}

// Title is the stage's name, or its number.
func (s *Stage) Title() string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("stage %d", s.Index)
}

// Split is what the step came to and what its time went into, in words.
func (s *Step) Split() string {
	words := []string{}
	if s.State != Done {
		words = append(words, string(s.State))
	}
	for _, p := range s.Parts() {
		if p.Took >= s.Took()/20 {
			words = append(words, fmt.Sprintf("%s %s", p.Kind, Seconds(p.Took)))
		}
	}
	return strings.Join(words, ", ")
}

// shown is text that does nothing to a terminal, and at most so many characters.
func shown(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// Attrs are the table for a log that programs read. Times are in seconds.
func (t *Timeline) Attrs() []slog.Attr {
	attrs := []slog.Attr{slog.Float64("took", t.Took.Seconds())}
	if t.Memory.Peak > 0 {
		attrs = append(attrs, slog.Int64("peak_memory", t.Memory.Peak))
	}
	cached, all := t.Steps()
	attrs = append(attrs, slog.Int("steps", all), slog.Int("cached", cached))
	for _, row := range t.Shown() {
		group := []any{slog.Float64("time", row.Time.Seconds()), slog.Int("count", row.Count)}
		if row.Kind != Compress {
			group = append(group, slog.Float64("wall", row.Wall.Seconds()))
		}
		if row.Kind == Pull || row.Kind == Push || row.Kind == Compress {
			group = append(group, slog.Int64("bytes", row.Bytes))
		}
		attrs = append(attrs, slog.Group(string(row.Kind), group...))
	}
	return append(attrs, slog.Any("slowest", t.slowestAttr()))
}

// slow is a step in a log that programs read.
type slow struct {
	Stage    string   `json:"stage"`
	Platform string   `json:"platform,omitempty"` // if there are several
	Step     int      `json:"step"`
	Text     string   `json:"text"`
	Took     float64  `json:"took"`
	State    State    `json:"state"`
	Missed   []string `json:"missed,omitempty"`
	// Parts are in seconds.
	Parts map[engine.Phase]float64 `json:"parts"`
}

func (t *Timeline) slowestAttr() []slow {
	all := []slow{}
	for _, r := range t.Slowest(slowest) {
		parts := map[engine.Phase]float64{}
		for _, p := range r.Step.Parts() {
			parts[p.Kind] = p.Took.Seconds()
		}
		one := slow{
			Stage: r.Stage.Title(), Step: r.Step.Number, Text: r.Step.Text, Took: r.Step.Took().Seconds(), State: r.Step.State,
			Missed: r.Step.Missed, Parts: parts,
		}
		if r.Stage.Several {
			one.Platform = r.Stage.Platform
		}
		all = append(all, one)
	}
	return all
}

// Seconds is a time for people: 12ms, 1.23s, 45.6s, 3m07s, 1h02m.
func Seconds(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Seconds(-d)
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	case d < 9995*time.Millisecond:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Bytes is a number of bytes for people, in powers of 1000.
func Bytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}
