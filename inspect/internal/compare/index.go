package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The annotations by which BuildKit says that a manifest in an index is statements
// about another one there.
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
)

// child is a manifest in an index.
type child struct {
	desc        v1.Descriptor
	platform    string
	attestation bool // about the platform's image
}

func platformName(p *v1.Platform) string {
	if p == nil || p.OS == "" && p.Architecture == "" {
		return ""
	}
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	if p.OSVersion != "" {
		name += " " + p.OSVersion
	}
	if len(p.OSFeatures) > 0 {
		name += " with " + strings.Join(slices.Sorted(slices.Values(p.OSFeatures)), ",")
	}
	return name
}

// children pairs the images of two sides and compares each pair.
func (c *comparer) children(ctx context.Context, a, b Subject) error {
	x, err := c.childrenOf(a)
	if err != nil {
		return err
	}
	y, err := c.childrenOf(b)
	if err != nil {
		return err
	}
	if a.Index != nil && b.Index != nil {
		return c.indexes(ctx, a, b, x, y)
	}
	if a.Index == nil && b.Index == nil {
		return c.images(ctx, a, b, alignedImage{})
	}
	return c.unlike(ctx, a, b, x, y)
}

// childrenOf are the manifests in an index, those for the platform asked for if there
// is one; nil for an image.
func (c *comparer) childrenOf(s Subject) ([]child, error) {
	if s.Index == nil {
		return nil, nil
	}
	m, err := s.Index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the index %s: %w", s.Name, err)
	}
	var all []child
	platforms := map[string]string{}
	for _, d := range m.Manifests {
		platforms[d.Digest.String()] = platformName(d.Platform)
	}
	for _, d := range m.Manifests {
		ch := child{desc: d, platform: platformName(d.Platform)}
		if d.Annotations[referenceType] != "" {
			ch.attestation, ch.platform = true, platforms[d.Annotations[referenceDigest]]
		}
		if c.Platform == nil || d.Platform != nil && d.Platform.Satisfies(*c.Platform) || ch.attestation && ch.platform == platformName(c.Platform) {
			all = append(all, ch)
		}
	}
	if c.Platform != nil && len(all) == 0 {
		return nil, &PlatformError{s.Name, platformName(c.Platform)}
	}
	return all, nil
}

func (c *comparer) indexes(ctx context.Context, a, b Subject, x, y []child) error {
	if err := c.indexFields(a, b); err != nil {
		return err
	}
	pairs := pairChildren(x, y)
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case p.b < 0:
			c.alone(x[p.a], Difference{Level: Manifest, Field: "removed", A: x[p.a].desc.Digest.String()})
		case p.a < 0:
			c.alone(y[p.b], Difference{Level: Manifest, Field: "added", B: y[p.b].desc.Digest.String()})
		default:
			if err := c.pair(ctx, a, b, x[p.a], y[p.b]); err != nil {
				return err
			}
		}
	}
	if moved, ok := outOfOrder(pairs); ok {
		c.result.Differences = append(c.result.Differences, Difference{
			Level: Manifest, Path: "manifests", Field: "order", A: x[moved.a].name(), B: fmt.Sprintf("number %d, was %d", moved.b+1, moved.a+1),
		})
	}
	return c.indexForm(a, b, x, y)
}

// indexForm reports indexes that differ in nothing but how they are written.
func (c *comparer) indexForm(a, b Subject, x, y []child) error {
	same := slices.EqualFunc(x, y, func(p, q child) bool { return p.desc.Digest == q.desc.Digest })
	if !same || len(c.result.Differences) > 0 || c.Platform != nil || slices.ContainsFunc(c.result.Images, func(p Pair) bool { return len(p.Differences) > 0 }) {
		return nil
	}
	c.result.Differences = append(c.result.Differences, formDifference(Manifest, "index"))
	return nil
}

// formDifference says that two documents have the same in them, and are not the same.
func formDifference(l Level, path string) Difference {
	return Difference{Level: l, Path: path, Field: "form", A: "JSON", B: "the same, written differently"}
}

func (ch child) name() string {
	name := ch.platform
	if name == "" {
		name = ch.desc.Digest.String()
	}
	if ch.attestation {
		name += " (attestation)"
	}
	return name
}

// alone reports an image that only one side has.
func (c *comparer) alone(ch child, d Difference) {
	d.Path = ch.name()
	p := Pair{Platform: ch.platform, Attestation: ch.attestation, Differences: []Difference{d}}
	side := &Side{Digest: ch.desc.Digest.String(), MediaType: string(ch.desc.MediaType)}
	if d.Field == "removed" {
		p.A = side
	} else {
		p.B = side
	}
	c.result.Images = append(c.result.Images, p)
}

// pairChildren matches images for the same platform, then the same image for another,
// then those for another variant of the platform.
func pairChildren(x, y []child) []alignment {
	takenA, takenB := make([]bool, len(x)), make([]bool, len(y))
	with := make([]int, len(x))
	for i := range with {
		with[i] = -1
	}
	for _, alike := range []func(p, q child) bool{
		func(p, q child) bool { return p.platform == q.platform && p.desc.Digest == q.desc.Digest },
		func(p, q child) bool { return p.platform == q.platform && (p.platform != "" || p.attestation) },
		func(p, q child) bool { return p.desc.Digest == q.desc.Digest },
		func(p, q child) bool { return base(p.platform) == base(q.platform) },
	} {
		for i, p := range x {
			for j, q := range y {
				if !takenA[i] && !takenB[j] && p.attestation == q.attestation && alike(p, q) {
					takenA[i], takenB[j], with[i] = true, true, j
				}
			}
		}
	}
	var out []alignment
	for i := range x {
		out = append(out, alignment{i, with[i]})
	}
	for j := range y {
		if !takenB[j] {
			out = append(out, alignment{-1, j})
		}
	}
	return out
}

// base is a platform's system and architecture.
func base(platform string) string {
	parts := strings.SplitN(strings.SplitN(platform, " ", 2)[0], "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// outOfOrder finds the first pair that stands before one it stood behind.
func outOfOrder(pairs []alignment) (alignment, bool) {
	last := -1
	for _, p := range pairs {
		if p.a < 0 || p.b < 0 {
			continue
		}
		if p.b < last {
			return p, true
		}
		last = p.b
	}
	return alignment{}, false
}

// pair compares two images of indexes.
func (c *comparer) pair(ctx context.Context, a, b Subject, x, y child) error {
	at := alignedImage{platform: x.platform, attestation: x.attestation}
	if x.platform != y.platform {
		at.own = append(at.own, Difference{Level: Manifest, Path: "index", Field: "platform", A: x.platform, B: y.platform})
	}
	var derived []string
	if x.attestation {
		derived = append(derived, referenceDigest) // the image's digest; its own differences are told elsewhere
	}
	at.own = append(at.own, annotations("index", x.desc.Annotations, y.desc.Annotations, derived...)...)
	if x.desc.MediaType != y.desc.MediaType && x.desc.Digest == y.desc.Digest {
		at.own = append(at.own, Difference{Level: Manifest, Path: "index", Field: "mediaType", A: string(x.desc.MediaType), B: string(y.desc.MediaType)})
	}
	if x.desc.Digest == y.desc.Digest {
		c.add(at, x.side(), y.side(), nil, at.own)
		return nil
	}
	if !x.desc.MediaType.IsImage() || !y.desc.MediaType.IsImage() {
		c.add(at, x.side(), y.side(), nil, append(at.own, Difference{Level: Manifest, Field: "digest", A: x.desc.Digest.String(), B: y.desc.Digest.String()}))
		return nil
	}
	left, err := a.Index.Image(x.desc.Digest)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", x.name(), a.Name, err)
	}
	right, err := b.Index.Image(y.desc.Digest)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", y.name(), b.Name, err)
	}
	return c.images(ctx, Subject{Name: a.Name, Image: left}, Subject{Name: b.Name, Image: right}, at)
}

func (ch child) side() *Side {
	return &Side{Digest: ch.desc.Digest.String(), MediaType: string(ch.desc.MediaType)}
}

// unlike compares an index with an image: the image of the index that is for the
// image's platform, or the only one.
func (c *comparer) unlike(ctx context.Context, a, b Subject, x, y []child) error {
	index, img, all := a, b, x
	if b.Index != nil {
		index, img, all = b, a, y
	}
	if !c.bare {
		c.result.Differences = append(c.result.Differences, Difference{Level: Manifest, Field: "kind", A: a.kind(), B: b.kind()})
	}
	all = slices.DeleteFunc(slices.Clone(all), func(ch child) bool { return ch.attestation || !ch.desc.MediaType.IsImage() })
	found, err := counterpart(all, img)
	if err != nil || found == nil {
		return err
	}
	other, err := index.Index.Image(found.desc.Digest)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", found.name(), index.Name, err)
	}
	index.Index, index.Image = nil, other
	at := alignedImage{platform: found.platform}
	if b.Index != nil {
		return c.images(ctx, img, index, at)
	}
	return c.images(ctx, index, img, at)
}

func counterpart(all []child, img Subject) (*child, error) {
	if len(all) == 1 {
		return &all[0], nil
	}
	config, err := img.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", img.Name, err)
	}
	for i, ch := range all {
		if ch.platform == platformName(config.Platform()) {
			return &all[i], nil
		}
	}
	return nil, nil
}

func (s Subject) kind() string {
	if s.Index != nil {
		return "an index"
	}
	return "an image"
}

func (c *comparer) indexFields(a, b Subject) error {
	x, err := a.Index.IndexManifest()
	y, other := b.Index.IndexManifest()
	if err = errors.Join(err, other); err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	if c.result.A.MediaType != c.result.B.MediaType {
		c.result.Differences = append(c.result.Differences, Difference{Level: Manifest, Path: "index", Field: "mediaType", A: c.result.A.MediaType, B: c.result.B.MediaType})
	}
	c.result.Differences = append(c.result.Differences, annotations("index", x.Annotations, y.Annotations)...)
	return nil
}

// annotations compares annotations, but for those that follow from something else.
func annotations(path string, a, b map[string]string, derived ...string) []Difference {
	var out []Difference
	for _, key := range keys(a, b) {
		if shown(a, key) != shown(b, key) && !slices.Contains(derived, key) {
			out = append(out, Difference{Level: Manifest, Path: path, Field: "annotation." + key, A: shown(a, key), B: shown(b, key)})
		}
	}
	return out
}

// none stands for what is not there.
const none = "(none)"

func shown(m map[string]string, key string) string {
	if v, ok := m[key]; ok {
		return v
	}
	return none
}

// keys are the keys of both maps, sorted.
func keys[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
