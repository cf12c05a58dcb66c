// Package lineage finds out what an image was built from, and whether that is what it
// would be built from today. It compares digests, of manifests and of layers' archives,
// and reads no layer.
package lineage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/describe"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Base is what is known of an image's base.
type Base struct {
	State string `json:"state"` // one of those of package describe
	Name  string `json:"base,omitempty"`
	// Digest is what the image says that it was built from, and CurrentDigest what the
	// base's name stands for today.
	Digest        string `json:"baseDigest,omitempty"`
	CurrentDigest string `json:"currentDigest,omitempty"`
	// From says how the base is known: annotation or layers.
	From string `json:"from,omitempty"`
	// SharedLayers are how many of the image's the base has, and Layers how many that has.
	SharedLayers int `json:"sharedLayers"`
	Layers       int `json:"baseLayers,omitempty"`
}

// Finder finds bases.
type Finder struct {
	Client *registry.Client
	// Candidates are names, as [source.Open] takes them, of what may be the base of an
	// image that names none.
	Candidates []string
}

// above is an image whose base is looked for.
type above struct {
	platform v1.Platform
	diffIDs  []v1.Hash
}

// Find finds the base of an image of a source: the one that it names or, without, the
// candidate of which it has the most layers. A base that is not there any more, or is
// not known, is no error.
func (f *Finder) Find(ctx context.Context, opened *source.Source, img source.Image) (Base, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return Base{}, fmt.Errorf("read the configuration of %s: %w", opened.Name, err)
	}
	named, err := namedBy(opened, img, config)
	if err != nil {
		return Base{}, err
	}
	a := above{img.Platform, config.RootFS.DiffIDs}
	// An image must not have us look into files of this machine.
	if named != nil && named.Name != "" && source.IsReference(named.Name) {
		return f.named(ctx, *named, a)
	}
	return f.likely(ctx, a)
}

// namedBy is the base that an image or its index names; nil if they name none.
func namedBy(opened *source.Source, img source.Image, config *v1.ConfigFile) (*describe.Named, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", opened.Name, err)
	}
	var ofIndex map[string]string
	if opened.Index != nil {
		index, err := opened.Index.IndexManifest()
		if err != nil {
			return nil, fmt.Errorf("read the index %s: %w", opened.Name, err)
		}
		ofIndex = index.Annotations
	}
	return describe.NamedBase(m.Annotations, ofIndex, config), nil
}

// named looks what a base that an image names is today.
func (f *Finder) named(ctx context.Context, n describe.Named, a above) (Base, error) {
	b := Base{State: describe.Outdated, Name: n.Name, Digest: n.Digest, From: "annotation"}
	now, err := source.Open(ctx, f.Client, tagged(n.Name))
	if absent(err) {
		b.State = describe.Gone
		return b, nil
	}
	if err != nil {
		return b, err
	}
	digests, below, err := digestsFor(now, a.platform)
	if err != nil {
		return b, err
	}
	b.CurrentDigest = now.Digest.String()
	b.Layers, b.SharedLayers = len(below), describe.Shared(a.diffIDs, below)
	switch {
	case slices.Contains(digests, n.Digest):
		b.State = describe.Current
	case !describe.IsBase(a.diffIDs, below):
	case n.Digest == "":
		b.State = describe.Current
	default:
		b.State = describe.Moved
	}
	return b, nil
}

// tagged is a name without its digest, if it has a tag: with the digest it could stand
// for nothing else today.
func tagged(name string) string {
	tag, _, both := strings.Cut(name, "@")
	if both && strings.Contains(tag[strings.LastIndexByte(tag, '/')+1:], ":") {
		return tag
	}
	return name
}

// digestsFor are the digests by which a base may have been recorded, and the layers of
// its image for a platform; none if it has none for it.
func digestsFor(base *source.Source, platform v1.Platform) (digests []string, ids []v1.Hash, _ error) {
	digests = []string{base.Digest.String()}
	all, err := base.Images(&platform)
	var none *source.PlatformError
	if errors.As(err, &none) {
		return digests, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	config, err := all[0].ConfigFile()
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration of %s: %w", base.Name, err)
	}
	return append(digests, all[0].Descriptor.Digest.String()), config.RootFS.DiffIDs, nil
}

// likely is, of the candidates, the one of which the image has the most layers.
func (f *Finder) likely(ctx context.Context, a above) (Base, error) {
	best := Base{State: describe.Unknown}
	for _, spec := range f.Candidates {
		opened, err := source.Open(ctx, f.Client, spec)
		if err != nil {
			return best, err
		}
		_, below, err := digestsFor(opened, a.platform)
		if err != nil {
			return best, err
		}
		b := Base{
			State: describe.Outdated, Name: spec, CurrentDigest: opened.Digest.String(), From: "layers",
			SharedLayers: describe.Shared(a.diffIDs, below), Layers: len(below),
		}
		if describe.IsBase(a.diffIDs, below) {
			b.State = describe.Current
		}
		if b.better(best) {
			best = b
		}
	}
	return best, nil
}

// better tells whether a candidate is more likely than another: more of its layers are
// the image's or, of as many, all of them.
func (b Base) better(than Base) bool {
	if b.SharedLayers != than.SharedLayers {
		return b.SharedLayers > than.SharedLayers
	}
	return b.State == describe.Current && than.State == describe.Outdated
}

// absent tells whether an error says that something is not there.
func absent(err error) bool {
	return err != nil && (errors.Is(err, registry.ErrNotFound) || errors.Is(err, fs.ErrNotExist))
}
