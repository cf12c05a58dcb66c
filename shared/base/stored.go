package base

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Image is an image of a store. Its layers are [registry.Located] where its reference
// says, and [layer.Indexed].
type Image struct {
	at        name.Repository
	desc      v1.Descriptor
	raw       []byte
	manifest  *v1.Manifest
	rawConfig []byte
	config    *v1.ConfigFile
	layers    []*storedLayer
}

var _ v1.Image = (*Image)(nil)

// bytesOf opens the layers of an image, by their number. io.EOF is read only of content
// that is right.
type bytesOf interface {
	open(ctx context.Context, n int, d v1.Descriptor) (io.ReadCloser, error)
	index(ctx context.Context, d v1.Descriptor) (layer.Changes, bool)
}

// Open opens the image with a manifest's digest, if all of it is in the store; at says
// which repository has its layers too. ctx governs later reads as well. What is not
// there is an [fs.ErrNotExist].
func (s *Store) Open(ctx context.Context, at name.Repository, digest v1.Hash) (*Image, error) {
	desc, err := s.descriptor(digest)
	if err != nil {
		return nil, err
	}
	raw, err := s.read(ctx, *desc, maxManifest)
	if err != nil {
		return nil, err
	}
	i, err := newImage(ctx, at, *desc, raw, inStore{s})
	if err != nil {
		return nil, err
	}
	for _, l := range i.layers {
		if s.dir.Has(l.desc) {
			continue
		}
		r, err := s.dir.Blob(ctx, l.desc) // which knows why
		if err == nil {
			err = r.Close() // it has come meanwhile
		}
		if err != nil {
			return nil, err
		}
	}
	if i.rawConfig, err = s.read(ctx, i.manifest.Config, maxConfig); err != nil {
		return nil, err
	}
	return i, i.parseConfig()
}

func newImage(ctx context.Context, at name.Repository, desc v1.Descriptor, raw []byte, from bytesOf) (*Image, error) {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", desc.Digest, err)
	}
	i := &Image{at: at, desc: desc, raw: raw, manifest: m}
	for n, d := range m.Layers {
		i.layers = append(i.layers, &storedLayer{ctx: ctx, image: i, number: n, desc: d, from: from})
	}
	return i, nil
}

func (i *Image) parseConfig() (err error) {
	if i.config, err = v1.ParseConfigFile(bytes.NewReader(i.rawConfig)); err != nil {
		return fmt.Errorf("read config of %s: %w", i.desc.Digest, err)
	}
	if ids := len(i.config.RootFS.DiffIDs); ids != len(i.layers) {
		return fmt.Errorf("%s has %d layers and a config with %d", i.desc.Digest, len(i.layers), ids)
	}
	return nil
}

// inStore is the layers that are blobs.
type inStore struct{ store *Store }

func (i inStore) open(ctx context.Context, _ int, d v1.Descriptor) (io.ReadCloser, error) {
	return i.store.dir.Blob(ctx, d)
}

func (i inStore) index(ctx context.Context, d v1.Descriptor) (layer.Changes, bool) {
	return i.store.index(ctx, d.Digest)
}

// Platform is what the image's config says it is for, normalized.
func (i *Image) Platform() v1.Platform {
	c := i.config
	return registry.Normalize(v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant, OSVersion: c.OSVersion})
}

// Layers are the image's layers, the lowest first.
func (i *Image) Layers() ([]v1.Layer, error) {
	all := make([]v1.Layer, len(i.layers))
	for n, l := range i.layers {
		all[n] = l
	}
	return all, nil
}

// MediaType is the manifest's.
func (i *Image) MediaType() (types.MediaType, error) { return i.desc.MediaType, nil }

// Size is the manifest's, in bytes.
func (i *Image) Size() (int64, error) { return int64(len(i.raw)), nil }

// ConfigName is the config's digest.
func (i *Image) ConfigName() (v1.Hash, error) { return i.manifest.Config.Digest, nil }

// ConfigFile is the parsed config; it must not be changed.
func (i *Image) ConfigFile() (*v1.ConfigFile, error) { return i.config, nil }

// RawConfigFile is the config as the registry has it.
func (i *Image) RawConfigFile() ([]byte, error) { return i.rawConfig, nil }

// Digest is the manifest's.
func (i *Image) Digest() (v1.Hash, error) { return i.desc.Digest, nil }

// Manifest is the parsed manifest; it must not be changed.
func (i *Image) Manifest() (*v1.Manifest, error) { return i.manifest, nil }

// RawManifest is the manifest as the registry has it.
func (i *Image) RawManifest() ([]byte, error) { return i.raw, nil }

// LayerByDigest finds a layer by its compressed digest.
func (i *Image) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	for _, l := range i.layers {
		if l.desc.Digest == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s: %w", i.desc.Digest, h, registry.ErrNotFound)
}

// LayerByDiffID finds a layer by its uncompressed digest.
func (i *Image) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for n, id := range i.config.RootFS.DiffIDs {
		if id == h {
			return i.layers[n], nil
		}
	}
	return nil, fmt.Errorf("%s has no layer of content %s: %w", i.desc.Digest, h, registry.ErrNotFound)
}

// storedLayer is a layer of an [Image].
type storedLayer struct {
	ctx    context.Context
	image  *Image
	number int
	desc   v1.Descriptor
	from   bytesOf
}

var (
	_ v1.Layer         = (*storedLayer)(nil)
	_ registry.Located = (*storedLayer)(nil)
	_ layer.Indexed    = (*storedLayer)(nil)
)

// Ref implements [registry.Located].
func (l *storedLayer) Ref() name.Digest { return l.image.at.Digest(l.desc.Digest.String()) }

// Index implements [layer.Indexed].
func (l *storedLayer) Index() (layer.Changes, bool) { return l.from.index(l.ctx, l.desc) }

func (l *storedLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

func (l *storedLayer) DiffID() (v1.Hash, error) {
	return l.image.config.RootFS.DiffIDs[l.number], nil
}

func (l *storedLayer) Size() (int64, error) { return l.desc.Size, nil }

func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Descriptor is the layer's entry in the manifest.
func (l *storedLayer) Descriptor() (*v1.Descriptor, error) { return l.desc.DeepCopy(), nil }

// Compressed reads the layer as the registry has it. io.EOF is read only of content
// that is right.
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	return l.from.open(l.ctx, l.number, l.desc)
}

func (l *storedLayer) Uncompressed() (io.ReadCloser, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return layer.Decompress(r)
}
