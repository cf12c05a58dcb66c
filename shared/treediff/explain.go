package treediff

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// An Explanation says why a difference is expected. Its text form is a line GLOB
// KIND REASON….
type Explanation struct {
	// Glob matches the difference's path as [path.Match] does; one that ends in /**
	// matches everything below.
	Glob string
	// Kind is the difference's kind, several with commas between, or *. One with
	// =TEXT after it is met only by the difference with that text, spaces left out.
	Kind   string
	Reason string
}

// ReadExplanations reads explanations, a line each; empty lines and lines that
// begin with # mean nothing. name is the file's, for errors.
func ReadExplanations(name string, r io.Reader) ([]Explanation, error) {
	var out []Explanation
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		x, err := ParseExplanation(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		out = append(out, x)
	}
	return out, s.Err()
}

// ParseExplanation reads one line.
func ParseExplanation(line string) (Explanation, error) {
	w := strings.Fields(line)
	if len(w) < 3 {
		return Explanation{}, fmt.Errorf("%q: want GLOB KIND REASON", line)
	}
	if _, err := path.Match(w[0], ""); err != nil {
		return Explanation{}, fmt.Errorf("%s: %w", w[0], err)
	}
	return Explanation{w[0], w[1], strings.Join(w[2:], " ")}, nil
}

// Covers reports whether x explains d.
func (x Explanation) Covers(d Difference) bool {
	if !x.coversKind(d) {
		return false
	}
	if dir, ok := strings.CutSuffix(x.Glob, "/**"); ok {
		return matchesAbove(dir, d.Path)
	}
	ok, err := path.Match(x.Glob, d.Path)
	return err == nil && ok
}

func (x Explanation) coversKind(d Difference) bool {
	if kind, text, ok := strings.Cut(x.Kind, "="); ok {
		return kind == d.Kind && text == strings.ReplaceAll(d.Text, " ", "")
	}
	return x.Kind == "*" || slices.Contains(strings.Split(x.Kind, ","), d.Kind)
}

// matchesAbove reports whether a directory above p matches the glob.
func matchesAbove(glob, p string) bool {
	elements := strings.Split(p, "/")
	n := strings.Count(glob, "/") + 1
	if len(elements) <= n {
		return false
	}
	ok, err := path.Match(glob, strings.Join(elements[:n], "/"))
	return err == nil && ok
}
