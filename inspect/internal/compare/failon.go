package compare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FailOn says which differences are to make a comparison fail. The zero value is all
// that count.
type FailOn struct {
	classes []string
	size    float64 // percent, with sized
	sized   bool
}

// Classes are the names that [ParseFailOn] reads, beside size>N%.
func Classes() []string { return []string{"any", "platform", "manifest", "config", "layers", "files"} }

// ParseFailOn reads classes of differences: those of [Classes], and size>N%, which is
// met where the layers of an image are more than N percent larger or smaller together.
func ParseFailOn(words []string) (FailOn, error) {
	var f FailOn
	for _, word := range words {
		if percent, ok := strings.CutPrefix(word, "size>"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
			if err != nil || !strings.HasSuffix(percent, "%") || !(n >= 0) {
				return f, fmt.Errorf("%q is no size: size>5%% is one", word)
			}
			f.size, f.sized = n, true
			continue
		}
		if !slices.Contains(Classes(), word) {
			return f, fmt.Errorf("%q is no class of differences: it must be one of %s, size>N%%", word, strings.Join(Classes(), ", "))
		}
		f.classes = append(f.classes, word)
	}
	return f, nil
}

// Class is the class of a difference.
func (d *Difference) Class() string {
	switch d.Level {
	case Config:
		return "config"
	case Layers:
		return "layers"
	case Files, Content:
		return "files"
	}
	if d.LayerA == 0 && d.LayerB == 0 && slices.Contains([]string{"added", "removed", "platform", "kind"}, d.Field) {
		return "platform"
	}
	return "manifest"
}

// Met reports whether a result has a difference that is to make it fail. Differences
// that are ignored do not; sizes are looked at whatever the rules say.
func (f FailOn) Met(r *Result) bool {
	if !f.sized && len(f.classes) == 0 {
		return r.Verdict == Different
	}
	for _, d := range r.All() {
		if d.Ignored == "" && (slices.Contains(f.classes, "any") || slices.Contains(f.classes, d.Class())) {
			return true
		}
	}
	return f.sized && slices.ContainsFunc(r.Images, f.grown)
}

// grown reports whether the sizes of two images are too far apart.
func (f FailOn) grown(p Pair) bool {
	if p.A == nil || p.B == nil || p.Attestation {
		return false
	}
	change := float64(p.B.Size - p.A.Size)
	return max(change, -change) > f.size/100*float64(p.A.Size)
}
