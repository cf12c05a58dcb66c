package compare

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options say how to compare.
type Options struct {
	Level    Level
	Preset   string // of [Presets]; empty is [Strict]
	Rules    []Rule // beside the preset's
	Squash   bool   // the trees that containers start from, not layer by layer
	Platform *v1.Platform
	// Entered, if not nil, is told of each level that is begun, with the platform's
	// name; what it returns is called when that level has been compared.
	Entered func(ctx context.Context, l Level, platform string) (context.Context, func())
}

// PlatformError says that a side has no image for the platform that is to be compared.
type PlatformError struct{ Name, Platform string }

// Error implements error.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("compare %s: it has no image for %s", e.Name, e.Platform)
}

// Hint says what to do.
func (e *PlatformError) Hint() string { return "leave --platform out to compare all that there are" }

// comparer is one comparison.
type comparer struct {
	Options
	rules  []Rule
	counts []int // by rule
	preset int   // how many of the rules are the preset's
	bare   bool  // only files are compared
	result *Result
}

// Compare compares two images or indexes of them. Errors name the side and what was
// read of it.
func Compare(ctx context.Context, a, b Subject, o Options) (*Result, error) {
	if o.Preset == "" {
		o.Preset = Strict
	}
	preset, err := PresetRules(o.Preset)
	if err != nil {
		return nil, err
	}
	c := &comparer{Options: o, rules: append(preset, o.Rules...), preset: len(preset)}
	c.counts = make([]int, len(c.rules))
	c.result = &Result{Version: ResultVersion, Level: o.Level, Preset: o.Preset, Squash: o.Squash, Differences: []Difference{}, Images: []Pair{}}
	if c.bare = a.Bare || b.Bare; c.bare {
		c.Squash, c.Level = true, max(c.Level, Files)
		c.result.Squash, c.result.Level = c.Squash, c.Level
	}
	if err := c.subjects(ctx, a, b); err != nil {
		return nil, err
	}
	c.conclude()
	return c.result, nil
}

// SameDigest is the result of comparing two names that stand for one digest: nothing
// more has to be read.
func SameDigest(a, b Side, o Options) *Result {
	if o.Preset == "" {
		o.Preset = Strict
	}
	return &Result{
		Version: ResultVersion, Verdict: Identical, Level: o.Level, Preset: o.Preset, Squash: o.Squash, A: a, B: b,
		Differences: []Difference{}, Images: []Pair{},
	}
}

func (s Subject) side() (Side, error) {
	var digest v1.Hash
	var mt types.MediaType
	var err, other error
	if s.Index != nil {
		digest, err = s.Index.Digest()
		mt, other = s.Index.MediaType()
	} else {
		digest, err = s.Image.Digest()
		mt, other = s.Image.MediaType()
	}
	if err = errors.Join(err, other); err != nil {
		return Side{}, fmt.Errorf("read %s: %w", s.Name, err)
	}
	return Side{Name: s.Name, Digest: digest.String(), MediaType: string(mt)}, nil
}

func (c *comparer) subjects(ctx context.Context, a, b Subject) error {
	var err error
	if c.result.A, err = a.side(); err != nil {
		return err
	}
	if c.result.B, err = b.side(); err != nil {
		return err
	}
	switch {
	case c.result.A.Digest == c.result.B.Digest:
		return nil
	case c.Level == Digest:
		c.result.Differences = append(c.result.Differences, Difference{Level: Digest, Field: "digest", A: c.result.A.Digest, B: c.result.B.Digest})
		return nil
	}
	return c.children(ctx, a, b)
}

// entered tells that a level is begun.
func (c *comparer) entered(ctx context.Context, l Level, platform string) (context.Context, func()) {
	if c.Entered == nil {
		return ctx, func() {}
	}
	return c.Entered(ctx, l, platform)
}

// conclude applies the rules and counts.
func (c *comparer) conclude() {
	r := c.result
	ignore(r.Differences, c.rules, c.counts, false)
	for i := range r.Images {
		p := &r.Images[i]
		if p.Differences == nil {
			p.Differences = []Difference{}
		}
		ignore(p.Differences, c.rules, c.counts, p.Attestation)
		p.Verdict = verdict(p.Differences)
	}
	r.Verdict = Identical
	for _, d := range r.All() {
		switch {
		case d.Ignored == "":
			r.Counted++
			r.Verdict = Different
		default:
			r.Ignored++
			if r.Verdict == Identical {
				r.Verdict = Equal
			}
		}
	}
	for i := c.preset; i < len(c.rules); i++ {
		r.Rules = append(r.Rules, RuleCount{c.rules[i].String(), c.counts[i]})
		if c.counts[i] == 0 && r.A.Digest != r.B.Digest {
			r.Notes = append(r.Notes, "the rule "+c.rules[i].String()+" met no difference")
		}
	}
}

func (c *comparer) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf(format, args...))
}
