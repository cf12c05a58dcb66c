package layer

import (
	"github.com/containerd/stargz-snapshotter/estargz"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Annotations are what an image's manifest has to say of a layer beside its digest,
// size and type, whatever the layer is wrapped in; nil if nothing. They are not to be
// changed. The error is [ErrUnfinished] of a layer that is still being written.
func Annotations(l v1.Layer) (map[string]string, error) {
	if d, ok := As[interface {
		Descriptor() (*v1.Descriptor, error)
	}](l); ok {
		return annotationsOf(d.Descriptor())
	}
	// The registry library has wrappers of its own, which only it can look into.
	return annotationsOf(partial.Descriptor(innermost(l)))
}

func annotationsOf(d *v1.Descriptor, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	return d.Annotations, nil
}

// isIndexed reports whether the layer is said to have eStargz's index, also while it is
// still being written.
func isIndexed(l v1.Layer) (bool, error) {
	if b, ok := As[*Blob](l); ok {
		return b.indexed, nil
	}
	annotations, err := Annotations(l)
	return announceIndex(annotations), err
}

func announceIndex(annotations map[string]string) bool {
	return annotations[estargz.TOCJSONDigestAnnotation] != ""
}
