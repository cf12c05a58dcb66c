package cli

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// bases finds base images in their registries.
type bases struct{ client *registry.Client }

func (b bases) Resolve(ctx context.Context, ref string, platform v1.Platform) (*plan.Image, error) {
	img, err := b.client.Resolve(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	is, err := img.Platform()
	if err != nil {
		return nil, err
	}
	return &plan.Image{Ref: ref, Digest: digest, Platform: is, Config: config}, nil
}
