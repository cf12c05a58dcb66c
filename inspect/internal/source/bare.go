package source

import (
	"crypto/sha256"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// bare makes an image of an archive of files, which is read once for its digest.
func bare(open func() (io.ReadCloser, error)) (*Source, error) {
	l := &plainLayer{open: open}
	if err := l.sum(); err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	return &Source{Image: img, Bare: true}, err
}

// plainLayer is a layer that is not compressed, of an archive that can be opened again.
type plainLayer struct {
	open   func() (io.ReadCloser, error)
	digest v1.Hash
	size   int64
}

var _ v1.Layer = (*plainLayer)(nil)

func (l *plainLayer) sum() error {
	r, err := l.open()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if l.size, err = io.Copy(sum, r); err != nil {
		return err
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}
	return nil
}

// Digest implements [v1.Layer].
func (l *plainLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements [v1.Layer].
func (l *plainLayer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size implements [v1.Layer].
func (l *plainLayer) Size() (int64, error) { return l.size, nil }

// MediaType implements [v1.Layer].
func (l *plainLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed implements [v1.Layer].
func (l *plainLayer) Compressed() (io.ReadCloser, error) { return l.open() }

// Uncompressed implements [v1.Layer].
func (l *plainLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }
