package image_test

import (
	"encoding/json"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/image"
)

// formed assembles an image on a base of one format.
func formed(t *testing.T, base types.MediaType, f image.Form) v1.Image {
	t.Helper()
	kind := types.DockerLayer
	if base == types.OCIManifestSchema1 {
		kind = types.OCILayer
	}
	below, err := random.Layer(500, kind)
	if err != nil {
		t.Fatal(err)
	}
	above, err := random.Layer(500, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	from, err := mutate.AppendLayers(mutate.MediaType(empty.Image, base), below)
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Assemble(image.Assembly{
		Base: from, Additions: []image.Addition{{Layer: above}}, Config: v1.ConfigFile{OS: "linux", Architecture: "amd64"},
		Created: time.Unix(0, 0), Form: f,
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestForm: the format asked for holds for all of a manifest, and the blobs of the
// base stay what they are.
func TestForm(t *testing.T) {
	docker := []types.MediaType{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer}
	oci := []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer}
	note := map[string]string{"org.example.a": "1"}
	for _, tc := range []struct {
		name string
		base types.MediaType
		form image.Form
		want []types.MediaType
	}{
		{"as a Docker base", docker[0], image.Form{}, docker},
		{"as an OCI base", oci[0], image.Form{}, oci},
		{"to OCI", docker[0], image.Form{Format: image.OCI}, oci},
		{"to Docker", oci[0], image.Form{Format: image.Docker}, docker},
		{"annotated", docker[0], image.Form{Annotations: note}, oci},
	} {
		t.Run(tc.name, func(t *testing.T) {
			img := formed(t, tc.base, tc.form)
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			got := []types.MediaType{m.MediaType, m.Config.MediaType, m.Layers[0].MediaType, m.Layers[1].MediaType}
			for i, want := range append(tc.want, tc.want[2]) {
				if got[i] != want {
					t.Errorf("the media types are %q, wanted %q", got, tc.want)
					break
				}
			}
			if len(m.Annotations) != len(tc.form.Annotations) {
				t.Errorf("the annotations are %v", m.Annotations)
			}
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range layers {
				if mt, err := l.MediaType(); err != nil || mt != tc.want[2] {
					t.Errorf("a layer says it is %s, error %v", mt, err)
				}
			}
		})
	}
}

func TestForm_check(t *testing.T) {
	for _, f := range []image.Form{{Format: "oci2"}, {Format: image.Docker, Annotations: map[string]string{"a": "b"}}} {
		if f.Check() == nil {
			text, err := json.Marshal(f)
			t.Errorf("%s is accepted %v", text, err)
		}
	}
	for _, text := range []string{"", "a", "=b"} {
		if got, err := image.ParseAnnotations([]string{text}); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
