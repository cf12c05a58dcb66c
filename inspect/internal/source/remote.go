package source

import (
	"bytes"
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// openRemote opens what a reference stands for. Of layers nothing is read.
func openRemote(ctx context.Context, client *registry.Client, spec string) (*Source, error) {
	ref, err := client.Reference(spec)
	if err != nil {
		return nil, err
	}
	m, err := client.Named(ctx, spec)
	if err != nil {
		return nil, err
	}
	repo := ref.Context()
	s := &Source{Repository: &repo}
	if m.MediaType.IsIndex() {
		s.Index = &remoteIndex{ctx, client, repo, m}
		return s, nil
	}
	s.Image, err = openImage(ctx, client, repo, m.Digest)
	return s, err
}

func openImage(ctx context.Context, client *registry.Client, repo name.Repository, digest v1.Hash) (v1.Image, error) {
	img, err := client.Open(ctx, repo.Digest(digest.String()).Name(), digest)
	if err != nil {
		return nil, err // not an interface with nothing in it
	}
	return img, nil
}

// remoteIndex is an index in a registry.
type remoteIndex struct {
	ctx    context.Context // of all that is read of it, as the interface has none
	client *registry.Client
	repo   name.Repository
	m      *registry.Manifest
}

var _ v1.ImageIndex = (*remoteIndex)(nil)

// MediaType implements [v1.ImageIndex].
func (i *remoteIndex) MediaType() (types.MediaType, error) { return i.m.MediaType, nil }

// Digest implements [v1.ImageIndex].
func (i *remoteIndex) Digest() (v1.Hash, error) { return i.m.Digest, nil }

// Size implements [v1.ImageIndex].
func (i *remoteIndex) Size() (int64, error) { return int64(len(i.m.Raw)), nil }

// RawManifest implements [v1.ImageIndex].
func (i *remoteIndex) RawManifest() ([]byte, error) { return i.m.Raw, nil }

// IndexManifest implements [v1.ImageIndex].
func (i *remoteIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.m.Raw))
}

// Image implements [v1.ImageIndex].
func (i *remoteIndex) Image(h v1.Hash) (v1.Image, error) {
	return openImage(i.ctx, i.client, i.repo, h)
}

// ImageIndex implements [v1.ImageIndex]; indexes in indexes are known by digest alone.
func (i *remoteIndex) ImageIndex(v1.Hash) (v1.ImageIndex, error) { return nil, errNested }
