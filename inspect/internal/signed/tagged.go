package signed

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// The annotations of layers under cosign's tags.
const (
	signatureKey   = "dev.cosignproject.cosign/signature"
	certificateKey = "dev.sigstore.cosign/certificate"
	chainKey       = "dev.sigstore.cosign/chain"
	entryKey       = "dev.sigstore.cosign/bundle"
	stampKey       = "dev.sigstore.cosign/rfc3161timestamp"
)

// FromText is the material of a text that cosign keeps under a tag, with what its
// layer's annotations say.
func FromText(text []byte, annotations map[string]string) (*Material, error) {
	m := &Material{Text: text}
	var err error
	if m.Signature, err = decode(annotations[signatureKey]); err != nil || len(m.Signature) == 0 {
		return nil, errors.New("it has no signature")
	}
	return m, m.annotate(annotations)
}

// FromEnvelope is the material of an envelope likewise.
func FromEnvelope(raw []byte, annotations map[string]string) (*Material, error) {
	var e Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("read the envelope: %w", err)
	}
	m, err := e.material()
	if err != nil {
		return nil, err
	}
	return m, m.annotate(annotations)
}

// annotate adds what annotations say of who signed when.
func (m *Material) annotate(annotations map[string]string) error {
	certs, err := certificates([]byte(annotations[certificateKey]))
	if err != nil {
		return err
	}
	if len(certs) > 0 {
		m.Leaf = certs[0]
	}
	if m.Chain, err = certificates([]byte(annotations[chainKey])); err != nil {
		return err
	}
	if text := annotations[stampKey]; text != "" {
		var s struct{ SignedRFC3161Timestamp Bytes }
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return fmt.Errorf("read its timestamp: %w", err)
		}
		m.Stamps = [][]byte{s.SignedRFC3161Timestamp}
	}
	if text := annotations[entryKey]; text != "" {
		return m.addLogged(text)
	}
	return nil
}

// addLogged adds the entry of a log of Rekor's first version, as cosign writes it.
func (m *Material) addLogged(text string) error {
	var l struct {
		SignedEntryTimestamp Bytes
		Payload              struct {
			Body  Bytes  `json:"body"`
			Time  int64  `json:"integratedTime"`
			Index int64  `json:"logIndex"`
			Log   string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return fmt.Errorf("read its log entry: %w", err)
	}
	id, err := hex.DecodeString(l.Payload.Log)
	if err != nil {
		return fmt.Errorf("read its log entry: %w", err)
	}
	m.Entries = append(m.Entries, Entry{
		Body: l.Payload.Body, Log: id, Index: l.Payload.Index, Seconds: l.Payload.Time, Promise: l.SignedEntryTimestamp,
	})
	return nil
}

// certificates are those in a text of PEM.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read its certificate: %w", err)
		}
		all = append(all, cert)
	}
}
