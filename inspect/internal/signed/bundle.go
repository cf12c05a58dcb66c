package signed

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// BundleMedia begins the types of sigstore's bundles, whose end is a version.
const BundleMedia = "application/vnd.dev.sigstore.bundle"

// rawBytes is a DER document in a bundle.
type rawBytes struct {
	Raw Bytes `json:"rawBytes"`
}

// number is an integer of 64 bits, which protobuf's JSON writes as a text.
type number int64

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal([]byte(strings.Trim(string(raw), `"`)), (*int64)(n))
}

// bundle is a bundle of sigstore's as JSON, the parts that are read of it
// (https://github.com/sigstore/protobuf-specs, sigstore_bundle.proto).
type bundle struct {
	MediaType string    `json:"mediaType"`
	Envelope  *Envelope `json:"dsseEnvelope"`
	Material  struct {
		Certificate *rawBytes `json:"certificate"`
		Chain       struct {
			Certificates []rawBytes `json:"certificates"`
		} `json:"x509CertificateChain"`
		Entries []bundledEntry `json:"tlogEntries"`
		Stamps  struct {
			Stamps []struct {
				Raw Bytes `json:"signedTimestamp"`
			} `json:"rfc3161Timestamps"`
		} `json:"timestampVerificationData"`
	} `json:"verificationMaterial"`
}

type bundledEntry struct {
	Index number `json:"logIndex"`
	Log   struct {
		ID Bytes `json:"keyId"`
	} `json:"logId"`
	Seconds number `json:"integratedTime"`
	Promise struct {
		Raw Bytes `json:"signedEntryTimestamp"`
	} `json:"inclusionPromise"`
	Proof *struct {
		Index      number  `json:"logIndex"`
		Root       Bytes   `json:"rootHash"`
		Size       number  `json:"treeSize"`
		Hashes     []Bytes `json:"hashes"`
		Checkpoint struct {
			Text string `json:"envelope"`
		} `json:"checkpoint"`
	} `json:"inclusionProof"`
	Body Bytes `json:"canonicalizedBody"`
}

// FromBundle is the material of a bundle with a statement.
func FromBundle(raw []byte) (*Material, error) {
	var b bundle
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	if !strings.HasPrefix(b.MediaType, BundleMedia) {
		return nil, fmt.Errorf("read the bundle: its type is %q", b.MediaType)
	}
	if b.Envelope == nil {
		return nil, errors.New("the bundle has no statement")
	}
	m, err := b.Envelope.material()
	if err != nil {
		return nil, err
	}
	return m, m.complete(&b)
}

// complete adds what a bundle says of who signed when.
func (m *Material) complete(b *bundle) error {
	certs := b.Material.Chain.Certificates
	if b.Material.Certificate != nil {
		certs = []rawBytes{*b.Material.Certificate}
	}
	for i, raw := range certs {
		cert, err := x509.ParseCertificate(raw.Raw)
		if err != nil {
			return fmt.Errorf("read the bundle's certificate: %w", err)
		}
		if i == 0 {
			m.Leaf = cert
		} else {
			m.Chain = append(m.Chain, cert)
		}
	}
	for _, e := range b.Material.Entries {
		m.Entries = append(m.Entries, e.entry())
	}
	for _, s := range b.Material.Stamps.Stamps {
		m.Stamps = append(m.Stamps, s.Raw)
	}
	return nil
}

func (b *bundledEntry) entry() Entry {
	e := Entry{Body: b.Body, Log: b.Log.ID, Index: int64(b.Index), Seconds: int64(b.Seconds), Promise: b.Promise.Raw}
	if b.Proof != nil {
		e.Proof = &Inclusion{Index: int64(b.Proof.Index), Size: int64(b.Proof.Size), Root: b.Proof.Root, Checkpoint: b.Proof.Checkpoint.Text}
		for _, h := range b.Proof.Hashes {
			e.Proof.Hashes = append(e.Proof.Hashes, h)
		}
	}
	return e
}
