package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// signType is the predicate of a statement that says nothing but that an image is
	// signed.
	signType = "https://sigstore.dev/cosign/sign/v1"
	// signedText is the type of cosign's simple texts.
	signedText = "cosign container image signature"
)

// signature checks that who is trusted signed the digest, and, if that is asked for,
// each of an index's images.
func signature(ctx context.Context, v *Verifier, s *subject) ([]Fact, error) {
	facts, err := v.signature(ctx, s, s.Source.Digest)
	if err != nil {
		return facts, err
	}
	if v.Policy.SignedRecursive && s.Index != nil {
		for _, i := range s.images {
			more, err := v.signature(ctx, s, i.Descriptor.Digest)
			if err != nil {
				return facts, fmt.Errorf("the image for %s: %w", platformOf(i), err)
			}
			for _, f := range more {
				facts = append(facts, Fact{platformOf(i) + ": " + f.Name, f.Value})
			}
		}
	}
	s.signed = true
	return facts, nil
}

func (v *Verifier) signature(ctx context.Context, s *subject, h v1.Hash) ([]Fact, error) {
	all, err := s.attached(ctx, v.Client, h)
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, a := range all {
		if a.text == nil && (a.statement == nil || a.statement.PredicateType != signType) && a.err == nil {
			continue // no signature
		}
		by, err := v.signs(a, h)
		if err != nil {
			reasons = append(reasons, a.where+": "+err.Error())
			continue
		}
		return append([]Fact{{"digest", h.String()}, {"found at", a.where}}, by...), nil
	}
	return nil, none("signature", reasons)
}

// signs tells whether an attachment is a signature of a digest, with the annotations
// that are asked for.
func (v *Verifier) signs(a attachment, h v1.Hash) ([]Fact, error) {
	if a.err != nil {
		return nil, a.err
	}
	if a.material == nil {
		return nil, errors.New("nobody signed it")
	}
	by, err := a.trusted(v.Policy.trust, false)
	if err != nil {
		return nil, err
	}
	var notes map[string]any
	if a.text != nil {
		notes, err = readText(a.text, h)
	} else {
		about, missing := a.statement.About(h.Algorithm, h.Hex)
		notes, err = about.Annotations, missing
	}
	if err != nil {
		return nil, err
	}
	for _, key := range sortedKeys(v.Policy.notes) {
		got, ok := notes[key].(string)
		if !ok || got != v.Policy.notes[key] {
			return nil, fmt.Errorf("%s=%s is not signed with it", key, v.Policy.notes[key])
		}
		by = append(by, Fact{"annotation", key + "=" + got})
	}
	return by, nil
}

// readText reads a simple text of cosign's, which must be about a digest
// (SIGNATURE_SPEC.md of its sources).
func readText(raw []byte, h v1.Hash) (notes map[string]any, err error) {
	var text struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
		Optional map[string]any `json:"optional"`
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("read what was signed: %w", err)
	}
	switch {
	case text.Critical.Type != signedText:
		return nil, fmt.Errorf("what was signed is %q", text.Critical.Type)
	case text.Critical.Image.Digest != h.String():
		return nil, errors.New("it is a signature of something else")
	}
	return text.Optional, nil
}
