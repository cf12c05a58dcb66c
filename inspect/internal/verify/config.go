package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// platforms checks that an index has images for all that are asked for, and for no
// others.
func platforms(_ context.Context, v *Verifier, s *subject) ([]Fact, error) {
	left := map[string]bool{}
	for _, p := range v.Policy.wanted {
		left[registry.Normalize(p).String()] = true
	}
	var facts []Fact
	var more []string
	for _, i := range s.images {
		facts = append(facts, Fact{"platform", platformOf(i)})
		p := registry.Normalize(i.Platform).String()
		if !left[p] {
			more = append(more, platformOf(i))
		}
		delete(left, p)
	}
	var reasons []string
	if len(left) > 0 {
		reasons = append(reasons, "it has no image for "+strings.Join(slices.Sorted(maps.Keys(left)), ", "))
	}
	if len(more) > 0 {
		reasons = append(reasons, "it has one, or one more, for "+strings.Join(more, ", "))
	}
	if len(reasons) > 0 {
		return facts, errors.New(strings.Join(reasons, "; "))
	}
	return facts, nil
}

// nonRoot checks who an image is run as. A name says who only by files of the image:
// that of root, and the number 0, are root in every image.
func nonRoot(_ context.Context, _ *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	facts := []Fact{{"user", config.Config.User}}
	user, _, _ := strings.Cut(config.Config.User, ":")
	switch {
	case user == "":
		return facts, errors.New("it has no user, so that it is run as root")
	case user == "root", strings.Trim(user, "+0") == "":
		return facts, fmt.Errorf("it is run as %s", user)
	}
	return facts, nil
}

// labels checks that an image has them.
func labels(_ context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	var facts []Fact
	var reasons []string
	for _, want := range v.Policy.Labels {
		key, value, exact := strings.Cut(want, "=")
		got, ok := config.Config.Labels[key]
		switch {
		case !ok, !exact && got == "":
			reasons = append(reasons, "it has no label "+key)
		case exact && got != value:
			reasons = append(reasons, fmt.Sprintf("its label %s is %q, and should be %q", key, got, value))
		default:
			facts = append(facts, Fact{"label", key + "=" + got})
		}
	}
	if len(reasons) > 0 {
		return facts, errors.New(strings.Join(reasons, "; "))
	}
	return facts, nil
}

// created checks when an image says that it was made, and that nothing of its history is
// later.
func created(_ context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	facts := []Fact{{"created", config.Created.UTC().Format(time.RFC3339Nano)}}
	if !config.Created.Equal(v.Policy.created) {
		return facts, fmt.Errorf("it was made at %s, and should be of %s", config.Created.UTC().Format(time.RFC3339Nano), v.Policy.created.Format(time.RFC3339))
	}
	for n, h := range config.History {
		if h.Created.After(v.Policy.created) {
			return facts, fmt.Errorf("entry %d of its history is of %s, which is later", n+1, h.Created.UTC().Format(time.RFC3339Nano))
		}
	}
	return facts, nil
}

func maxLayers(_ context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	facts := []Fact{{"layers", fmt.Sprint(len(m.Layers))}}
	if len(m.Layers) > v.Policy.MaxLayers {
		return facts, fmt.Errorf("it has %d layers, and may have %d", len(m.Layers), v.Policy.MaxLayers)
	}
	return facts, nil
}

func maxSize(_ context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	var size int64
	for _, l := range m.Layers {
		size += l.Size
	}
	facts := []Fact{{"size", fmt.Sprint(size)}}
	if size > v.Policy.maxBytes {
		return facts, fmt.Errorf("its layers are %d bytes, and may be %d", size, v.Policy.maxBytes)
	}
	return facts, nil
}

// noForeign checks that all layers are where the image is.
func noForeign(_ context.Context, _ *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, err
	}
	for n, l := range m.Layers {
		if len(l.URLs) > 0 || !l.MediaType.IsDistributable() {
			return nil, fmt.Errorf("layer %d is kept elsewhere", n+1)
		}
	}
	return []Fact{{"layers", fmt.Sprint(len(m.Layers))}}, nil
}

// mediaTypes checks that all of it is OCI's.
func mediaTypes(_ context.Context, _ *Verifier, s *subject) ([]Fact, error) {
	facts := []Fact{{"media type", string(s.MediaType)}}
	if s.Index != nil && s.MediaType != types.OCIImageIndex {
		return facts, fmt.Errorf("the index is %s", s.MediaType)
	}
	for _, i := range s.images {
		m, err := i.Manifest()
		if err != nil {
			return facts, err
		}
		prefix := ""
		if s.Index != nil {
			prefix = "the image for " + platformOf(i) + ": "
		}
		if mt := m.MediaType; mt != types.OCIManifestSchema1 && (mt != "" || i.Descriptor.MediaType != types.OCIManifestSchema1) {
			return facts, fmt.Errorf("%sthe manifest is %s", prefix, mt)
		}
		if m.Config.MediaType != types.OCIConfigJSON {
			return facts, fmt.Errorf("%sthe configuration is %s", prefix, m.Config.MediaType)
		}
		for n, l := range m.Layers {
			if !ociLayer(l) {
				return facts, fmt.Errorf("%slayer %d is %s", prefix, n+1, l.MediaType)
			}
		}
	}
	return facts, nil
}

func ociLayer(l v1.Descriptor) bool {
	return strings.HasPrefix(string(l.MediaType), "application/vnd.oci.image.layer.")
}
