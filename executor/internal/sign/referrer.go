package sign

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// What bundles are called among referrers; see BUNDLE_SPEC.md of cosign's sources.
const (
	bundleType         = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundleContentKey   = "dev.sigstore.bundle.content"
	bundlePredicateKey = "dev.sigstore.bundle.predicateType"
)

const (
	inTotoType    = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	// signedType is the predicate of a statement that says nothing but that the image
	// is signed.
	signedType = "https://sigstore.dev/cosign/sign/v1"
)

// Bounds of what is read to see whether a bundle is there already.
const (
	maxReferrers = 4 << 20 // bytes of their list
	maxAsked     = 100     // bundles
	maxBundle    = 4 << 20 // bytes of one
)

// inToto is a statement as it is signed.
func inToto(statement []byte) *sigstore.DSSEData {
	return &sigstore.DSSEData{Data: statement, PayloadType: inTotoType}
}

// statement is in-toto's, version 1.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     struct{}  `json:"predicate"`
}

type subject struct {
	Digest      map[string]string `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// signReferrer has a signature refer to the image: in a bundle it is a statement with
// nothing to say.
func (s *Signer) signReferrer(ctx context.Context, of exporter.Subject) error {
	h := of.Descriptor.Digest
	text, err := json.Marshal(statement{
		Type: statementType, PredicateType: signedType,
		Subject: []subject{{map[string]string{h.Algorithm: h.Hex}, s.o.Annotations}},
	})
	if err != nil {
		return err
	}
	return s.attestReferrer(ctx, of, signedType, text)
}

// attestReferrer has a signed statement refer to the image.
func (s *Signer) attestReferrer(ctx context.Context, of exporter.Subject, predicateType string, statement []byte) error {
	content := inToto(statement)
	if s.repeats() && (s.log != nil || s.stamp != nil) {
		// Without these the bundle is the same, and so is the manifest that refers to it.
		there, err := s.bundled(ctx, of.Repository, of.Descriptor.Digest, content)
		if err != nil || there {
			return err
		}
	}
	b, err := s.bundle(ctx, content)
	if err != nil {
		return err
	}
	loose, err := protojson.Marshal(b)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	// protojson puts in spaces by chance.
	if err := json.Compact(&raw, loose); err != nil {
		return err
	}
	_, err = s.o.Client.PushReferrer(ctx, of.Repository, of.Descriptor, registry.Referrer{
		ArtifactType: bundleType,
		Annotations:  map[string]string{bundleContentKey: "dsse-envelope", bundlePredicateKey: predicateType},
		Blobs:        []registry.ReferrerBlob{{MediaType: bundleType, Raw: raw.Bytes()}},
	})
	return err
}

// bundled tells whether a bundle of our key with that content refers to the image.
func (s *Signer) bundled(ctx context.Context, repo name.Repository, h v1.Hash, content *sigstore.DSSEData) (bool, error) {
	sig, _, err := s.key.sign(content.PreAuthEncoding())
	if err != nil {
		return false, err
	}
	all, err := s.o.Client.Referrers(ctx, repo, h, maxReferrers)
	if err != nil {
		return false, err
	}
	for i, d := range all {
		if i == maxAsked {
			break
		}
		there, err := s.sameBundle(ctx, repo, d, sig)
		if err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// sameBundle tells whether what refers to an image is a bundle with that signature. The
// list does not say what is a bundle: cosign's own does not where the registry keeps none.
func (s *Signer) sameBundle(ctx context.Context, repo name.Repository, d v1.Descriptor, sig []byte) (bool, error) {
	m, err := s.o.Client.Manifest(ctx, repo.Digest(d.Digest.String()), maxAttached)
	if err != nil {
		return false, err
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil || len(parsed.Layers) != 1 || parsed.Layers[0].MediaType != bundleType || parsed.Layers[0].Size > maxBundle {
		return false, nil
	}
	raw, err := s.o.Client.Blob(ctx, repo, parsed.Layers[0].Digest, maxBundle)
	if err != nil {
		return false, err
	}
	var there struct {
		Envelope envelope `json:"dsseEnvelope"`
	}
	if json.Unmarshal(raw, &there) != nil {
		return false, nil
	}
	for _, one := range there.Envelope.Signatures {
		if bytes.Equal(one.Sig, sig) {
			return true, nil
		}
	}
	return false, nil
}
