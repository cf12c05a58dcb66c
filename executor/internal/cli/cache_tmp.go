package cli

import (
	"github.com/kaniko-suite/kaniko/shared/cache"
)

func (b *builder) openPlace(repo string) (*cache.Place, error) {
	tag, err := b.client.Tag(repo)
	if err != nil {
		return nil, err
	}
	return cache.InRepository(b.client, tag.Context(), cache.Options{Tool: tool(), Keep: b.bases.Layer}), nil
}
