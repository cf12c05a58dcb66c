package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kaniko-suite/kaniko/cachegc/internal/apply"
	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// summary is what a command has to say at its end.
type summary struct {
	Command string            `json:"command"`
	Started time.Time         `json:"started"`
	Seconds float64           `json:"seconds"`
	Waited  float64           `json:"waitedSeconds,omitempty"` // for registries that wanted to be left alone
	Error   string            `json:"error,omitempty"`
	Caches  []*cleaned        `json:"caches,omitempty"`
	Stats   []inventory.Stats `json:"stats,omitempty"`
}

// cleaned is what became of one cache.
type cleaned struct {
	Place  string              `json:"place"`
	Totals plan.Totals         `json:"totals"`
	Rules  map[policy.Rule]int `json:"rules"` // how many each of them decided on
	Done   *apply.Result       `json:"done,omitempty"`
	cache  *plan.Cache
}

// add takes a cache in; what it returns is to be completed.
func (s *summary) add(c *plan.Cache) *cleaned {
	done := &cleaned{Place: c.Place, Totals: c.Totals, Rules: map[policy.Rule]int{}, cache: c}
	for _, e := range c.Entries {
		done.Rules[e.Rule]++
	}
	s.Caches = append(s.Caches, done)
	return done
}

func (s *summary) end(err error, waited time.Duration) {
	s.Seconds, s.Waited = time.Since(s.Started).Round(time.Millisecond).Seconds(), waited.Round(time.Millisecond).Seconds()
	if err != nil {
		s.Error = err.Error()
	}
}

// measured is a cache for metrics.
func (c *cleaned) measured(now time.Time) trace.Cleaning {
	m := trace.Cleaning{Cache: c.Place, Decided: map[trace.Decided]int{}, Bytes: c.Totals.Bytes}
	var oldest time.Time
	for _, e := range c.cache.Entries {
		m.Decided[trace.Decided{Decision: e.Decision, Rule: string(e.Rule)}]++
		if e.Decision == plan.Keep && e.Kind != inventory.Journal && !e.Created.IsZero() && (oldest.IsZero() || e.Created.Before(oldest)) {
			oldest = e.Created
		}
	}
	if !oldest.IsZero() {
		m.Oldest = now.Sub(oldest)
	}
	if c.Done != nil {
		m.Freed, m.Deletions = c.Done.Bytes, map[string]int{}
		for status, n := range c.Done.Counts {
			m.Deletions[string(status)] = n
		}
	}
	return m
}

// maxRows is how many entries of a cache are printed; the plan has all.
const maxRows = 40

func (s *summary) print(w io.Writer) error {
	var b strings.Builder
	for _, c := range s.Caches {
		c.print(&b, s.Started)
	}
	for _, st := range s.Stats {
		printStats(&b, st, s.Started)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *cleaned) print(b *strings.Builder, now time.Time) {
	t := c.Totals
	fmt.Fprintf(b, "%s: %d entries and %d journals, %s\n", c.Place, t.Entries, t.Journals, bytes(t.Bytes))
	if t.Others > 0 {
		fmt.Fprintf(b, "%d tags are not the cache's, and are left alone\n", t.Others)
	}
	victims := c.cache.Victims()
	if len(victims) > 0 {
		b.WriteString("\n")
		table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "entry\tsize\tmade\tused\twhy")
		for _, e := range victims[:min(len(victims), maxRows)] {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s: %s\n", name(e), bytes(e.Size), ago(now, e.Created), ago(now, e.Used), e.Rule, e.Reason)
		}
		table.Flush()
		if more := len(victims) - maxRows; more > 0 {
			fmt.Fprintf(b, "and %d more\n", more)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "%s\n", c.line())
}

// line is what became of a cache, in a line.
func (c *cleaned) line() string {
	if c.Done == nil {
		text := fmt.Sprintf("to delete: %d of %d, %s", c.Totals.Delete, c.Totals.Entries+c.Totals.Journals, bytes(c.Totals.DeleteBytes))
		if c.Totals.Over > 0 {
			text += fmt.Sprintf("; still %s too large, for the rest is kept", bytes(c.Totals.Over))
		}
		return text
	}
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(c.Done.Counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", s, c.Done.Counts[s]))
	}
	if c.Done.Left > 0 {
		parts = append(parts, fmt.Sprintf("left for the next run %d", c.Done.Left))
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ") + "; " + bytes(c.Done.Bytes)
}

// name is what people know an entry by.
func name(e *plan.Entry) string {
	switch {
	case e.Key != "":
		return e.Key[:min(len(e.Key), 12)]
	case e.Kind == inventory.Base && e.Image != "":
		return e.Image
	case len(e.Tags) > 0:
		return e.Tags[0]
	}
	return e.Digest
}

// bytes is a size for people.
func bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	size, unit := float64(n), 0
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return policy.Age(now.Sub(t))
}

// maxLineages is how many lineages are printed; JSON has all.
const maxLineages = 20

func printStats(b *strings.Builder, s inventory.Stats, now time.Time) {
	fmt.Fprintf(b, "%s: %d entries and %d journals, %s; %d hits, %d entries without\n", s.Place, s.Entries, s.Journals, bytes(s.Bytes), s.Hits, s.Unused)
	if s.Others > 0 {
		fmt.Fprintf(b, "%d tags are not the cache's\n", s.Others)
	}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nage under\tmade\tsize\tlast used\tsize")
	for i, m := range s.Made {
		u := s.Used[i]
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\n", m.Under, m.Entries, bytes(m.Bytes), u.Entries, bytes(u.Bytes))
	}
	fmt.Fprintln(table, "\nlineage\tentries\tbuilds\tsize\thits\tused")
	for _, l := range s.Lineages[:min(len(s.Lineages), maxLineages)] {
		fmt.Fprintf(table, "%.12s\t%d\t%d\t%s\t%d\t%s\n", l.Lineage, l.Entries, l.Journals, bytes(l.Bytes), l.Hits, ago(now, l.Used))
	}
	table.Flush()
	if more := len(s.Lineages) - maxLineages; more > 0 {
		fmt.Fprintf(b, "and %d more\n", more)
	}
}

// terminationLog is where Kubernetes reads why a container ended.
const terminationLog = "/dev/termination-log"

// maxTermination is what Kubernetes reads of it, in bytes.
const maxTermination = 4096

// terminate writes the summary to where Kubernetes looks for it. The usual place need not be
// there, nor be writable.
func (s *summary) terminate(path string) error {
	text := s.Command + ": "
	for _, c := range s.Caches {
		text += c.Place + ": " + c.line() + "\n"
	}
	if s.Error != "" {
		text += s.Error + "\n"
	}
	raw := []byte(strings.ToValidUTF8(text[:min(len(text), maxTermination)], ""))
	usual := path == ""
	if usual {
		path = terminationLog
	}
	flag := os.O_WRONLY | os.O_TRUNC
	if !usual {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flag, 0o644)
	if err == nil {
		_, err = f.Write(raw)
		err = errors.Join(err, f.Close())
	}
	if err != nil && !usual {
		return &OutputError{path, err}
	}
	return nil
}
