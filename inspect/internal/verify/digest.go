package verify

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// pinned checks what the name stands for.
func pinned(_ context.Context, v *Verifier, s *subject) ([]Fact, error) {
	got := s.Source.Digest.String()
	facts := []Fact{{"digest", got}}
	if got != v.Policy.Digest {
		return facts, fmt.Errorf("it is %s, and should be %s", got, v.Policy.Digest)
	}
	return facts, nil
}

// places checks that the same is found elsewhere. Nothing is fetched.
func places(ctx context.Context, v *Verifier, s *subject) error {
	for _, place := range v.Policy.AlsoAt {
		err := v.note(ctx, s, "also-at", "", func(ctx context.Context) ([]Fact, error) {
			facts := []Fact{{"place", place}}
			if !source.IsReference(place) {
				return facts, fmt.Errorf("%s is not a reference", place)
			}
			at, err := v.head(ctx, place)
			if err != nil {
				return facts, err
			}
			facts = append(facts, Fact{"digest", at})
			if at != s.Source.Digest.String() {
				return facts, fmt.Errorf("%s is %s there, and %s here", place, at, s.Source.Digest)
			}
			return facts, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// head asks what a reference stands for. One with a digest stands for that whether it is
// there or not, so its manifest is fetched.
func (v *Verifier) head(ctx context.Context, spec string) (string, error) {
	ref, err := v.Client.Reference(spec)
	if err != nil {
		return "", err
	}
	if _, ok := ref.(name.Digest); ok {
		m, err := v.Client.Manifest(ctx, ref, maxManifest)
		if err != nil {
			return "", err
		}
		return m.Digest.String(), nil
	}
	h, err := v.Client.Head(ctx, spec)
	if err != nil {
		return "", err
	}
	return h.String(), nil
}
