// Package signed tells whether a text was signed by who should have signed it: by a key,
// or by an identity for which an authority gave a certificate that a transparency log or
// a timestamp shows to have been used in its time. It reads signatures as cosign keeps
// them under tags and sigstore's bundles, asks nobody, and believes only the key or the
// file of trusted roots that it is given.
//
// It is written on the standard library: sigstore's own verifier makes the program 3 MB
// larger, with the types of Rekor's interface and gRPC, and this one 0.4 MB. Formats are
// those of sigstore's protobuf-specs, of cosign's SIGNATURE_SPEC.md and BUNDLE_SPEC.md,
// and of RFC 3161, RFC 6962 and RFC 9162.
package signed

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Material is a signature with what is said beside it of who made it when.
type Material struct {
	Text      []byte // what was signed, byte for byte
	Signature []byte
	// Envelope is DSSE's, of which Text was made; nil of a text that was signed as it is.
	Envelope *Envelope
	Leaf     *x509.Certificate // nil if a key signed that has none
	Chain    []*x509.Certificate
	Entries  []Entry  // of transparency logs
	Stamps   [][]byte // responses of RFC 3161
}

// Trust is who has to have signed.
type Trust struct {
	// Key is the public key; nil asks for Identity.
	Key      crypto.PublicKey
	Identity Identity
	// Root is whom to believe beside the key; nil believes nobody.
	Root *Root
	// Logged asks for an entry in a log of Root's.
	Logged bool
	// IgnoreSCT does without the proof that the certificate is in a log of
	// certificates.
	IgnoreSCT bool
}

// Proof is what was found of a signature that is good.
type Proof struct {
	By       string    // the key's SHA-256, or the name in the certificate
	Issuer   string    // who vouched for the name
	Time     time.Time // a log's or a timestamp authority's; zero if none was asked for
	LogIndex int64     // of the log entry; -1 without one
}

// Verify tells whether m's text was signed by who is trusted.
func (t *Trust) Verify(m *Material) (*Proof, error) {
	if t.Key != nil {
		return t.byKey(m)
	}
	return t.byIdentity(m)
}

func (t *Trust) byKey(m *Material) (*Proof, error) {
	if err := check(t.Key, m.Text, m.Signature); err != nil {
		return nil, err
	}
	p := &Proof{By: Fingerprint(t.Key), LogIndex: -1}
	if !t.Logged {
		return p, nil
	}
	return p, t.logged(m, p)
}

// logged looks for an entry about the signature in a trusted log.
func (t *Trust) logged(m *Material, p *Proof) error {
	times, err := t.entries(m, p)
	if err == nil && len(times) > 0 {
		p.Time = times[0]
	}
	return err
}

// entries are the times of entries that count; some have none. Without an entry that
// counts the error says why.
func (t *Trust) entries(m *Material, p *Proof) ([]time.Time, error) {
	if len(m.Entries) == 0 {
		return nil, errors.New("it has no entry of a transparency log")
	}
	var failed error
	var times []time.Time
	found := false
	for _, e := range m.Entries {
		at, err := t.Root.entry(e, m)
		if err != nil {
			failed = fmt.Errorf("its entry %d of a transparency log: %w", e.Index, err)
			continue
		}
		if !found {
			p.LogIndex, found = e.Index, true
		}
		if !at.IsZero() {
			times = append(times, at)
		}
	}
	if !found {
		return nil, failed
	}
	return times, nil
}

func (t *Trust) byIdentity(m *Material) (*Proof, error) {
	if m.Leaf == nil {
		return nil, errors.New("it has no certificate: a key signed")
	}
	if err := check(m.Leaf.PublicKey, m.Text, m.Signature); err != nil {
		return nil, err
	}
	p := &Proof{LogIndex: -1}
	var times []time.Time
	if t.Logged {
		var err error
		if times, err = t.entries(m, p); err != nil {
			return nil, err
		}
	}
	for _, raw := range m.Stamps {
		at, err := t.Root.stamp(raw, m.Signature)
		if err != nil {
			return nil, fmt.Errorf("its timestamp: %w", err)
		}
		times = append(times, at)
	}
	if len(times) == 0 {
		return nil, errors.New("nothing that is trusted says when it was signed")
	}
	// Whoever says when, the certificate must have been good then.
	for _, at := range times {
		if err := t.Root.certificate(m, at, t.IgnoreSCT); err != nil {
			return nil, err
		}
	}
	p.Time = times[0]
	var err error
	p.By, p.Issuer, err = t.Identity.match(m.Leaf)
	return p, err
}
