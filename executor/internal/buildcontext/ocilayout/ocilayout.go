// Package ocilayout takes images from OCI image layouts on disk, for
// --build-context NAME=oci-layout://DIR.
package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Scheme begins the references that this package resolves:
// oci-layout://DIR[:TAG][@DIGEST].
const Scheme = "oci-layout://"

// refName is the annotation in a layout's index that names an image
// (https://specs.opencontainers.org/image-spec/annotations/).
const refName = "org.opencontainers.image.ref.name"

// maxNesting bounds how deep indexes lie within each other.
const maxNesting = 4

// Source is where other references are resolved.
type Source interface {
	plan.Bases
	engine.Bases
}

// Bases resolves references to layouts by itself and leaves the others to Next.
type Bases struct{ Next Source }

var _ Source = Bases{}

// Resolve implements [plan.Bases].
func (b Bases) Resolve(ctx context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	if !strings.HasPrefix(ref, Scheme) {
		return b.Next.Resolve(ctx, ref, p)
	}
	img, err := find(ref, p)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	is := registry.Normalize(v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant})
	return &plan.Image{Ref: ref, Digest: digest, Platform: is, Config: config}, nil
}

// Image implements [engine.Bases].
func (b Bases) Image(ctx context.Context, p *plan.Image) (v1.Image, error) {
	if !strings.HasPrefix(p.Ref, Scheme) {
		return b.Next.Image(ctx, p)
	}
	img, err := find(p.Ref, p.Platform)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p.Ref, err)
	}
	if digest, err := img.Digest(); err != nil || digest != p.Digest {
		return nil, fmt.Errorf("open %s: %w", p.Ref, errors.Join(err, errors.New("the layout was changed meanwhile")))
	}
	return img, nil
}

// Check reports what is wrong with a reference, without asking for the image.
func Check(ref string) error {
	dir, _, _ := split(ref)
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s: the directory must be absolute", ref)
	}
	if _, err := layout.FromPath(dir); err != nil {
		return fmt.Errorf("open %s: %w", ref, err)
	}
	return nil
}

// Dir is the directory that a reference names; ok is false for other references.
func Dir(ref string) (dir string, ok bool) {
	if !strings.HasPrefix(ref, Scheme) {
		return "", false
	}
	dir, _, _ = split(ref)
	return dir, true
}

// split takes a reference apart.
func split(ref string) (dir, tag, digest string) {
	dir = strings.TrimPrefix(ref, Scheme)
	dir, digest, _ = strings.Cut(dir, "@")
	if i := strings.LastIndexByte(dir, ':'); i > strings.LastIndexByte(dir, '/') {
		dir, tag = dir[:i], dir[i+1:]
	}
	return dir, tag, digest
}

func find(ref string, p v1.Platform) (v1.Image, error) {
	dir, tag, digest := split(ref)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var named []v1.Descriptor
	for _, d := range m.Manifests {
		switch {
		case digest != "" && d.Digest.String() != digest:
		case tag != "" && !isNamed(d, tag):
		default:
			named = append(named, d)
		}
	}
	if len(named) == 0 {
		return nil, errors.New("no image in it has that tag or digest")
	}
	return choose(index, named, p, 0)
}

// isNamed reports whether a layout calls an image by this tag; some write the whole
// reference there.
func isNamed(d v1.Descriptor, tag string) bool {
	name := d.Annotations[refName]
	return name == tag || strings.HasSuffix(name, ":"+tag)
}

// choose finds the image for a platform among descriptors of an index. A single
// image is taken as it is: its descriptor need not say what it is for.
func choose(index v1.ImageIndex, list []v1.Descriptor, p v1.Platform, depth int) (v1.Image, error) {
	if depth >= maxNesting {
		return nil, fmt.Errorf("indexes are nested deeper than %d", maxNesting)
	}
	pick := 0
	if len(list) > 1 {
		have := make([]v1.Platform, len(list))
		for i, d := range list {
			if d.Platform != nil {
				have[i] = *d.Platform
			}
		}
		if pick = registry.Choose(p, have); pick < 0 {
			return nil, &registry.PlatformError{Want: p, Have: have}
		}
	}
	d := list[pick]
	if !d.MediaType.IsIndex() {
		return index.Image(d.Digest)
	}
	inner, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, err
	}
	m, err := inner.IndexManifest()
	if err != nil {
		return nil, err
	}
	return choose(inner, m.Manifests, p, depth+1)
}
