package image_test

import (
	"bytes"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/image"
)

// TestNewIndex: what it says of its images, its format, and that it is what its
// digest says.
func TestNewIndex(t *testing.T) {
	docker := formed(t, types.DockerManifestSchema2, image.Form{})
	oci := formed(t, types.OCIManifestSchema1, image.Form{})
	note := map[string]string{"a": "b"}
	for _, tc := range []struct {
		name   string
		images []v1.Image
		form   image.Form
		want   types.MediaType
	}{
		{"Docker's", []v1.Image{docker}, image.Form{}, types.DockerManifestList},
		{"OCI's", []v1.Image{oci}, image.Form{}, types.OCIImageIndex},
		{"both", []v1.Image{docker, oci}, image.Form{}, types.OCIImageIndex},
		{"annotated", []v1.Image{docker}, image.Form{Annotations: note}, types.OCIImageIndex},
		{"to OCI", []v1.Image{docker}, image.Form{Format: image.OCI}, types.OCIImageIndex},
		{"to Docker", []v1.Image{oci}, image.Form{Format: image.Docker}, types.DockerManifestList},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var all []v1.Descriptor
			for _, img := range tc.images {
				d, err := image.Describe(img)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, d)
			}
			index, err := image.NewIndex(all, tc.form)
			if err != nil {
				t.Fatal(err)
			}
			m, err := v1.ParseIndexManifest(bytes.NewReader(index.Raw))
			if err != nil {
				t.Fatal(err)
			}
			digest, size, err := v1.SHA256(bytes.NewReader(index.Raw))
			if err != nil {
				t.Fatal(err)
			}
			if d := index.Descriptor(); d.Digest != digest || d.Size != size || d.MediaType != tc.want || m.MediaType != tc.want {
				t.Errorf("the descriptor is %+v, the manifest says %s", d, m.MediaType)
			}
			if len(m.Manifests) != len(tc.images) || len(m.Annotations) != len(tc.form.Annotations) {
				t.Fatalf("the index is %s", index.Raw)
			}
			for i, img := range tc.images {
				want, err := img.Digest()
				if err != nil {
					t.Fatal(err)
				}
				if got := m.Manifests[i]; got.Digest != want || got.Platform.String() != "linux/amd64" {
					t.Errorf("image %d is %+v", i, got)
				}
			}
		})
	}
	if _, err := image.NewIndex(nil, image.Form{}); err == nil {
		t.Error("an index of nothing was made")
	}
}
