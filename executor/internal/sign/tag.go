package sign

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// What cosign calls what it keeps under tags; see SIGNATURE_SPEC.md and
// ATTESTATION_SPEC.md of its sources.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	dsseEnvelope  = "application/vnd.dsse.envelope.v1+json"

	signatureKey   = "dev.cosignproject.cosign/signature"
	certificateKey = "dev.sigstore.cosign/certificate"
	logKey         = "dev.sigstore.cosign/bundle"
	stampKey       = "dev.sigstore.cosign/rfc3161timestamp"
	predicateKey   = "predicateType"
)

// maxAttached bounds a manifest or config of what is kept under a tag, in bytes, as
// registries bound manifests.
const maxAttached = 4 << 20

// signTag adds a signature to those under the image's tag.
func (s *Signer) signTag(ctx context.Context, image name.Digest) error {
	text, err := payload.Cosign{Image: image, Annotations: loose(s.o.Annotations)}.MarshalJSON()
	if err != nil {
		return err
	}
	list, err := s.openTagged(ctx, image, "sig")
	if err != nil {
		return err
	}
	if s.repeats() {
		sig, _, err := s.key.sign(text)
		if err != nil {
			return err
		}
		if list.has(text, sig) {
			return nil
		}
	}
	b, err := s.bundle(ctx, &sigstore.PlainData{Data: text})
	if err != nil {
		return err
	}
	notes, err := annotations(b, b.GetMessageSignature().GetSignature())
	if err != nil {
		return err
	}
	list.supersede(text, notes)
	return list.add(ctx, s.o.Client, text, simpleSigning, notes)
}

// loose is a map as the payload has it; nil if it is empty, as cosign has it.
func loose(m map[string]string) map[string]any {
	if len(m) == 0 {
		return nil
	}
	all := map[string]any{}
	for k, v := range m {
		all[k] = v
	}
	return all
}

// attestTag adds a statement to those under the image's tag.
func (s *Signer) attestTag(ctx context.Context, subject exporter.Subject, predicateType string, statement []byte) error {
	image := subject.Repository.Digest(subject.Descriptor.Digest.String())
	list, err := s.openTagged(ctx, image, "att")
	if err != nil {
		return err
	}
	content := inToto(statement)
	if s.repeats() {
		sig, _, err := s.key.sign(content.PreAuthEncoding())
		if err != nil {
			return err
		}
		envelope, err := json.Marshal(newEnvelope(content, sig))
		if err != nil {
			return err
		}
		if list.has(envelope, nil) {
			return nil
		}
	}
	b, err := s.bundle(ctx, content)
	if err != nil {
		return err
	}
	envelope, err := json.Marshal(newEnvelope(content, b.GetDsseEnvelope().GetSignatures()[0].GetSig()))
	if err != nil {
		return err
	}
	notes, err := annotations(b, nil) // the signature is in the envelope
	if err != nil {
		return err
	}
	notes[predicateKey] = predicateType
	return list.add(ctx, s.o.Client, envelope, dsseEnvelope, notes)
}

// envelope is DSSE's, in JSON.
type envelope struct {
	Payload     []byte        `json:"payload"`
	PayloadType string        `json:"payloadType"`
	Signatures  []envelopeSig `json:"signatures"`
}

type envelopeSig struct {
	Sig []byte `json:"sig"`
}

func newEnvelope(c *sigstore.DSSEData, sig []byte) envelope {
	return envelope{Payload: c.Data, PayloadType: c.PayloadType, Signatures: []envelopeSig{{sig}}}
}

// annotations are what says, beside the signature, who signed when: what a bundle says
// of it, in cosign's older words.
func annotations(b *protobundle.Bundle, sig []byte) (map[string]string, error) {
	notes := map[string]string{signatureKey: base64.StdEncoding.EncodeToString(sig)}
	material := b.GetVerificationMaterial()
	if cert := material.GetCertificate().GetRawBytes(); cert != nil {
		notes[certificateKey] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	}
	for _, entry := range material.GetTlogEntries() {
		promise := entry.GetInclusionPromise().GetSignedEntryTimestamp()
		if promise == nil {
			return nil, errUnpromised
		}
		text, err := json.Marshal(logged{promise, loggedEntry{
			Body: entry.GetCanonicalizedBody(), Time: entry.GetIntegratedTime(), Index: entry.GetLogIndex(),
			Log: hex.EncodeToString(entry.GetLogId().GetKeyId()),
		}})
		if err != nil {
			return nil, err
		}
		notes[logKey] = string(text)
	}
	for _, stamp := range material.GetTimestampVerificationData().GetRfc3161Timestamps() {
		text, err := json.Marshal(stamped{stamp.GetSignedTimestamp()})
		if err != nil {
			return nil, err
		}
		notes[stampKey] = string(text)
	}
	return notes, nil
}

// logged is an entry of a log of Rekor's first version, with its promise to keep it.
type logged struct {
	Promise []byte      `json:"SignedEntryTimestamp"`
	Entry   loggedEntry `json:"Payload"`
}

type loggedEntry struct {
	Body  []byte `json:"body"`
	Time  int64  `json:"integratedTime"` // in seconds
	Index int64  `json:"logIndex"`
	Log   string `json:"logID"`
}

type stamped struct {
	Stamp []byte `json:"SignedRFC3161Timestamp"`
}

// tagged is what is kept of an image under a tag of it: a manifest with a layer for
// each, in the form of an image.
type tagged struct {
	tag      name.Tag
	manifest *v1.Manifest
	config   *v1.ConfigFile
}

// openTagged reads what is there already. suffix is sig or att.
func (s *Signer) openTagged(ctx context.Context, image name.Digest, suffix string) (*tagged, error) {
	h, err := v1.NewHash(image.DigestStr())
	if err != nil {
		return nil, err
	}
	t := &tagged{tag: image.Context().Tag(h.Algorithm + "-" + h.Hex + "." + suffix)}
	m, err := s.o.Client.Manifest(ctx, t.tag, maxAttached)
	if errors.Is(err, registry.ErrNotFound) {
		t.manifest = &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{MediaType: types.OCIConfigJSON}}
		t.config = &v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}}
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	if t.manifest, err = v1.ParseManifest(bytes.NewReader(m.Raw)); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.tag.Name(), err)
	}
	config, err := s.o.Client.Blob(ctx, t.tag.Context(), t.manifest.Config.Digest, maxAttached)
	if err != nil {
		return nil, err
	}
	if t.config, err = v1.ParseConfigFile(bytes.NewReader(config)); err != nil {
		return nil, fmt.Errorf("read the config of %s: %w", t.tag.Name(), err)
	}
	return t, nil
}

// has tells whether content is there already, with that signature if there is one
// beside it.
func (t *tagged) has(content, sig []byte) bool {
	h, _, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return false
	}
	for _, l := range t.manifest.Layers {
		if l.Digest == h && (sig == nil || l.Annotations[signatureKey] == base64.StdEncoding.EncodeToString(sig)) {
			return true
		}
	}
	return false
}

// supersede takes away what the same identity signed of the same text before: builds
// that come to the same image would pile up signatures, of which the last says all. It
// is not for us to tell whether an older one is good, so it cannot stand for the new one.
func (t *tagged) supersede(content []byte, notes map[string]string) {
	h, _, err := v1.SHA256(bytes.NewReader(content))
	who := certifiedName(notes[certificateKey])
	if err != nil || who == "" {
		return
	}
	var layers []v1.Descriptor
	var ids []v1.Hash
	for _, l := range t.manifest.Layers {
		if l.Digest == h && certifiedName(l.Annotations[certificateKey]) == who {
			continue
		}
		layers, ids = append(layers, l), append(ids, l.Digest)
	}
	t.manifest.Layers, t.config.RootFS.DiffIDs = layers, ids
	t.config.History = make([]v1.History, len(layers))
}

// certifiedName is who a certificate of Fulcio's is for, and who said so; empty if it is
// none.
func certifiedName(text string) string {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	var name, issuer string
	for _, e := range cert.Extensions {
		switch e.Id.String() {
		case "2.5.29.17":
			name = string(e.Value)
		case "1.3.6.1.4.1.57264.1.8": // see oid-info.md of Fulcio's sources
			issuer = string(e.Value)
		}
	}
	if name == "" || issuer == "" {
		return ""
	}
	return issuer + "\x00" + name
}

// add pushes what is there with one more. What another program adds at the same time
// may be lost: registries have no way to say that a tag must be as it was.
func (t *tagged) add(ctx context.Context, c *registry.Client, content []byte, mediaType types.MediaType, notes map[string]string) error {
	h, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return err
	}
	t.manifest.Layers = append(t.manifest.Layers, v1.Descriptor{MediaType: mediaType, Size: size, Digest: h, Annotations: maps.Clone(notes)})
	t.config.RootFS.DiffIDs = append(t.config.RootFS.DiffIDs, h)
	t.config.History = append(t.config.History, v1.History{})
	config, err := json.Marshal(t.config)
	if err != nil {
		return err
	}
	if t.manifest.Config.Digest, t.manifest.Config.Size, err = v1.SHA256(bytes.NewReader(config)); err != nil {
		return err
	}
	raw, err := json.Marshal(t.manifest)
	if err != nil {
		return err
	}
	for _, blob := range [][]byte{content, config} {
		if err := c.PushBlob(ctx, t.tag.Context(), blob); err != nil {
			return err
		}
	}
	mt := t.manifest.MediaType
	if mt == "" {
		mt = types.OCIManifestSchema1
	}
	return c.PushManifest(ctx, t.tag, raw, mt)
}
