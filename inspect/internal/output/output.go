// Package output writes answers of inspect: for people as tables, and for programs as
// JSON. Names that come from images cannot spoil a terminal.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// The forms of an answer.
const (
	Table = "table"
	JSON  = "json"
)

// Forms are the forms of most commands.
func Forms() []string { return []string{Table, JSON} }

// Check tells whether a form is one of those that a command has.
func Check(form string, forms []string) error {
	if !slices.Contains(forms, form) {
		return fmt.Errorf("--output is %q: it must be one of %s", form, strings.Join(forms, ", "))
	}
	return nil
}

// WriteJSON writes a document, as programs read it and people can.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Rows is a table.
type Rows struct {
	b strings.Builder
	w *tabwriter.Writer
}

// NewRows begins a table. Without headers it has no line for them.
func NewRows(headers ...string) *Rows {
	r := &Rows{}
	r.w = tabwriter.NewWriter(&r.b, 0, 0, 2, ' ', 0)
	if len(headers) > 0 {
		fmt.Fprintln(r.w, strings.Join(headers, "\t")) // into memory
	}
	return r
}

// Add adds a line. A cell has no line breaks and no control characters when it is
// printed, whatever it had.
func (r *Rows) Add(cells ...string) {
	for i, c := range cells {
		cells[i] = Plain(c)
	}
	fmt.Fprintln(r.w, strings.Join(cells, "\t")) // into memory
}

// String is the table, each line without spaces at its end.
func (r *Rows) String() string {
	r.w.Flush() // into memory
	var b strings.Builder
	for line := range strings.Lines(r.b.String()) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteString("\n")
	}
	return b.String()
}

// Plain is a text without what a terminal obeys: control characters and marks of the
// direction of writing are shown as Go writes them.
func Plain(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if obeyed(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar
}

// digests are those of SHA-256, with as much of them as tells two apart.
var digests = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`)

// Short shortens the digests in a text.
func Short(text string) string { return digests.ReplaceAllString(text, "$1…") }

// Size is a number of bytes for people: 1.2 MB.
func Size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n) / 1000
	for i, u := range units {
		if v < 999.95 || i == len(units)-1 {
			return fmt.Sprintf("%.1f %s", v, u)
		}
		v /= 1000
	}
	return ""
}

// Clip is the beginning of a text, on one line, in at most n characters.
func Clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
