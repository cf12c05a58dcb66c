// Package source opens what users name: an image or an index in a registry, in an OCI
// layout or in an archive for docker load, or a bare root file system. What it opens it
// does not read: of a manifest's layers nothing is fetched until they are opened, and
// then, where the place allows, only the parts that are asked for.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// The prefixes of what is no reference.
const (
	inLayout  = "oci:"
	inArchive = "docker-archive:"
	inTar     = "tar:"
	inDir     = "dir:"
)

// Source is what a name stands for: an image or an index of images.
type Source struct {
	Name string // as the user wrote it
	// Raw is the manifest or index, of which Digest is the SHA-256.
	Raw       []byte
	MediaType types.MediaType
	Digest    v1.Hash
	// Image or Index is it, opened; the other is nil.
	Image v1.Image
	Index v1.ImageIndex
	// Bare says that the image is files and nothing else, in one layer.
	Bare bool
	// Repository is where it is in a registry; nil if it is not in one.
	Repository *name.Repository
}

// Ranged is a layer of whose blob parts can be read. Layers of a registry or a layout
// are; what a wrapper hides is found by shared/layer's As.
type Ranged interface {
	// Range reads length bytes of the blob from an offset on. The registry may not
	// know ranges, which is an error.
	Range(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// IsReference tells whether a name is one of a registry.
func IsReference(spec string) bool {
	for _, prefix := range []string{inLayout, inArchive, inTar, inDir} {
		if strings.HasPrefix(spec, prefix) {
			return false
		}
	}
	return true
}

// Open opens what a name stands for: a reference, oci:DIR, oci:DIR:NAME, oci:DIR@DIGEST,
// docker-archive:FILE, tar:FILE or dir:DIR. The context is that of all that is read of
// it later, as the interfaces of images have none. What is not there is
// [io/fs.ErrNotExist], or [registry.ErrNotFound].
func Open(ctx context.Context, client *registry.Client, spec string) (*Source, error) {
	s, err := open(ctx, client, spec)
	if err == nil {
		s.Name = spec
		err = s.describe()
	}
	if err != nil && !IsReference(spec) { // errors of registries say what was attempted
		err = fmt.Errorf("open %s: %w", spec, err)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, client *registry.Client, spec string) (*Source, error) {
	if place, ok := strings.CutPrefix(spec, inLayout); ok {
		return openLayout(place)
	}
	if file, ok := strings.CutPrefix(spec, inArchive); ok {
		return openArchive(file)
	}
	if file, ok := strings.CutPrefix(spec, inTar); ok {
		return bare(func() (io.ReadCloser, error) { return openPlain(file) })
	}
	if dir, ok := strings.CutPrefix(spec, inDir); ok {
		return openDir(ctx, dir)
	}
	return openRemote(ctx, client, spec)
}

// describe fills in what the source says of itself.
func (s *Source) describe() (err error) {
	var manifest partial = s.Image
	if s.Index != nil {
		manifest = s.Index
	}
	if s.Raw, err = manifest.RawManifest(); err != nil {
		return err
	}
	if s.Digest, err = manifest.Digest(); err != nil {
		return err
	}
	s.MediaType, err = manifest.MediaType()
	return err
}

// partial is what images and indexes share.
type partial interface {
	RawManifest() ([]byte, error)
	Digest() (v1.Hash, error)
	MediaType() (types.MediaType, error)
}

// errNested is that of an index in an index, of which nobody needs more than its name.
var errNested = fmt.Errorf("an index in an index: %w", errors.ErrUnsupported)
