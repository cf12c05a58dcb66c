package image

import (
	"bytes"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

var _ v1.Image = (*assembled)(nil)

// assembled is an image whose manifest and config are written. It never changes.
type assembled struct {
	family      family
	layers      []v1.Layer
	diffIDs     []v1.Hash // of layers, in the same order
	manifest    *v1.Manifest
	rawManifest []byte
	rawConfig   []byte
}

// Layers implements [v1.Image].
func (i *assembled) Layers() ([]v1.Layer, error) { return append([]v1.Layer(nil), i.layers...), nil }

// MediaType implements [v1.Image].
func (i *assembled) MediaType() (types.MediaType, error) { return i.family.manifest, nil }

// Size implements [v1.Image].
func (i *assembled) Size() (int64, error) { return int64(len(i.rawManifest)), nil }

// ConfigName implements [v1.Image].
func (i *assembled) ConfigName() (v1.Hash, error) { return i.manifest.Config.Digest, nil }

// ConfigFile implements [v1.Image].
func (i *assembled) ConfigFile() (*v1.ConfigFile, error) {
	return v1.ParseConfigFile(bytes.NewReader(i.rawConfig))
}

// RawConfigFile implements [v1.Image].
func (i *assembled) RawConfigFile() ([]byte, error) { return bytes.Clone(i.rawConfig), nil }

// Digest implements [v1.Image].
func (i *assembled) Digest() (v1.Hash, error) { return partial.Digest(i) }

// Manifest implements [v1.Image].
func (i *assembled) Manifest() (*v1.Manifest, error) { return i.manifest.DeepCopy(), nil }

// RawManifest implements [v1.Image].
func (i *assembled) RawManifest() ([]byte, error) { return bytes.Clone(i.rawManifest), nil }

// LayerByDigest implements [v1.Image]. It finds the config too, as those who
// write images expect.
func (i *assembled) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if h == i.manifest.Config.Digest {
		return partial.ConfigLayer(i)
	}
	for n, d := range i.manifest.Layers {
		if d.Digest == h {
			return i.layers[n], nil
		}
	}
	return nil, fmt.Errorf("find layer: the image has no blob %s", h)
}

// LayerByDiffID implements [v1.Image].
func (i *assembled) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for n, d := range i.diffIDs {
		if d == h {
			return i.layers[n], nil
		}
	}
	return nil, fmt.Errorf("find layer: the image has no diff id %s", h)
}
