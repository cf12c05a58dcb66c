package signed

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// sctList is the extension with the promises of logs of certificates: RFC 6962,
// section 3.3.
const sctList = "1.3.6.1.4.1.11129.2.4.2"

// logged tells whether a trusted log of certificates has promised to keep the leaf of
// the chains.
func (r *Root) logged(chains [][]*x509.Certificate) error {
	failed := errors.New("its certificate is in no log of certificates")
	for _, chain := range chains {
		if len(chain) < 2 {
			continue
		}
		promises, err := scts(chain[0])
		if err != nil {
			return fmt.Errorf("its certificate's entries in logs of certificates: %w", err)
		}
		before, err := precertificate(chain[0])
		if err != nil {
			return fmt.Errorf("its certificate: %w", err)
		}
		for _, p := range promises {
			if err := r.promised(p, before, chain[1]); err != nil {
				failed = fmt.Errorf("its certificate's entry in a log of certificates: %w", err)
				continue
			}
			return nil
		}
	}
	return failed
}

// sct is a promise of a log to keep a certificate.
type sct struct {
	log        []byte
	millis     uint64 // since 1970
	extensions []byte
	signature  []byte
}

// errSCT is a list that is no list.
var errSCT = errors.New("they are not what RFC 6962 says")

// scts are the promises in a certificate.
func scts(cert *x509.Certificate) ([]sct, error) {
	for _, e := range cert.Extensions {
		if e.Id.String() != sctList {
			continue
		}
		var raw []byte
		if rest, err := asn1.Unmarshal(e.Value, &raw); err != nil || len(rest) > 0 {
			return nil, errSCT
		}
		list, rest, ok := vector(raw)
		if !ok || len(rest) > 0 {
			return nil, errSCT
		}
		var all []sct
		for len(list) > 0 {
			var one []byte
			if one, list, ok = vector(list); !ok {
				return nil, errSCT
			}
			s, ok := parseSCT(one)
			if !ok {
				return nil, errSCT
			}
			all = append(all, s)
		}
		return all, nil
	}
	return nil, nil
}

// vector is what is behind a length of two bytes.
func vector(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// The lengths of the fields before the extensions: version, log, time.
const sctHead = 1 + 32 + 8

func parseSCT(b []byte) (sct, bool) {
	if len(b) < sctHead || b[0] != 0 {
		return sct{}, false
	}
	s := sct{log: b[1:33], millis: binary.BigEndian.Uint64(b[33:])}
	var rest []byte
	var ok bool
	if s.extensions, rest, ok = vector(b[sctHead:]); !ok || len(rest) < 2 {
		return sct{}, false
	}
	// Two bytes name the algorithms, which the log's key says better.
	s.signature, rest, ok = vector(rest[2:])
	return s, ok && len(rest) == 0
}

// promised checks a promise to keep what was to become a certificate of an issuer's.
func (r *Root) promised(s sct, before []byte, issuer *x509.Certificate) error {
	at := time.UnixMilli(int64(s.millis))
	for _, l := range r.certLogs {
		if !bytes.Equal(l.id, s.log) || !l.valid.has(at) {
			continue
		}
		text := []byte{0, 0} // version 1, a promise
		text = binary.BigEndian.AppendUint64(text, s.millis)
		text = append(text, 0, 1) // of a precertificate
		text = append(text, sum(crypto.SHA256, issuer.RawSubjectPublicKeyInfo)...)
		text = append(text, byte(len(before)>>16), byte(len(before)>>8), byte(len(before)))
		text = append(text, before...)
		text = binary.BigEndian.AppendUint16(text, uint16(len(s.extensions)))
		text = append(text, s.extensions...)
		return check(l.key, text, s.signature)
	}
	return fmt.Errorf("the log %x is not trusted", s.log)
}

// toBeSigned is the signed part of a certificate: RFC 5280, section 4.1. Fields that are
// not looked at are kept as they are.
type toBeSigned struct {
	Raw        asn1.RawContent
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     asn1.RawValue
	Algorithm  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Extensions []pkix.Extension `asn1:"optional,explicit,tag:3"`
}

// precertificate is what a log of certificates was shown: the certificate without the
// promises (RFC 6962, section 3.2).
func precertificate(cert *x509.Certificate) ([]byte, error) {
	var t toBeSigned
	if rest, err := asn1.Unmarshal(cert.RawTBSCertificate, &t); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("read it: %w", err)
	}
	var kept []pkix.Extension
	for _, e := range t.Extensions {
		if e.Id.String() != sctList {
			kept = append(kept, e)
		}
	}
	t.Raw, t.Extensions = nil, kept
	return asn1.Marshal(t)
}
