package image

import (
	"bytes"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index is a list of images for several platforms, as it is written (OCI image spec,
// image-index.md; Docker calls it a manifest list).
type Index struct {
	Raw       []byte
	MediaType types.MediaType
	Digest    v1.Hash
}

// Describe is what an index says of an image: its manifest's descriptor, with the
// platform that its config states.
func Describe(img v1.Image) (v1.Descriptor, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mt, err := img.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	c, err := img.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if c.OS == "" || c.Architecture == "" {
		return v1.Descriptor{}, fmt.Errorf("image %s does not say what platform it is for", digest)
	}
	return v1.Descriptor{MediaType: mt, Digest: digest, Size: int64(len(raw)), Platform: c.Platform()}, nil
}

// NewIndex makes an index of images, in the order given. Without a format in the form
// it is Docker's if all images are, and has no annotations; otherwise OCI's.
func NewIndex(images []v1.Descriptor, f Form) (*Index, error) {
	if len(images) == 0 {
		return nil, errors.New("make index: there are no images for it")
	}
	i := &Index{MediaType: types.DockerManifestList}
	if f.Format == OCI || f.Format == AsBase && (len(f.Annotations) > 0 || !allDocker(images)) {
		i.MediaType = types.OCIImageIndex
	}
	var err error
	i.Raw, err = encode(v1.IndexManifest{
		SchemaVersion: 2, MediaType: i.MediaType, Manifests: images, Annotations: f.Annotations,
	})
	if err == nil {
		i.Digest, _, err = v1.SHA256(bytes.NewReader(i.Raw))
	}
	if err != nil {
		return nil, fmt.Errorf("make index: %w", err)
	}
	return i, nil
}

func allDocker(images []v1.Descriptor) bool {
	for _, d := range images {
		if d.MediaType != types.DockerManifestSchema2 {
			return false
		}
	}
	return true
}

// Descriptor is that of the index itself.
func (i *Index) Descriptor() v1.Descriptor {
	return v1.Descriptor{MediaType: i.MediaType, Digest: i.Digest, Size: int64(len(i.Raw))}
}
