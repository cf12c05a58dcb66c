package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/kaniko-suite/kaniko/shared/cache"
)

// Write writes what is known of the build, as text or JSON.
func (b Build) Write(w io.Writer, format Format) error {
	d := b.describe()
	if format == JSON {
		return writeJSON(w, d)
	}
	if _, err := io.WriteString(w, d.text()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// widest is how many letters of an instruction are shown.
const widest = 100

func (d planned) text() string {
	var w strings.Builder
	fmt.Fprintf(&w, "target %s for %s\n", stageName(d.Target.Stage, d.Target.Name), d.Target.Platform)
	for _, s := range d.Stages {
		d.stage(&w, s)
	}
	if len(d.LeftOut) > 0 {
		w.WriteString("\nleft out\n")
		for _, s := range d.LeftOut {
			fmt.Fprintf(&w, "  %s:%d: %s: %s\n", line(d.Dockerfile), s.Line, stageName(s.Stage, s.Name), s.Reason)
		}
	}
	w.WriteString("\nneeds\n")
	d.needs(&w)
	w.WriteString("\nreused\n")
	for _, r := range d.Reuse {
		if r.Ref == "" {
			fmt.Fprintf(&w, "  %s from the cache\n", count(r.Layers, r.Kind))
			continue
		}
		fmt.Fprintf(&w, "  %s of %s as they are\n", count(r.Layers, r.Kind), line(r.Ref))
	}
	if len(d.Reuse) == 0 {
		w.WriteString("  nothing\n")
	}
	return w.String()
}

func (d planned) stage(w *strings.Builder, s stageOf) {
	fmt.Fprintf(w, "\n%s:%d: %s from %s for %s\n", line(d.Dockerfile), s.Line, stageName(s.Stage, s.Name), s.Base, s.Platform)
	for _, step := range s.Steps {
		fmt.Fprintf(w, "  %s:%d: %s\n", line(d.Dockerfile), step.Line, short(step.Text))
		for _, note := range step.notes() {
			fmt.Fprintf(w, "      %s\n", note)
		}
	}
}

// notes are what a step needs, each in a line.
func (s stepOf) notes() []string {
	var notes []string
	if s.From != nil {
		notes = append(notes, "from "+s.From.String())
	}
	for _, u := range s.Fetches {
		notes = append(notes, "fetches "+line(u))
	}
	if s.Op == "run" && s.User != "" {
		notes = append(notes, "user "+line(s.User))
	}
	for _, m := range s.Mounts {
		notes = append(notes, "mount "+m.String())
	}
	if s.Op == "run" && !s.Network {
		notes = append(notes, "no network")
	}
	if s.Cache != nil {
		notes = append(notes, s.Cache.String())
	}
	return notes
}

// String says what the cache has of a step.
func (c *cachedOf) String() string {
	switch cache.Use(c.Use) {
	case cache.Hit:
		return "cached"
	case cache.Skipped:
		return "not needed"
	}
	if len(c.Missed) > 0 {
		return "not cached: " + line(strings.Join(c.Missed, "; "))
	}
	return "not cached"
}

func (d planned) needs(w *strings.Builder) {
	need := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", name, line(fmt.Sprintf(format, args...)))
	}
	for _, i := range d.Images {
		need("image", "%s", i)
	}
	d.network(need)
	for _, g := range d.Secrets {
		need("secret", "%s", g.String())
	}
	for _, g := range d.Agents {
		need("ssh agent", "%s", g.String())
	}
	for _, c := range d.Caches {
		need("cache", "%s, %s (%s)", c.ID, c.Sharing, lines(c.Lines))
	}
	if !d.Sandbox.Needed {
		need("sandbox", "none: nothing is run, so that no privilege is needed")
		return
	}
	switch d.Sandbox.Driver {
	case "":
		need("sandbox", "one that cannot be had here")
	default:
		need("sandbox", "%s", strings.TrimSuffix(d.Sandbox.Driver+", "+d.Sandbox.How, ", "))
	}
	for i, reason := range strings.Split(d.Sandbox.Reason, "\n") {
		if reason != "" {
			need(map[bool]string{true: "because"}[i == 0], "%s", strings.TrimSpace(reason))
		}
	}
	for _, o := range d.Sandbox.Obstacles {
		need("obstacle", "%s", o)
	}
	for _, c := range d.Sandbox.Capabilities {
		need("capability", "%s for %s", c.Name, c.For)
	}
}

// network tells what the network is for, pulls first; commands are only counted.
func (d planned) network(need func(name, format string, args ...any)) {
	for _, what := range []string{"pull", "fetch", "push"} {
		for _, n := range d.Network {
			if n.For == what {
				need("network", "%s %s", n.For, n.What)
			}
		}
	}
	commands := 0
	for _, n := range d.Network {
		if n.For == "run" {
			commands++
		}
	}
	if commands > 0 {
		need("network", "%s that may use it", count(commands, "commands"))
	}
}

func (s sourceOf) String() string {
	switch {
	case s.Stage != nil:
		return fmt.Sprintf("stage %d", *s.Stage)
	case s.Image != nil:
		return s.Image.String()
	case s.Context != "":
		return "build context " + line(s.Context)
	case s.Kind == "context":
		return "the build context"
	}
	return s.Kind
}

func (i imageOf) String() string {
	ref := line(i.Ref)
	if !strings.HasSuffix(ref, i.Digest) {
		ref += "@" + i.Digest
	}
	return fmt.Sprintf("%s (%s, %s)", ref, i.Platform, count(i.Layers, "layers"))
}

func (m mountOf) String() string {
	s := m.Type
	if m.ID != "" {
		s += " " + line(m.ID)
	}
	if m.From != nil {
		s += " from " + m.From.String()
		if m.Source != "" {
			s += " " + line(m.Source)
		}
	}
	if m.Target != "" {
		s += " at " + line(m.Target)
	}
	if m.Env != "" {
		s += " as $" + line(m.Env)
	}
	if m.Required {
		s += ", required"
	}
	return s
}

func (g given) String() string {
	switch {
	case g.Given:
		return fmt.Sprintf("%s: given (%s)", g.ID, lines(g.Lines))
	case g.Required:
		return fmt.Sprintf("%s: missing, and required (%s)", g.ID, lines(g.Lines))
	}
	return fmt.Sprintf("%s: not given (%s)", g.ID, lines(g.Lines))
}

func stageName(index int, name string) string {
	s := fmt.Sprintf("stage %d", index)
	if name != "" {
		s += " " + line(name)
	}
	return s
}

// count is a number of things, whose name ends in an s.
func count(n int, things string) string {
	if n == 1 {
		things = strings.TrimSuffix(things, "s")
	}
	return fmt.Sprintf("%d %s", n, things)
}

func lines(of []int) string {
	word := "line"
	if len(of) > 1 {
		word = "lines"
	}
	return word + " " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(of)), ", "), "[]")
}

// short is the beginning of a text.
func short(text string) string {
	if utf8.RuneCountInString(text) <= widest {
		return text
	}
	return string([]rune(text)[:widest-3]) + "..."
}
