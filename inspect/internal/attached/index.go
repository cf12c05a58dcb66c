package attached

import (
	"cmp"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// aboutKey is the annotation by which BuildKit says, in an index, of which of its images
// an attestation is.
const aboutKey = "vnd.docker.reference.digest"

// About is the digest of the image that an attestation of an index is about; empty if
// the index does not say.
func About(d v1.Descriptor) string { return d.Annotations[aboutKey] }

// InIndex are the statements that an index has beside its images, by the digest of what
// each is about or, where that is not said, of the manifest that it is in. Of an image
// alone there are none.
func InIndex(opened *source.Source) (map[string][]Item, error) {
	if opened.Index == nil {
		return nil, nil
	}
	all, err := opened.Descriptors()
	if err != nil {
		return nil, err
	}
	found := map[string][]Item{}
	for _, d := range all {
		if !source.IsAttestation(d) {
			continue
		}
		items, err := statements(opened.Index, d)
		if err != nil {
			return nil, fmt.Errorf("read the attestation %s of %s: %w", d.Digest, opened.Name, err)
		}
		about := cmp.Or(About(d), d.Digest.String())
		found[about] = append(found[about], items...)
	}
	return found, nil
}

// statements are those in a manifest of an index, each a layer.
func statements(index v1.ImageIndex, d v1.Descriptor) ([]Item, error) {
	img, err := index.Image(d.Digest)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	var all []Item
	for _, l := range m.Layers {
		i := Item{
			Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size, InIndex: d.Digest.String(),
			Predicate: predicateOf(l.Annotations),
		}
		i.Kind = kindOf(i.MediaType, i.Predicate)
		all = append(all, i)
	}
	return all, nil
}
