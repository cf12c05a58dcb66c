// Package report prints what the executor finds out without building: what the
// linter says of a Dockerfile, and what a build of it would do. Each is for people
// as text, and for programs as JSON or SARIF.
//
// It owns the formats, which are kept stable: docs/lint.md and docs/plan.md say
// what is in them. It finds out nothing by itself.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is a value of --format.
type Format string

// The formats.
const (
	Text  Format = "text"
	JSON  Format = "json"
	SARIF Format = "sarif"
)

// ParseFormat takes a value of --format, which must be one of those allowed.
func ParseFormat(s string, allowed ...Format) (Format, error) {
	if slices.Contains(allowed, Format(s)) {
		return Format(s), nil
	}
	var names []string
	for _, f := range allowed {
		names = append(names, string(f))
	}
	last := len(names) - 1
	return "", fmt.Errorf("--format is %q: it must be %s or %s", s, strings.Join(names[:last], ", "), names[last])
}

// writeJSON writes v as it is to be read by people too.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// line is text on one line, its control characters replaced: what is printed is
// written by others.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
