package engine

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func (b *build) assemble(_ context.Context, s *stage) (v1.Image, error) {
	img := s.base
	if img == nil {
		img = empty.Image
	}
	for _, r := range s.history {
		a := mutate.Addendum{History: v1.History{CreatedBy: r.step.CreatedBy, Created: v1.Time{Time: b.Created}, EmptyLayer: r.layer == nil}}
		if r.layer != nil {
			a.Layer = r.layer
		}
		var err error
		if img, err = mutate.Append(img, a); err != nil {
			return nil, err
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.Created = v1.Time{Time: b.Created}
	return mutate.ConfigFile(img, c)
}
