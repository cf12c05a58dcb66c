package cachekey

import (
	"strings"
	"unicode/utf8"
)

const (
	// maxShown bounds a value in a sentence, and context what of it is shown before
	// the place where it differs, in runes.
	maxShown = 80
	context  = 16
	// digits is how much of a digest people compare.
	digits = 12
)

// change is the text "before → after".
func change(before, after string) string { return before + " → " + after }

// contrast is a change of two lists of values; of long ones it shows the part where
// they begin to differ. One that is nil is "(none)".
func contrast(before, after []string) string {
	if before == nil || after == nil {
		return change(shown(before), shown(after))
	}
	for len(before) > 1 && len(after) > 1 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	a, b := join(before), join(after)
	if utf8.RuneCountInString(a) > maxShown || utf8.RuneCountInString(b) > maxShown {
		n := shared(a, b)
		a, b = a[n:], b[n:]
		if n > 0 {
			a, b = "…"+a, "…"+b
		}
	}
	return change(clip(a), clip(b))
}

// shared is how much a and b begin with alike, in bytes, but for the context of what
// differs.
func shared(a, b string) int {
	var starts []int // of the runes that both have
	for i, r := range a {
		if !strings.HasPrefix(b[min(i, len(b)):], string(r)) {
			break
		}
		starts = append(starts, i)
	}
	if len(starts) <= context {
		return 0
	}
	return starts[len(starts)-context]
}

// shown is values on a line, as far as they fit.
func shown(values []string) string {
	if values == nil {
		return "(none)"
	}
	return clip(join(values))
}

func join(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return strings.Join(quoted, " ")
}

// clip shortens a text that is too long for a sentence.
func clip(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxShown {
			return s[:i] + "…"
		}
	}
	return s
}

// short is a digest's beginning, or s if it is none.
func short(s string) string {
	if hex, ok := strings.CutPrefix(s, "sha256:"); ok && len(hex) > digits {
		return "sha256:" + hex[:digits] + "…"
	}
	return clip(quote(s))
}
