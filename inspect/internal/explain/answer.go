package explain

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// formatVersion is that of the JSON forms. It changes if a field goes or means
// something else.
const formatVersion = 1

// maxChanges bounds how many lines that differ are shown to people.
const maxChanges = 60

// An Answer is what is told, to people or to programs.
type Answer interface {
	text() string
	document() any
}

// WriteText writes an answer for people.
func WriteText(w io.Writer, a Answer) error {
	_, err := io.WriteString(w, a.text())
	return err
}

// WriteJSON writes an answer as one JSON document. Its field "version" is 1, and
// "kind" says which of the answers it is.
func WriteJSON(w io.Writer, a Answer) error {
	return output.WriteJSON(w, a.document())
}

// header begins all documents.
type header struct {
	Version int    `json:"version"`
	Kind    string `json:"kind"`
}

// Definition is what a key stands for.
type Definition struct {
	Key  cachekey.Key
	Text cachekey.Definition
}

// text is the definition as it is, of which the key is the SHA-256.
func (d *Definition) text() string { return string(d.Text) }

func (d *Definition) document() any {
	doc := struct {
		header
		Key   cachekey.Key `json:"key"`
		Lines [][]string   `json:"lines"`
		Text  string       `json:"text"`
	}{header{formatVersion, "definition"}, d.Key, [][]string{}, string(d.Text)}
	for fields, err := range d.Text.Lines() {
		if err != nil {
			doc.Lines = nil // of another version, which only people can read
			break
		}
		doc.Lines = append(doc.Lines, fields)
	}
	return doc
}

// Comparison is what differs between what two keys stand for.
type Comparison struct {
	Before, After cachekey.Key
	Reasons       []string // nil if the keys are the same
	Changes       []cachekey.Change
}

func (c *Comparison) text() string {
	if c.Before == c.After {
		return "the keys are the same\n"
	}
	var w strings.Builder
	for _, r := range c.Reasons {
		fmt.Fprintln(&w, r)
	}
	fmt.Fprintf(&w, "\n--- %s\n+++ %s\n", c.Before, c.After)
	for i, change := range c.Changes {
		if i == maxChanges {
			fmt.Fprintf(&w, "and %d more lines, which --format json shows\n", len(c.Changes)-i)
			break
		}
		sign := "-"
		if change.New {
			sign = "+"
		}
		fmt.Fprintf(&w, "%s%s\n", sign, printable(change.Text))
	}
	return w.String()
}

func (c *Comparison) document() any {
	type line struct {
		Change string `json:"change"` // "gone" or "new"
		Line   int    `json:"line"`   // from 1, in the definition that has it
		Text   string `json:"text"`
	}
	doc := struct {
		header
		Before  cachekey.Key `json:"before"`
		After   cachekey.Key `json:"after"`
		Reasons []string     `json:"reasons"`
		Lines   []line       `json:"lines"`
	}{header{formatVersion, "comparison"}, c.Before, c.After, append([]string{}, c.Reasons...), []line{}}
	for _, change := range c.Changes {
		kind := "gone"
		if change.New {
			kind = "new"
		}
		doc.Lines = append(doc.Lines, line{kind, change.Line, change.Text})
	}
	return doc
}

// Build is what the cache was to the build of an image.
type Build struct{ cache.Journal }

func (b *Build) text() string {
	var w strings.Builder
	fmt.Fprintf(&w, "image %s\nbuilt %s in %s by %s\n", printable(b.Image), b.Started.UTC().Format(time.RFC3339),
		b.Ended.Sub(b.Started).Round(time.Millisecond), printable(b.Tool))
	stage := -1
	for _, s := range b.Steps {
		if s.Stage != stage {
			stage = s.Stage
			fmt.Fprintf(&w, "\nstage %d%s\n", s.Stage, named(s.Name))
		}
		fmt.Fprintf(&w, "  %-7s  %-12s  line %d: %s\n", printable(string(s.Use)), short(s.Key), s.Line, printable(s.Text))
		for _, why := range reasons(s) {
			fmt.Fprintf(&w, "           %s\n", printable(why))
		}
	}
	return w.String()
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " " + printable(name)
}

// short is as much of a key as people compare.
func short(k cachekey.Key) string {
	const digits = 12
	if k == "" {
		return "no key"
	}
	return printable(string(k[:min(digits, len(k))]))
}

// reasons are why a step was done.
func reasons(s cache.Step) []string {
	switch {
	case s.Use == cache.Hit:
		return nil
	case len(s.Missed) > 0:
		return s.Missed
	case s.Use == cache.Skipped:
		return []string{"nothing needed it"}
	case s.Key == "":
		return []string{"what it depends on could not be told before"}
	case s.Use == cache.Done:
		return []string{"no entry is kept of such a step, by the flags of the build, or it could not be"}
	}
	return []string{"no earlier build is known to compare it with"}
}

func (b *Build) document() any {
	doc := struct {
		header
		cache.Journal
	}{header{formatVersion, "build"}, b.Journal}
	if doc.Steps == nil {
		doc.Steps = []cache.Step{}
	}
	return doc
}

// printable keeps what a cache says from moving a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}
