package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/image"
)

const (
	layoutFile = "oci-layout"
	layoutText = `{"imageLayoutVersion":"1.0.0"}`
	indexFile  = "index.json"
)

// Layout writes the image into a directory as an OCI layout that names it alone.
// The index is replaced last and at once, so that an older image is whole until
// then; what blobs it had stay.
type Layout struct{ Path string }

var _ engine.Exporter = (*Layout)(nil)

// Layer does nothing: a layer is written when the image is complete.
func (o *Layout) Layer(context.Context, v1.Layer) error { return nil }

// Image writes the layout. Errors are an [OutputError].
func (o *Layout) Image(ctx context.Context, img v1.Image) error {
	if err := o.write(ctx, img); err != nil {
		return &OutputError{"OCI layout", o.Path, err}
	}
	return nil
}

func (o *Layout) write(ctx context.Context, img v1.Image) error {
	c, err := gather(img)
	if err != nil {
		return err
	}
	if err := o.blobs(ctx, c.blobs); err != nil {
		return err
	}
	return o.name(c.manifest)
}

// Index writes an index and its images as an OCI layout that names the index alone.
// Errors are an [OutputError].
func (o *Layout) Index(ctx context.Context, index *image.Index, images []v1.Image) error {
	if err := o.writeIndex(ctx, index, images); err != nil {
		return &OutputError{"OCI layout", o.Path, err}
	}
	return nil
}

func (o *Layout) writeIndex(ctx context.Context, index *image.Index, images []v1.Image) error {
	for _, img := range images {
		c, err := gather(img)
		if err != nil {
			return err
		}
		if err := o.blobs(ctx, c.blobs); err != nil {
			return err
		}
	}
	if err := o.blobs(ctx, []blob{inMemory(index.Digest, index.Raw)}); err != nil {
		return err
	}
	return o.name(index.Descriptor())
}

// blobs writes those that are not there.
func (o *Layout) blobs(ctx context.Context, blobs []blob) error {
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(o.Path, "blobs", b.digest.Algorithm, b.digest.Hex)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Size() == b.size {
			continue
		}
		if err := writeFile(path, func(w io.Writer) error { return b.copy(ctx, w) }); err != nil {
			return fmt.Errorf("blob %s: %w", b.digest, err)
		}
	}
	return nil
}

// name makes a manifest that is there the one which the layout names.
func (o *Layout) name(d v1.Descriptor) error {
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d},
	})
	if err != nil {
		return err
	}
	if err := o.file(layoutFile, []byte(layoutText)); err != nil {
		return err
	}
	return o.file(indexFile, index)
}

func (o *Layout) file(name string, content []byte) error {
	return writeFile(filepath.Join(o.Path, name), func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// contents are an image as blobs: the layers, each once, the config, the
// manifest.
type contents struct {
	blobs    []blob
	layers   []blob // as the image has them, foreign ones included
	config   blob
	manifest v1.Descriptor
}

type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
}

func gather(img v1.Image) (*contents, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != len(m.Layers) {
		return nil, fmt.Errorf("the image has %d layers and its manifest %d", len(layers), len(m.Layers))
	}
	c := &contents{}
	seen := make(map[v1.Hash]bool)
	for i, l := range layers {
		d := m.Layers[i]
		b := blob{d.Digest, d.Size, l.Compressed}
		c.layers = append(c.layers, b)
		if seen[d.Digest] || !d.MediaType.IsDistributable() {
			continue
		}
		seen[d.Digest] = true
		c.blobs = append(c.blobs, b)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	c.config = inMemory(m.Config.Digest, config)
	raw, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	mt, err := img.MediaType()
	if err != nil {
		return nil, err
	}
	c.manifest = v1.Descriptor{MediaType: mt, Digest: digest, Size: int64(len(raw))}
	c.blobs = append(c.blobs, c.config, inMemory(digest, raw))
	return c, nil
}

func inMemory(h v1.Hash, b []byte) blob {
	return blob{h, int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// copy writes the blob, and fails if it is not what its digest and size say.
func (b *blob) copy(ctx context.Context, w io.Writer) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	h, err := v1.Hasher(b.digest.Algorithm)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(w, h), &bounded{ctx, r})
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != b.digest.Hex || n != b.size {
		return fmt.Errorf("%d bytes of digest %s instead of %d of %s", n, got, b.size, b.digest.Hex)
	}
	return nil
}

// bounded stops reading when its context is done.
type bounded struct {
	ctx context.Context
	r   io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}
