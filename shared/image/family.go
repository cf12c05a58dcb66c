package image

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// dockerZstd is what Docker's tools write for a zstd layer below a manifest of
// their own; no specification has it.
const dockerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

// family is one of the two sets of media types. An image uses one of them.
type family struct {
	manifest, config       types.MediaType
	plain, gzip, zstandard types.MediaType // of layers
}

func docker() family {
	return family{
		manifest: types.DockerManifestSchema2, config: types.DockerConfigJSON,
		plain: types.DockerUncompressedLayer, gzip: types.DockerLayer, zstandard: dockerZstd,
	}
}

func oci() family {
	return family{
		manifest: types.OCIManifestSchema1, config: types.OCIConfigJSON,
		plain: types.OCIUncompressedLayer, gzip: types.OCILayer, zstandard: types.OCILayerZStd,
	}
}

// layer is the family's type for what a layer of either family is.
func (f family) layer(mt types.MediaType) types.MediaType {
	switch mt {
	case types.DockerUncompressedLayer, types.OCIUncompressedLayer:
		return f.plain
	case types.DockerLayer, types.OCILayer:
		return f.gzip
	case dockerZstd, types.OCILayerZStd:
		return f.zstandard
	}
	return mt
}

// adapt makes a layer state the family's media type. A layer that does already
// stays what it is, because what writes images looks for types that it knows.
func (f family) adapt(l v1.Layer) v1.Layer {
	mt, err := l.MediaType()
	if want := f.layer(mt); err == nil && want != mt {
		return &retyped{l, want}
	}
	return l
}

// retyped is a layer under another media type.
type retyped struct {
	v1.Layer
	mediaType types.MediaType
}

// Unwrap is the layer under its own media type.
func (r *retyped) Unwrap() v1.Layer { return r.Layer }

// MediaType implements [v1.Layer].
func (r *retyped) MediaType() (types.MediaType, error) { return r.mediaType, nil }

// Descriptor keeps the annotations that the layer wants.
func (r *retyped) Descriptor() (*v1.Descriptor, error) {
	d, err := partial.Descriptor(r.Layer)
	if err != nil {
		return nil, err
	}
	out := d.DeepCopy()
	out.MediaType = r.mediaType
	out.Annotations, err = layer.Annotations(r.Layer)
	return out, err
}
