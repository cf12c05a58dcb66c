package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"
)

// PushImage pushes an image under a tag: what layers and config the repository
// lacks, then the manifest. Whoever pulls the tag meanwhile gets the older image.
func (c *Client) PushImage(ctx context.Context, tag name.Reference, img v1.Image) error {
	err := c.pushImage(ctx, tag, img)
	if errors.Is(err, ErrIncomplete) {
		// Layers were found in the repository, or sent there, and are gone.
		err = c.pushImage(ctx, tag, img)
	}
	return c.failed("push "+tag.Name(), push, tag.Context(), err)
}

func (c *Client) pushImage(ctx context.Context, tag name.Reference, img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(questions)
	for _, l := range append(slices.Clip(layers), config) {
		g.Go(func() error { return c.pushLayer(gctx, tag.Context(), l) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.pushManifest(ctx, tag, img)
}
