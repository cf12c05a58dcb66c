package verify

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

// indexed checks the layers that can be mounted before they are fetched.
func indexed(ctx context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := i.Layers()
	if err != nil {
		return nil, err
	}
	if len(config.RootFS.DiffIDs) != len(layers) || len(m.Layers) != len(layers) {
		return nil, fmt.Errorf("the manifest has %d layers and the configuration %d", len(m.Layers), len(config.RootFS.DiffIDs))
	}
	var facts []Fact
	found := 0
	for n, l := range layers {
		d := m.Layers[n]
		if !toc.Announced(d) {
			if v.Policy.EStargzAll {
				return facts, fmt.Errorf("layer %d has no index", n+1)
			}
			continue
		}
		found++
		fact, err := v.index(ctx, l, d, config.RootFS.DiffIDs[n])
		if err != nil {
			return facts, fmt.Errorf("layer %d: %w", n+1, err)
		}
		facts = append(facts, Fact{fmt.Sprintf("layer %d", n+1), fact})
	}
	if found == 0 {
		return facts, errors.New("no layer has an index")
	}
	return append(facts, Fact{"layers with an index", fmt.Sprintf("%d of %d", found, len(layers))}), nil
}

// index checks one, by its footer and index alone or by all of its bytes.
func (v *Verifier) index(ctx context.Context, l v1.Layer, d v1.Descriptor, diffID v1.Hash) (string, error) {
	if v.Policy.EStargz == full {
		seen, err := toc.Verify(ctx, l, d, diffID, v.Spool)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, index %s, %d files of %d bytes read by it", toc.Format(d), d.Annotations[toc.Key], seen.Files, seen.Bytes), nil
	}
	i, err := toc.Open(ctx, l, d)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, index %s, %d entries", toc.Format(d), i.Digest, len(i.Members())), nil
}
