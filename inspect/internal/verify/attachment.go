package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/signed"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Bounds of what is read of what is attached to an image.
const (
	maxManifest = 4 << 20  // bytes of a manifest or a list
	maxBlob     = 64 << 20 // bytes of a signature or a statement: lists of software are long
	maxAttached = 300      // manifests and layers that are read of one image
)

// The media types of what is attached, beside bundles.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseEnvelope  = "application/vnd.dsse.envelope.v1+json"
)

// attachment is one thing that somebody said of an image.
type attachment struct {
	where string // the tag or the digest that it was found at
	// text is a signed text that is no statement.
	text []byte
	// statement is what was said; nil of a text, and of a raw list.
	statement *signed.Statement
	// list is a raw list of software, and listKind which; nobody has signed it.
	list     []byte
	listKind string
	// material is the signature of either; nil if nobody signed it.
	material *signed.Material
	// within says that it lies in the index, by whose digest it is bound.
	within bool
	// err is why it cannot be read.
	err error
}

// attached are what was said of a digest of the subject's repository.
func (s *subject) attached(ctx context.Context, c *registry.Client, h v1.Hash) ([]attachment, error) {
	if all, ok := s.found[h]; ok {
		return all, nil
	}
	if s.repo == nil {
		return nil, errors.New("nothing can be attached to what is not in a registry")
	}
	r := &reader{client: c, repo: *s.repo}
	if err := r.referrers(ctx, h); err != nil {
		return nil, err
	}
	for _, suffix := range []string{"sig", "att"} {
		if err := r.tagged(ctx, h, suffix); err != nil {
			return nil, err
		}
	}
	if err := r.inside(ctx, s, h); err != nil {
		return nil, err
	}
	s.found[h] = r.all
	return r.all, nil
}

// reader reads what is attached.
type reader struct {
	client *registry.Client
	repo   name.Repository
	all    []attachment
	read   int
}

// errMany is that of an image with more attached to it than anybody should look at.
var errMany = fmt.Errorf("more than %d things are attached to it", maxAttached)

func (r *reader) manifest(ctx context.Context, ref name.Reference) (*v1.Manifest, error) {
	if r.read++; r.read > maxAttached {
		return nil, errMany
	}
	raw, err := r.client.Manifest(ctx, ref, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw.Raw))
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", ref.Name(), err)
	}
	return m, nil
}

func (r *reader) referrers(ctx context.Context, h v1.Hash) error {
	list, err := r.client.Referrers(ctx, r.repo, h, maxManifest)
	if err != nil {
		return err
	}
	for _, d := range list {
		m, err := r.manifest(ctx, r.repo.Digest(d.Digest.String()))
		if absent(err) {
			continue // gone since it was listed
		}
		if err != nil {
			return err
		}
		if m.Subject == nil || m.Subject.Digest != h {
			continue // a list under a tag may say anything
		}
		for _, l := range m.Layers {
			if err := r.layer(ctx, "referrer "+d.Digest.String(), l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) tagged(ctx context.Context, h v1.Hash, suffix string) error {
	tag := r.repo.Tag(h.Algorithm + "-" + h.Hex + "." + suffix)
	m, err := r.manifest(ctx, tag)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range m.Layers {
		if err := r.layer(ctx, "tag "+tag.TagStr(), l); err != nil {
			return err
		}
	}
	return nil
}

// inside are the statements that BuildKit keeps in the index itself.
func (r *reader) inside(ctx context.Context, s *subject, h v1.Hash) error {
	if s.Index == nil {
		return nil
	}
	all, err := s.Descriptors()
	if err != nil {
		return err
	}
	for _, d := range all {
		if !source.IsAttestation(d) || d.Annotations["vnd.docker.reference.digest"] != h.String() {
			continue
		}
		m, err := r.manifest(ctx, r.repo.Digest(d.Digest.String()))
		if err != nil {
			return err
		}
		for _, l := range m.Layers {
			before := len(r.all)
			if err := r.layer(ctx, "index "+d.Digest.String(), l); err != nil {
				return err
			}
			for i := range r.all[before:] {
				r.all[before+i].within = true
			}
		}
	}
	return nil
}

// layer reads one, if it is of a known kind. What cannot be read of it is its own
// affair: another may be good.
func (r *reader) layer(ctx context.Context, where string, l v1.Descriptor) error {
	mt := string(l.MediaType)
	kind := listKindOf(mt)
	if !strings.HasPrefix(mt, signed.BundleMedia) && mt != signed.StatementMedia && mt != dsseEnvelope && mt != simpleSigning && kind == "" {
		return nil
	}
	if r.read++; r.read > maxAttached {
		return errMany
	}
	a := attachment{where: where}
	raw, err := r.client.Blob(ctx, r.repo, l.Digest, maxBlob)
	if fatal(ctx, err) {
		return err
	}
	if err == nil {
		err = a.parse(raw, mt, kind, l.Annotations)
	}
	a.err = err
	r.all = append(r.all, a)
	return nil
}

func (a *attachment) parse(raw []byte, mt, kind string, annotations map[string]string) (err error) {
	switch {
	case strings.HasPrefix(mt, signed.BundleMedia):
		a.material, err = signed.FromBundle(raw)
	case mt == dsseEnvelope:
		a.material, err = signed.FromEnvelope(raw, annotations)
	case mt == simpleSigning:
		a.text = raw
		a.material, err = signed.FromText(raw, annotations)
		return err
	case mt == signed.StatementMedia:
		a.statement, err = signed.ParseStatement(raw)
		return err
	default:
		a.list, a.listKind = raw, kind
		return nil
	}
	if err != nil {
		return err
	}
	a.statement, err = a.material.Envelope.Statement()
	return err
}

// trusted tells whether something was said by who has to have signed, and by whom it
// was. Without anybody to ask for, it is believed as it is.
func (a *attachment) trusted(t *signed.Trust, indexSigned bool) (by []Fact, err error) {
	switch {
	case t == nil:
		return []Fact{{"signed", "nobody was asked for"}}, nil
	case a.material == nil && a.within && indexSigned:
		return []Fact{{"signed", "with the index that it is in"}}, nil
	case a.material == nil:
		return nil, errors.New("nobody signed it")
	}
	p, err := t.Verify(a.material)
	if err != nil {
		return nil, err
	}
	return proofFacts(p), nil
}

func proofFacts(p *signed.Proof) []Fact {
	facts := []Fact{{"signed by", p.By}}
	if p.Issuer != "" {
		facts = append(facts, Fact{"issuer", p.Issuer})
	}
	if !p.Time.IsZero() {
		facts = append(facts, Fact{"signed at", p.Time.UTC().Format("2006-01-02T15:04:05Z07:00")})
	}
	if p.LogIndex >= 0 {
		facts = append(facts, Fact{"log index", fmt.Sprint(p.LogIndex)})
	}
	return facts
}

// none says that nothing of several was good, and why each was not.
func none(what string, reasons []string) error {
	switch len(reasons) {
	case 0:
		return fmt.Errorf("it has no %s", what)
	case 1:
		return fmt.Errorf("its %s is not good: %s", what, reasons[0])
	}
	return fmt.Errorf("none of its %d %ss is good: %s", len(reasons), what, strings.Join(distinct(reasons), "; "))
}

func distinct(all []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
