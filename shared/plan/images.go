package plan

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// Named is an image that a Dockerfile names.
type Named struct {
	Ref      string // arguments expanded
	Platform v1.Platform
	At       dockerfile.Location // where it is named first
}

// Images lists the images that the stages of a Dockerfile are made of, those that its
// target does not need too: what FROM, COPY --from and RUN --mount=from name, if it is no
// stage and not scratch. Each is there once for a platform, in the order of the
// stages. Triggers of bases name more; they are known as far as Options.Bases has
// the images.
func Images(ctx context.Context, f *dockerfile.File, o Options) ([]Named, error) {
	o.Bases = lenientBases{o.Bases}
	c := newCompiler(f, o)
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	if err := c.prepare(target); err != nil {
		return nil, err
	}
	for _, d := range c.drafts {
		if _, err := c.resolve(ctx, d); err != nil {
			return nil, err
		}
	}
	return c.named()
}

func (c *compiler) named() ([]Named, error) {
	var all []Named
	seen := map[imageKey]bool{}
	add := func(k imageKey, p v1.Platform, at dockerfile.Location) {
		if !seen[k] {
			seen[k] = true
			all = append(all, Named{k.ref, p, at})
		}
	}
	for _, d := range c.drafts {
		if d.isImage() {
			add(imageKey{d.ref, formatPlatform(d.platform)}, d.platform, d.in.At)
		}
		for _, u := range d.uses() {
			from, err := c.find(d, u)
			if err != nil {
				return nil, err
			}
			if from.image != (imageKey{}) {
				add(from.image, c.o.TargetPlatform, u.at)
			}
		}
	}
	return all, nil
}

// lenientBases takes an image that cannot be had for one of which nothing is known: that
// is for who wants the image.
type lenientBases struct{ inner Bases }

// Resolve implements [Bases].
func (b lenientBases) Resolve(ctx context.Context, ref string, p v1.Platform) (*Image, error) {
	if b.inner != nil {
		if img, err := b.inner.Resolve(ctx, ref, p); err == nil || ctx.Err() != nil {
			return img, err
		}
	}
	return unknownBases{}.Resolve(ctx, ref, p)
}
