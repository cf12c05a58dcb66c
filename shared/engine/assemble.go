package engine

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/image"
)

// assemble makes the image of a finished stage.
func (b *build) assemble(s *stage) (v1.Image, error) {
	a := image.Assembly{
		Base: s.base, Config: s.plan.Config, StartInterval: s.plan.StartInterval, Created: b.Created,
		Form: b.Form,
	}
	for _, r := range s.history {
		a.Additions = append(a.Additions, image.Addition{
			Layer:   r.layer,
			History: v1.History{CreatedBy: r.step.CreatedBy, Author: s.plan.Config.Author},
		})
	}
	return image.Assemble(a)
}
