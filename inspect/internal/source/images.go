package source

import (
	"fmt"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Image is one image of a source.
type Image struct {
	v1.Image
	// Platform is what the index or, without one, the configuration says.
	Platform   v1.Platform
	Descriptor v1.Descriptor // the index's; of an image alone, what it comes to
}

// AttestationKey is the annotation by which BuildKit marks, in an index, what is not an
// image but says something of one.
const AttestationKey = "vnd.docker.reference.type"

// IsAttestation tells whether what a descriptor of an index means is no image to be run.
func IsAttestation(d v1.Descriptor) bool {
	return d.Annotations[AttestationKey] != "" || d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// PlatformError says that a source has no image for a platform.
type PlatformError struct {
	Name string
	Want v1.Platform
	Have []v1.Platform
}

// Error implements error.
func (e *PlatformError) Error() string {
	var have []string
	for _, p := range e.Have {
		have = append(have, p.String())
	}
	if len(have) == 0 {
		return fmt.Sprintf("open %s: it has no image for %s", e.Name, e.Want.String())
	}
	return fmt.Sprintf("open %s: it has no image for %s, but for %s", e.Name, e.Want.String(), strings.Join(have, ", "))
}

// Unwrap makes it one of what is not there.
func (e *PlatformError) Unwrap() error { return fs.ErrNotExist }

// Hint says what to do.
func (e *PlatformError) Hint() string { return "--platform says which of its images is meant" }

// Descriptors are what an index lists; of an image, itself alone.
func (s *Source) Descriptors() ([]v1.Descriptor, error) {
	if s.Index == nil {
		return []v1.Descriptor{{MediaType: s.MediaType, Digest: s.Digest, Size: int64(len(s.Raw))}}, nil
	}
	m, err := s.Index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the index %s: %w", s.Name, err)
	}
	return m.Manifests, nil
}

// Images opens all images of the source, in the order of the index, or those for a
// platform; attestations and indexes in an index are none. Without any the error is a
// [PlatformError].
func (s *Source) Images(platform *v1.Platform) ([]Image, error) {
	if s.Index == nil {
		i, err := s.alone(platform)
		if err != nil {
			return nil, err
		}
		return []Image{i}, nil
	}
	all, err := s.Descriptors()
	if err != nil {
		return nil, err
	}
	var have []v1.Platform
	var kept []v1.Descriptor
	for _, d := range all {
		if IsAttestation(d) || !isImage(d.MediaType) {
			continue
		}
		p := v1.Platform{}
		if d.Platform != nil {
			p = *d.Platform
		}
		have, kept = append(have, p), append(kept, d)
	}
	if platform != nil {
		i := registry.Choose(*platform, have)
		if i < 0 {
			return nil, &PlatformError{Name: s.Name, Want: *platform, Have: have}
		}
		have, kept = have[i:i+1], kept[i:i+1]
	}
	var out []Image
	for i, d := range kept {
		img, err := s.Index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("open %s of %s: %w", d.Digest, s.Name, err)
		}
		out = append(out, Image{Image: img, Platform: have[i], Descriptor: d})
	}
	return out, nil
}

func isImage(mt types.MediaType) bool { return mt.IsImage() || mt == "" }

// alone is an image that is not in an index. Its platform is for who asks for one; what
// has no configuration of an image has none.
func (s *Source) alone(want *v1.Platform) (Image, error) {
	i := Image{Image: s.Image, Descriptor: v1.Descriptor{MediaType: s.MediaType, Digest: s.Digest, Size: int64(len(s.Raw))}}
	m, err := s.Image.Manifest()
	if err != nil {
		return i, fmt.Errorf("read the manifest of %s: %w", s.Name, err)
	}
	if s.Bare || !m.Config.MediaType.IsConfig() {
		return i, nil
	}
	config, err := s.Image.ConfigFile()
	if err != nil {
		return i, fmt.Errorf("read the configuration of %s: %w", s.Name, err)
	}
	if p := config.Platform(); p != nil {
		i.Platform = *p
	}
	if want != nil && registry.Choose(*want, []v1.Platform{i.Platform}) < 0 {
		return i, &PlatformError{Name: s.Name, Want: *want, Have: []v1.Platform{i.Platform}}
	}
	return i, nil
}

// One opens the source's only image, or the one for a platform. Of several, and no
// platform to choose by, it is the one for the platform that is given as usual.
func (s *Source) One(platform *v1.Platform, usual v1.Platform) (Image, error) {
	if platform == nil && s.Index != nil {
		all, err := s.Descriptors()
		if err != nil {
			return Image{}, err
		}
		images := 0
		for _, d := range all {
			if !IsAttestation(d) && isImage(d.MediaType) {
				images++
			}
		}
		if images > 1 {
			platform = &usual
		}
	}
	all, err := s.Images(platform)
	if err != nil {
		return Image{}, err
	}
	if len(all) == 0 {
		return Image{}, fmt.Errorf("open %s: the index has no images: %w", s.Name, fs.ErrNotExist)
	}
	return all[0], nil
}
