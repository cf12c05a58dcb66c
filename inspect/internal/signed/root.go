package signed

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Root is whom to believe: sigstore's trusted_root.json (protobuf-specs,
// sigstore_trustroot.proto).
type Root struct {
	logs        []logKey // transparency logs
	certLogs    []logKey // of certificates
	authorities []authority
	stampers    []authority
}

// logKey is a log and the key that it signs with.
type logKey struct {
	id    []byte
	key   crypto.PublicKey
	valid span
}

// authority is a chain of certificates: what comes last is the root.
type authority struct {
	chain []*x509.Certificate
	valid span
}

// span is a time during which something is to be believed; an end that is missing is
// open.
type span struct {
	Start *time.Time `json:"start"`
	End   *time.Time `json:"end"`
}

func (s span) has(at time.Time) bool {
	return (s.Start == nil || !at.Before(*s.Start)) && (s.End == nil || !at.After(*s.End))
}

type (
	rootDocument struct {
		MediaType   string              `json:"mediaType"`
		Logs        []logDocument       `json:"tlogs"`
		Authorities []authorityDocument `json:"certificateAuthorities"`
		CertLogs    []logDocument       `json:"ctlogs"`
		Stampers    []authorityDocument `json:"timestampAuthorities"`
	}
	logDocument struct {
		Key struct {
			Raw   Bytes `json:"rawBytes"`
			Valid span  `json:"validFor"`
		} `json:"publicKey"`
		ID struct {
			Raw Bytes `json:"keyId"`
		} `json:"logId"`
	}
	authorityDocument struct {
		Chain struct {
			Certificates []rawBytes `json:"certificates"`
		} `json:"certChain"`
		Valid span `json:"validFor"`
	}
)

// ReadRoot reads a trusted_root.json.
func ReadRoot(raw []byte) (*Root, error) {
	var d rootDocument
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix([]byte(d.MediaType), []byte("application/vnd.dev.sigstore.trustedroot")) {
		return nil, fmt.Errorf("its mediaType is %q: it is no trusted root of sigstore's", d.MediaType)
	}
	r := &Root{}
	var err error
	if r.logs, err = logKeys(d.Logs); err != nil {
		return nil, fmt.Errorf("its transparency logs: %w", err)
	}
	if r.certLogs, err = logKeys(d.CertLogs); err != nil {
		return nil, fmt.Errorf("its logs of certificates: %w", err)
	}
	if r.authorities, err = authorities(d.Authorities); err != nil {
		return nil, fmt.Errorf("its certificate authorities: %w", err)
	}
	if r.stampers, err = authorities(d.Stampers); err != nil {
		return nil, fmt.Errorf("its timestamp authorities: %w", err)
	}
	return r, nil
}

func logKeys(all []logDocument) ([]logKey, error) {
	var out []logKey
	for _, l := range all {
		key, err := usable(x509.ParsePKIXPublicKey(l.Key.Raw))
		if err != nil {
			// One of a kind that is not known is as one that is not there.
			continue
		}
		if len(l.ID.Raw) == 0 {
			return nil, errors.New("one has no logId")
		}
		out = append(out, logKey{l.ID.Raw, key, l.Key.Valid})
	}
	return out, nil
}

func authorities(all []authorityDocument) ([]authority, error) {
	var out []authority
	for _, d := range all {
		a := authority{valid: d.Valid}
		for _, raw := range d.Chain.Certificates {
			cert, err := x509.ParseCertificate(raw.Raw)
			if err != nil {
				return nil, err
			}
			a.chain = append(a.chain, cert)
		}
		if len(a.chain) == 0 {
			return nil, errors.New("one has no certificate")
		}
		out = append(out, a)
	}
	return out, nil
}

// pools are the root of a chain, and what lies between it and others.
func (a authority) pools(more []*x509.Certificate) (roots, between *x509.CertPool) {
	roots, between = x509.NewCertPool(), x509.NewCertPool()
	last := len(a.chain) - 1
	roots.AddCert(a.chain[last])
	for _, c := range a.chain[:last] {
		between.AddCert(c)
	}
	for _, c := range more {
		between.AddCert(c)
	}
	return roots, between
}
