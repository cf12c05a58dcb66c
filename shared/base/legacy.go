package base

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// legacy opens an image that kaniko's warmer has kept: a file "sha256:HEX", where HEX is
// the digest of the image's manifest, with a tarball as of docker save, and beside it
// the manifest in "sha256:HEX.json". An early kaniko left that out; then the tarball
// must come to the same manifest.
func (s *Store) legacy(ctx context.Context, at name.Repository, digest v1.Hash) (*Image, error) {
	if checked, err := v1.NewHash(digest.String()); err != nil || checked != digest || digest.Algorithm != "sha256" {
		return nil, fs.ErrNotExist
	}
	path := filepath.Join(s.Path(), digest.String())
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s in %s: %w", digest, s.Path(), fs.ErrNotExist)
	}
	i, err := openLegacy(ctx, at, digest, path)
	if err != nil {
		return nil, fmt.Errorf("read %s, as kaniko's warmer wrote it: %w", path, err)
	}
	return i, nil
}

func openLegacy(ctx context.Context, at name.Repository, digest v1.Hash, path string) (*Image, error) {
	tarred, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		return nil, err
	}
	raw, err := readSmall(path+".json", maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = tarred.RawManifest()
	}
	if err != nil {
		return nil, err
	}
	if err := checkBytes(raw, digest); err != nil {
		return nil, err
	}
	layers, err := tarred.Layers()
	if err != nil {
		return nil, err
	}
	desc := v1.Descriptor{Digest: digest, Size: int64(len(raw)), MediaType: types.DockerManifestSchema2}
	i, err := newImage(ctx, at, desc, raw, inTarball(layers))
	if err != nil {
		return nil, err
	}
	if i.manifest.MediaType != "" {
		i.desc.MediaType = i.manifest.MediaType
	}
	if len(layers) != len(i.layers) {
		return nil, fmt.Errorf("the tarball has %d layers, the manifest %d", len(layers), len(i.layers))
	}
	if i.rawConfig, err = tarred.RawConfigFile(); err != nil {
		return nil, err
	}
	if err := checkBytes(i.rawConfig, i.manifest.Config.Digest); err != nil {
		return nil, err
	}
	return i, i.parseConfig()
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

func checkBytes(b []byte, want v1.Hash) error {
	if got := fmt.Sprintf("%x", sha256.Sum256(b)); want.Algorithm != "sha256" || got != want.Hex {
		return fmt.Errorf("%s is not there, but something of digest %s", want, got)
	}
	return nil
}

// inTarball is the layers of a tarball, in the manifest's order.
type inTarball []v1.Layer

func (t inTarball) open(ctx context.Context, n int, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := t[n].Compressed()
	if err != nil {
		return nil, err
	}
	return &checked{ctx: ctx, ReadCloser: r, want: d, hash: sha256.New()}, nil
}

func (inTarball) index(context.Context, v1.Descriptor) (layer.Changes, bool) { return nil, false }

// checked reads io.EOF only of what it should be.
type checked struct {
	ctx context.Context
	io.ReadCloser
	want v1.Descriptor
	hash hash.Hash
	n    int64
}

func (c *checked) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.ReadCloser.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	if err == io.EOF {
		if got := fmt.Sprintf("%x", c.hash.Sum(nil)); got != c.want.Digest.Hex || c.n != c.want.Size {
			err = fmt.Errorf("layer %s in a tarball is %d bytes of digest %s", c.want.Digest, c.n, got)
		}
	}
	return n, err
}
