package source

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
)

// openLayout opens DIR, DIR:NAME or DIR@DIGEST of an OCI layout. Without a name it is
// the only image or index there, else all of them as one index.
func openLayout(place string) (*Source, error) {
	dir, wanted, err := splitPlace(place)
	if err != nil {
		return nil, err
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	index, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		if wanted(d) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("the layout has no such image: %w", fs.ErrNotExist)
	case len(found) > 1:
		return &Source{Index: inLayoutIndex{index, path}}, nil
	case found[0].MediaType.IsIndex():
		child, err := index.ImageIndex(found[0].Digest)
		return &Source{Index: inLayoutIndex{child, path}}, err
	}
	img, err := index.Image(found[0].Digest)
	return &Source{Image: inLayoutImage{img, path}}, err
}

// splitPlace parts a directory from the name or digest of an image in it. A directory
// of that name, colon and all, is meant first.
func splitPlace(place string) (dir string, wanted match.Matcher, err error) {
	if _, err := os.Stat(place); err == nil {
		return place, func(v1.Descriptor) bool { return true }, nil
	}
	if dir, digest, ok := strings.Cut(place, "@"); ok {
		h, err := v1.NewHash(digest)
		return dir, match.Digests(h), err
	}
	if i := strings.LastIndexByte(place, ':'); i > 0 {
		return place[:i], match.Name(place[i+1:]), nil
	}
	return place, func(v1.Descriptor) bool { return true }, nil
}

// embedded is an index under a name that is not that of one of its methods.
type embedded = v1.ImageIndex

// inLayoutIndex is an index in a layout.
type inLayoutIndex struct {
	embedded
	path layout.Path
}

// Image implements [v1.ImageIndex].
func (i inLayoutIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := i.embedded.Image(h)
	return inLayoutImage{img, i.path}, err
}

// inLayoutImage is an image in a layout, of whose layers parts can be read.
type inLayoutImage struct {
	v1.Image
	path layout.Path
}

// Layers implements [v1.Image].
func (i inLayoutImage) Layers() ([]v1.Layer, error) {
	layers, err := i.Image.Layers()
	for n, l := range layers {
		layers[n] = inLayoutLayer{l, i.path}
	}
	return layers, err
}

type inLayoutLayer struct {
	v1.Layer
	path layout.Path
}

// Unwrap is the layer as the layout has it.
func (l inLayoutLayer) Unwrap() v1.Layer { return l.Layer }

// Range implements [Ranged].
func (l inLayoutLayer) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	h, err := l.Digest()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(string(l.path), "blobs", h.Algorithm, h.Hex))
	if err != nil {
		return nil, err
	}
	return part{io.NewSectionReader(file, offset, length), file}, nil
}

// part is a part of what is closed with it.
type part struct {
	io.Reader
	io.Closer
}
