// Package attached finds what is said of an image beside it in its repository:
// signatures, attestations, lists of software and whatever else refers to it, by the
// registry's list, the list under a tag where it keeps none, or the tags of cosign. It
// reads them, and judges nothing.
package attached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

const (
	maxList     = 4 << 20 // bytes of a list of referrers
	maxManifest = 4 << 20
	maxDepth    = 4    // of what refers to what refers
	maxItems    = 1000 // of one image
)

// The kinds of what is attached.
const (
	Signature   = "signature"
	Attestation = "attestation" // signed or not, of no kind named here
	Provenance  = "provenance"
	SBOM        = "sbom"
	Other       = "other"
)

// Item is something that is attached.
type Item struct {
	Kind         string `json:"kind"`
	Digest       string `json:"digest"` // of the manifest, or of the layer under a tag
	MediaType    string `json:"mediaType,omitempty"`
	ArtifactType string `json:"artifactType,omitempty"`
	Size         int64  `json:"size"`
	Predicate    string `json:"predicateType,omitempty"`
	// Tag is cosign's that it is under, and InIndex the digest of the manifest that has
	// it and stands in the image's index. Without either it refers to what it is about.
	Tag         string            `json:"tag,omitempty"`
	InIndex     string            `json:"inIndex,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Referrers   []Item            `json:"referrers,omitempty"`
}

// Finder finds what is attached to images of a repository.
type Finder struct {
	Client     *registry.Client
	Repository name.Repository
	left       int
}

// Find finds what is attached to a digest, and to that in turn; empty, not nil, if
// there is nothing.
func (f *Finder) Find(ctx context.Context, digest v1.Hash) ([]Item, error) {
	f.left = maxItems
	return f.find(ctx, digest, 0)
}

// Named is [Finder.Find] of a digest in writing.
func (f *Finder) Named(ctx context.Context, digest string) ([]Item, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, fmt.Errorf("find what is attached to %q: %w", digest, err)
	}
	return f.Find(ctx, h)
}

func (f *Finder) find(ctx context.Context, digest v1.Hash, depth int) ([]Item, error) {
	list, err := f.Client.Referrers(ctx, f.Repository, digest, maxList)
	if err != nil {
		return nil, err
	}
	all := []Item{}
	for _, d := range list {
		if f.left--; f.left < 0 {
			return nil, fmt.Errorf("list what refers to %s: more than %d: %w", f.Repository.Digest(digest.String()).Name(), maxItems, registry.ErrTooLarge)
		}
		item, err := f.referrer(ctx, d)
		if err != nil {
			return nil, err
		}
		if depth+1 < maxDepth {
			below, err := f.find(ctx, d.Digest, depth+1)
			if err != nil {
				return nil, err
			}
			if len(below) > 0 {
				item.Referrers = below
			}
		}
		all = append(all, item)
	}
	tagged, err := f.allTagged(ctx, digest)
	return append(all, tagged...), err
}

// allTagged is what is under cosign's tags for a digest.
func (f *Finder) allTagged(ctx context.Context, digest v1.Hash) ([]Item, error) {
	var all []Item
	for _, suffix := range []string{"sig", "att", "sbom"} {
		tagged, err := f.tagged(ctx, digest, suffix)
		if err != nil {
			return nil, err
		}
		all = append(all, tagged...)
	}
	return all, nil
}

// referrer is an item of a list; what the list does not say of it, its manifest does.
func (f *Finder) referrer(ctx context.Context, d v1.Descriptor) (Item, error) {
	i := Item{
		Digest: d.Digest.String(), MediaType: string(d.MediaType), ArtifactType: d.ArtifactType, Size: d.Size,
		Annotations: d.Annotations, Predicate: predicateOf(d.Annotations),
	}
	var err error
	if i.ArtifactType == "" || speaksOf(i.ArtifactType) && i.Predicate == "" {
		err = f.complete(ctx, &i, d.Digest)
	}
	i.Kind = kindOf(i.ArtifactType, i.Predicate)
	return i, err
}

// complete adds what an item's manifest says, if it is still there.
func (f *Finder) complete(ctx context.Context, i *Item, digest v1.Hash) error {
	m, err := f.manifest(ctx, f.Repository.Digest(digest.String()))
	if err != nil || m == nil {
		return err
	}
	i.ArtifactType, i.Annotations, i.Predicate = typeOf(m), m.Annotations, predicateOf(m.Annotations)
	return nil
}

// typeOf is what a manifest says that it is: by its type, the one of its configuration if
// that is of its own kind, or that of its content.
func typeOf(m *v1.Manifest) string {
	kind := m.ArtifactType
	if kind == "" && !m.Config.MediaType.IsConfig() && m.Config.MediaType != emptyType {
		kind = string(m.Config.MediaType)
	}
	if kind == "" && len(m.Layers) > 0 {
		kind = string(m.Layers[0].MediaType)
	}
	return kind
}

// tagName is cosign's tag for what is attached to a digest.
func tagName(repo name.Repository, digest v1.Hash, suffix string) name.Tag {
	return repo.Tag(digest.Algorithm + "-" + digest.Hex + "." + suffix)
}

// tagged are the layers of what is under a tag of cosign's: each is a signature, a
// statement or a list of its own.
func (f *Finder) tagged(ctx context.Context, digest v1.Hash, suffix string) ([]Item, error) {
	tag := tagName(f.Repository, digest, suffix)
	m, err := f.manifest(ctx, tag)
	if err != nil || m == nil {
		return nil, err
	}
	var all []Item
	for _, l := range m.Layers {
		i := Item{Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size, Tag: tag.TagStr(), Predicate: l.Annotations["predicateType"]}
		switch suffix {
		case "sig":
			i.Kind = Signature
		case "sbom":
			i.Kind = SBOM
		default:
			i.Kind = kindOf(string(l.MediaType), i.Predicate)
		}
		all = append(all, i)
	}
	return all, nil
}

// manifest reads a manifest; nil if it is not there.
func (f *Finder) manifest(ctx context.Context, ref name.Reference) (*v1.Manifest, error) {
	raw, err := f.Client.Manifest(ctx, ref, maxManifest)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw.Raw))
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", ref.Name(), err)
	}
	return m, nil
}

// What statements are called where they are kept.
const (
	bundleType   = "application/vnd.dev.sigstore.bundle"
	inTotoType   = "application/vnd.in-toto+json"
	envelopeType = "application/vnd.dsse.envelope.v1+json"
	emptyType    = "application/vnd.oci.empty.v1+json"
	// SignType is the predicate of a statement that says nothing but that an image is
	// signed, as cosign makes it.
	SignType = "https://sigstore.dev/cosign/sign/v1"
)

func predicateOf(annotations map[string]string) string {
	for _, key := range []string{"in-toto.io/predicate-type", "dev.sigstore.bundle.predicateType", "predicateType"} {
		if annotations[key] != "" {
			return annotations[key]
		}
	}
	return ""
}

// speaksOf tells whether what has that type is a statement.
func speaksOf(artifactType string) bool {
	return strings.HasPrefix(artifactType, bundleType) || artifactType == inTotoType || artifactType == envelopeType
}

func kindOf(artifactType, predicate string) string {
	switch {
	case predicate == SignType:
		return Signature
	case strings.Contains(predicate, "slsa.dev/provenance"):
		return Provenance
	case isList(predicate), isList(artifactType):
		return SBOM
	case predicate == "" && strings.HasPrefix(artifactType, bundleType):
		return Signature
	case speaksOf(artifactType):
		return Attestation
	case strings.Contains(artifactType, "signature"), strings.Contains(artifactType, "cosign.artifact.sig"), strings.Contains(artifactType, "simplesigning"):
		return Signature
	}
	return Other
}

// isList tells whether a type is one of a list of software.
func isList(t string) bool {
	t = strings.ToLower(t)
	return strings.Contains(t, "spdx") || strings.Contains(t, "cyclonedx") || strings.Contains(t, "syft")
}

// Counts are how many there are of each kind, what refers to them left out.
func Counts(all []Item) map[string]int {
	n := map[string]int{}
	for _, i := range all {
		n[i.Kind]++
	}
	return n
}
