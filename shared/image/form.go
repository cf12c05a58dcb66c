package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Format is one of the two sets of media types that an image can have.
type Format string

// The formats; the empty one is that of the base, or what the image needs.
const (
	AsBase Format = ""
	Docker Format = "docker"
	OCI    Format = "oci"
)

// Form is what a manifest is to be like beside its content.
type Form struct {
	Format Format
	// Annotations are the manifest's. Only OCI's format has them.
	Annotations map[string]string
}

// errNoAnnotations says that a form contradicts itself.
var errNoAnnotations = errors.New("a manifest of Docker's format has no annotations")

// Check finds what is wrong with a form.
func (f Form) Check() error {
	switch f.Format {
	case AsBase, OCI:
	case Docker:
		if len(f.Annotations) > 0 {
			return errNoAnnotations
		}
	default:
		return fmt.Errorf("the format of an image is %s or %s, not %q", Docker, OCI, f.Format)
	}
	return nil
}

// family is what the image's media types come from: what the form says, OCI if it
// has what Docker's format has no place for, or as the base.
func (a Assembly) family(b base) family {
	switch {
	case a.Form.Format == Docker:
		return docker()
	case a.Form.Format == OCI, len(a.Form.Annotations) > 0:
		return oci()
	}
	return b.family
}

// convert gives what is taken over of the base another family's media types. The
// blobs stay what they are.
func (b *base) convert(to family) error {
	b.family = to
	for i, raw := range b.descriptors {
		var d object
		var mt types.MediaType
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("read manifest: layer %d: %w", i+1, err)
		}
		if err := json.Unmarshal(d["mediaType"], &mt); err != nil {
			return fmt.Errorf("read manifest: media type of layer %d: %w", i+1, err)
		}
		var err error
		if d["mediaType"], err = encode(to.layer(mt)); err != nil {
			return err
		}
		if b.descriptors[i], err = encode(d); err != nil {
			return err
		}
	}
	layers := make([]v1.Layer, len(b.layers))
	for i, l := range b.layers {
		layers[i] = to.adapt(l)
	}
	b.layers = layers
	return nil
}

// ParseAnnotations reads KEY=VALUE, once each.
func ParseAnnotations(texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	all := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if key == "" || !ok {
			return nil, fmt.Errorf("%q is not KEY=VALUE", text)
		}
		all[key] = value
	}
	return all, nil
}
