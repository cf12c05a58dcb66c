package plan

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
)

// maxManifest is what registries take at most, in bytes.
const maxManifest = 4 << 20

// Gather fetches the manifests of what is to be deleted, some at a time, so that it can be
// restored. One that is not there any more stays without.
func Gather(ctx context.Context, p place.Place, c *Cache, atATime int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atATime)
	for _, e := range c.Victims() {
		g.Go(func() error {
			m, err := p.Manifest(gctx, e.Digest, maxManifest)
			if place.Missing(err) {
				return nil
			}
			if err != nil {
				return err
			}
			e.Manifest, e.MediaType = m.Raw, m.MediaType
			return nil
		})
	}
	return g.Wait()
}
