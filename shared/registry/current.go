package registry

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Current is the digest of what a reference stands for now: unlike [Client.Head], it is
// never answered from memory nor by a mirror. What is not there is [ErrNotFound].
func (c *Client) Current(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	digest, err := c.head(ctx, ref)
	var silent *digestlessError
	if errors.As(err, &silent) { // a 404, too: some do not know the method
		var m *manifest
		if m, err = c.fetchManifest(ctx, ref, maxCurrent); err == nil {
			digest = m.digest
		}
	}
	return digest, c.failed("look up "+ref.Name(), pull, ref.Context(), err)
}

// maxCurrent bounds a manifest that is fetched only for its digest, in bytes: what
// registries take at most.
const maxCurrent = 4 << 20
