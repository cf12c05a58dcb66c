package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// image is one side of a pair, its manifest read.
type image struct {
	name     string
	img      v1.Image
	side     Side
	raw      []byte
	manifest *v1.Manifest
	more     struct { // what v1.Manifest has no field for
		ArtifactType string         `json:"artifactType"`
		Subject      *v1.Descriptor `json:"subject"`
	}
	config []byte // once it is read
	layers []*blob
}

// blob is a layer.
type blob struct {
	of        *image
	n         int // from 1
	desc      v1.Descriptor
	diffID    v1.Hash // as the configuration has it; zero if it has none
	createdBy string
}

// alignedImage is a pair of images that were found to take each other's place.
type alignedImage struct {
	platform    string
	attestation bool
	own         []Difference // found in the index
}

func readImage(s Subject) (*image, error) {
	side, err := s.side()
	if err != nil {
		return nil, err
	}
	i := &image{name: s.Name, img: s.Image, side: side}
	if i.raw, err = s.Image.RawManifest(); err == nil {
		i.manifest, err = s.Image.Manifest()
	}
	if err == nil {
		err = json.Unmarshal(i.raw, &i.more)
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", s.Name, err)
	}
	for n, d := range i.manifest.Layers {
		i.side.Size += d.Size
		i.layers = append(i.layers, &blob{of: i, n: n + 1, desc: d})
	}
	return i, nil
}

// add adds a pair to the result.
func (c *comparer) add(at alignedImage, a, b *Side, layers []LayerPair, all []Difference) {
	c.result.Images = append(c.result.Images, Pair{Platform: at.platform, Attestation: at.attestation, A: a, B: b, Layers: layers, Differences: all})
}

// images compares two images as deeply as they are to be.
func (c *comparer) images(ctx context.Context, x, y Subject, at alignedImage) error {
	a, err := readImage(x)
	if err != nil {
		return err
	}
	b, err := readImage(y)
	if err != nil {
		return err
	}
	p := &pairing{comparer: c, alignedImage: at, a: a, b: b, all: at.own, kept: map[*blob][]treediff.Member{}}
	if a.side.Digest != b.side.Digest {
		if err := p.compare(ctx); err != nil {
			return err
		}
	}
	c.add(at, &a.side, &b.side, p.layers, p.all)
	return nil
}

// pairing is the comparison of two images.
type pairing struct {
	*comparer
	alignedImage
	a, b   *image
	all    []Difference
	layers []LayerPair
	pairs  []alignment                 // of the layers
	kept   map[*blob][]treediff.Member // entries of the layers of a gap
}

func (p *pairing) found(d ...Difference) { p.all = append(p.all, d...) }

func (p *pairing) compare(ctx context.Context) error {
	if p.bare {
		return p.squashed(ctx)
	}
	found := len(p.all)
	_, done := p.entered(ctx, Manifest, p.platform)
	p.manifests()
	done()
	if p.Level == Manifest {
		p.opaque()
		return nil
	}
	if err := p.configs(ctx); err != nil {
		return err
	}
	if p.Level == Config {
		p.opaqueLayers()
	} else if err := p.compareLayers(ctx); err != nil {
		return err
	}
	p.form(found)
	return nil
}

// form reports documents that have the same in them, and are not the same: digests
// that differ must have a reason.
func (p *pairing) form(found int) {
	if len(p.all) > found {
		return
	}
	if !bytes.Equal(p.a.config, p.b.config) {
		p.found(formDifference(Config, "config"))
		return
	}
	p.found(formDifference(Manifest, "manifest"))
}

// opaque reports what a manifest refers to by digest alone.
func (p *pairing) opaque() {
	if a, b := p.a.manifest.Config.Digest, p.b.manifest.Config.Digest; a != b {
		p.found(Difference{Level: Manifest, Path: "config", Field: "digest", A: a.String(), B: b.String()})
	}
	p.opaqueLayers()
}

// opaqueLayers reports layers by digest alone.
func (p *pairing) opaqueLayers() {
	for _, pair := range pairUp(p.byDigest(), func(int, int) bool { return false }) {
		d := Difference{Level: Manifest, Field: "digest"}
		switch {
		case pair.same():
			if x, y := p.a.layers[pair.a], p.b.layers[pair.b]; x.desc.Digest != y.desc.Digest {
				d.LayerA, d.LayerB, d.A, d.B = x.n, y.n, x.desc.Digest.String(), y.desc.Digest.String()
				p.found(d)
			}
		case pair.a >= 0:
			x := p.a.layers[pair.a]
			p.found(Difference{Level: Manifest, Field: "removed", LayerA: x.n, A: x.desc.Digest.String()})
		default:
			y := p.b.layers[pair.b]
			p.found(Difference{Level: Manifest, Field: "added", LayerB: y.n, B: y.desc.Digest.String()})
		}
	}
}

func (p *pairing) byDigest() []alignment {
	return align(len(p.a.layers), len(p.b.layers), func(i, j int) bool { return p.a.layers[i].desc.Digest == p.b.layers[j].desc.Digest })
}

// manifests compares the fields of two manifests.
func (p *pairing) manifests() {
	a, b := p.a, p.b
	text := func(path, field, x, y string) {
		if x != y {
			p.found(Difference{Level: Manifest, Path: path, Field: field, A: orNone(x), B: orNone(y)})
		}
	}
	text("manifest", "mediaType", a.side.MediaType, b.side.MediaType)
	text("manifest", "artifactType", a.more.ArtifactType, b.more.ArtifactType)
	text("manifest", "config.mediaType", string(a.manifest.Config.MediaType), string(b.manifest.Config.MediaType))
	if !p.attestation { // what it is about is another image of the index
		text("manifest", "subject", digestOf(a.more.Subject), digestOf(b.more.Subject))
	}
	p.found(annotations("manifest", a.manifest.Annotations, b.manifest.Annotations)...)
	p.found(annotations("config", a.manifest.Config.Annotations, b.manifest.Config.Annotations)...)
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

func digestOf(d *v1.Descriptor) string {
	if d == nil {
		return ""
	}
	return d.Digest.String()
}
