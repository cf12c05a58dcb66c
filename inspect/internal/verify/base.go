package verify

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// namedBase is what an image says that its base is.
func namedBase(s *subject, i source.Image) (*describe.Named, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	var above map[string]string
	if s.Index != nil {
		index, err := s.Index.IndexManifest()
		if err != nil {
			return nil, err
		}
		above = index.Annotations
	}
	named := describe.NamedBase(m.Annotations, above, config)
	if named == nil {
		return nil, errors.New("the image does not say what its base is")
	}
	return named, nil
}

// base checks what an image lies on.
func base(ctx context.Context, v *Verifier, s *subject, i source.Image) ([]Fact, error) {
	var facts []Fact
	if v.Policy.Base || v.Policy.BaseCurrent {
		found, err := v.recordedBase(ctx, s, i)
		facts = append(facts, found...)
		if err != nil {
			return facts, err
		}
	}
	if v.Policy.BaseImage != "" {
		found, err := v.liesOn(ctx, v.Policy.BaseImage, i)
		facts = append(facts, found...)
		if err != nil {
			return facts, err
		}
	}
	return facts, nil
}

// recordedBase checks that the base that an image names is there by its digest and
// is below it, and, if that is asked for, that its name stands for it still.
func (v *Verifier) recordedBase(ctx context.Context, s *subject, i source.Image) ([]Fact, error) {
	named, err := namedBase(s, i)
	if err != nil {
		return nil, err
	}
	facts := []Fact{{"base", named.Name}, {"base digest", named.Digest}}
	if named.Name == "" || named.Digest == "" {
		return facts, errors.New("the image does not say both name and digest of its base")
	}
	// An image must not have us look into files of this machine.
	if !source.IsReference(named.Name) {
		return facts, fmt.Errorf("the base %q is not a reference", named.Name)
	}
	ref, err := v.Client.Reference(named.Name)
	if err != nil {
		return facts, err
	}
	if _, err := v1.NewHash(named.Digest); err != nil {
		return facts, fmt.Errorf("the base's digest: %w", err)
	}
	found, err := v.liesOn(ctx, ref.Context().Digest(named.Digest).Name(), i)
	facts = append(facts, found...)
	if err != nil || !v.Policy.BaseCurrent {
		return facts, err
	}
	now, err := source.Open(ctx, v.Client, named.Name)
	if err != nil {
		return facts, err
	}
	facts = append(facts, Fact{"base today", now.Digest.String()})
	if now.Digest.String() == named.Digest {
		return facts, nil
	}
	if all, err := now.Images(&i.Platform); err == nil && all[0].Descriptor.Digest.String() == named.Digest {
		return facts, nil
	}
	return facts, fmt.Errorf("the base is outdated: %s is %s today", named.Name, now.Digest)
}

// liesOn checks that all layers of a base are an image's lowest ones.
func (v *Verifier) liesOn(ctx context.Context, spec string, i source.Image) ([]Fact, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	below, err := source.Open(ctx, v.Client, spec)
	if err != nil {
		return nil, err
	}
	all, err := below.Images(&i.Platform)
	if err != nil {
		return nil, err
	}
	its, err := all[0].ConfigFile()
	if err != nil {
		return nil, err
	}
	ids, want := config.RootFS.DiffIDs, its.RootFS.DiffIDs
	facts := []Fact{{"lies on", spec}, {"layers of the base", fmt.Sprintf("%d of %d", describe.Shared(ids, want), len(want))}}
	if !describe.IsBase(ids, want) {
		return facts, fmt.Errorf("it does not lie on %s: it has %d of its %d layers", spec, describe.Shared(ids, want), len(want))
	}
	return facts, nil
}
