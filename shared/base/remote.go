package base

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Remote is base images that are kept nowhere: a layer is fetched each time that it
// is opened. It is for those who only want to know what there is.
type Remote struct{ Client *registry.Client }

// Resolve is as [Dir.Resolve].
func (r Remote) Resolve(ctx context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	img, err := r.Client.Resolve(ctx, ref, p)
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
	actual, err := img.Platform()
	if err != nil {
		return nil, err
	}
	return &plan.Image{Ref: ref, Digest: digest, Platform: actual, Config: config}, nil
}

// Image opens an image that was resolved. ctx governs reads of the layers too.
func (r Remote) Image(ctx context.Context, img *plan.Image) (v1.Image, error) {
	return r.Client.Open(ctx, img.Ref, img.Digest)
}

// Head implements [Source].
func (r Remote) Head(ctx context.Context, ref string) (v1.Hash, error) {
	return r.Client.Head(ctx, ref)
}

// Reference implements [Source].
func (r Remote) Reference(ref string) (name.Reference, error) { return r.Client.Reference(ref) }
