package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// maxNamed bounds the differences that a report has of a check.
const maxNamed = 10

// reproducible compares with a second build, platform by platform.
func reproducible(ctx context.Context, v *Verifier, s *subject) error {
	var result *compare.Result
	compared := func(ctx context.Context) (_ []Fact, err error) {
		other, err := source.Open(ctx, v.Client, v.Policy.Rebuild)
		if err != nil {
			return nil, err
		}
		result, err = compare.Compare(ctx, comparable(s.Source), comparable(other), compare.Options{
			Level: compare.Files, Preset: v.Policy.RebuildPreset, Rules: v.Policy.rules,
		})
		if err != nil {
			return nil, err
		}
		facts := []Fact{{"rebuild", v.Policy.Rebuild}, {"rebuild digest", other.Digest.String()}, {"preset", result.Preset}}
		if result.Ignored > 0 {
			facts = append(facts, Fact{"ignored differences", fmt.Sprint(result.Ignored)})
		}
		if result.Images != nil && s.Index != nil && other.Index != nil {
			return facts, differences(result.Differences) // those of the images have checks of their own
		}
		all := slices.Clone(result.Differences)
		for _, p := range result.Images {
			all = append(all, p.Differences...)
		}
		return facts, differences(all)
	}
	if err := v.note(ctx, s, "rebuild", "", compared); err != nil || result == nil || s.Index == nil {
		return err
	}
	for _, p := range result.Images {
		if p.Platform == "" {
			continue
		}
		platform := p.Platform
		if p.Attestation {
			platform += " (attestation)"
		}
		err := v.note(ctx, s, "rebuild", platform, func(context.Context) ([]Fact, error) {
			facts := []Fact{{"verdict", p.Verdict}}
			for _, side := range []*compare.Side{p.A, p.B} {
				if side != nil {
					facts = append(facts, Fact{"digest", side.Digest})
				}
			}
			err := differences(p.Differences)
			if err != nil && p.Attestation {
				// They have times and numbers of their build in them.
				err = &skip{"statements about an image are of one build: they differ, and need not be the same"}
			}
			return facts, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func comparable(s *source.Source) compare.Subject {
	return compare.Subject{Name: s.Name, Image: s.Image, Index: s.Index, Bare: s.Bare}
}

// differences is an error if any of them counts.
func differences(all []compare.Difference) error {
	var named []string
	n := 0
	for _, d := range all {
		if d.Ignored != "" {
			continue
		}
		if n++; n <= maxNamed {
			named = append(named, strings.TrimSpace(d.Path+" "+d.Field))
		}
	}
	if n == 0 {
		return nil
	}
	if n > maxNamed {
		named = append(named, fmt.Sprintf("and %d more", n-maxNamed))
	}
	return fmt.Errorf("it differs from the rebuild: %s", strings.Join(named, ", "))
}
