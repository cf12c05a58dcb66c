// Package report writes what a comparison of images found: as a table, as JSON, as
// Markdown for a comment, as a page of HTML that needs nothing from elsewhere, or as
// JUnit's XML. It decides nothing; the same result gives the same bytes.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
)

// Options say what is shown.
type Options struct {
	// Ignored lists the differences that do not count as well.
	Ignored bool
}

// The forms of a report.
const (
	Table    = "table"
	JSON     = "json"
	Markdown = "markdown"
	HTML     = "html"
	JUnit    = "junit"
)

// Forms are the names that [Write] knows.
func Forms() []string { return []string{Table, JSON, Markdown, HTML, JUnit} }

// Write writes a result in one of the forms.
func Write(w io.Writer, form string, r *compare.Result, o Options) error {
	var text string
	var err error
	switch form {
	case Table:
		text = table(r, o)
	case JSON:
		text, err = document(r, o)
	case Markdown:
		text = markdown(r, o)
	case HTML:
		text = page(r, o)
	case JUnit:
		text, err = junit(r, o)
	default:
		err = fmt.Errorf("%q is no form of a report: it must be one of %s", form, strings.Join(Forms(), ", "))
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// shown are the differences that a report has.
func (o Options) shown(all []compare.Difference) []compare.Difference {
	if o.Ignored {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(d compare.Difference) bool { return d.Ignored != "" })
}

// summary is the verdict in a sentence.
func summary(r *compare.Result) string {
	switch {
	case r.Verdict == compare.Identical && r.A.Digest == r.B.Digest:
		return "identical: both are " + r.A.Digest
	case r.Verdict == compare.Identical:
		return "nothing differs"
	case r.Verdict == compare.Equal:
		return fmt.Sprintf("equal under the rules of %s: %s ignored", rules(r), counted(r.Ignored, "difference"))
	case r.Ignored > 0:
		return fmt.Sprintf("different: %s, and %d ignored by the rules of %s", counted(r.Counted, "difference"), r.Ignored, rules(r))
	}
	return "different: " + counted(r.Counted, "difference")
}

func rules(r *compare.Result) string {
	if len(r.Rules) > 0 {
		return r.Preset + " and the user’s own"
	}
	return r.Preset
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// name is what a pair of images is called; empty for the only one.
func name(p compare.Pair) string {
	switch {
	case p.Attestation && p.Platform != "":
		return "attestation of " + p.Platform
	case p.Attestation:
		return "attestation"
	}
	return p.Platform
}

// place says which layers a difference is in.
func place(a, b int) string {
	switch {
	case a == 0 && b == 0:
		return ""
	case a == b:
		return fmt.Sprintf("layer %d", a)
	case b == 0:
		return fmt.Sprintf("layer %d of a", a)
	case a == 0:
		return fmt.Sprintf("layer %d of b", b)
	}
	return fmt.Sprintf("layers %d|%d", a, b)
}

// maxValue bounds, in runes, a value in a report for people.
const maxValue = 200

// value is a value of one side in one line, without what would move a cursor.
func value(s string) string {
	s = plain(s)
	if r := []rune(s); len(r) > maxValue {
		s = string(r[:maxValue]) + "…"
	}
	return s
}

// plain replaces what is no printable text.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// plainLines keeps the ends of lines and replaces the rest of what is not printable.
func plainLines(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
}

// group is the differences of one part of an image: one of its layers, or its
// manifest, configuration or tree.
type group struct {
	title string
	layer *compare.LayerPair
	all   []compare.Difference
}

// groups are the parts of a pair that something is to be said of, in order: what has
// no layer comes first, then the layers.
func groups(p compare.Pair, o Options) []group {
	var out []group
	at := map[string]int{}
	add := func(title string, l *compare.LayerPair, d ...compare.Difference) {
		i, ok := at[title]
		if !ok {
			i = len(out)
			at[title] = i
			out = append(out, group{title: title, layer: l})
		}
		out[i].all = append(out[i].all, d...)
	}
	all := o.shown(p.Differences)
	for _, d := range all {
		if d.LayerA == 0 && d.LayerB == 0 {
			add(part(d), nil, d)
		}
	}
	for i, l := range p.Layers {
		if l.State != compare.LayerEqual {
			add(place(l.A, l.B), &p.Layers[i])
		}
	}
	for _, d := range all {
		if d.LayerA != 0 || d.LayerB != 0 {
			add(place(d.LayerA, d.LayerB), nil, d)
		}
	}
	return slices.DeleteFunc(out, func(g group) bool { return len(g.all) == 0 })
}

func part(d compare.Difference) string {
	if d.Level == compare.Files {
		return "files"
	}
	return d.Level.String()
}
