package signed

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Entry is one of a transparency log: Rekor, of its first or second version.
type Entry struct {
	Body    []byte // as the log keeps it
	Log     []byte // the log's id
	Index   int64  // in the log
	Seconds int64  // since 1970, when it was entered; 0 if the log does not say
	Promise []byte // the log's signature of all this; nil without one
	Proof   *Inclusion
}

// Inclusion proves that an entry is in a log.
type Inclusion struct {
	Index, Size int64 // in the tree, and of it
	Root        []byte
	Hashes      [][]byte
	Checkpoint  string // signed
}

// entry tells whether an entry is of a trusted log and about m's signature, and when it
// was made; zero if the log does not say. The promise of a log is enough, or the proof
// that it is there; what is there of both has to be right, but for a proof beside a
// promise without a checkpoint, of which nobody signed anything.
func (r *Root) entry(e Entry, m *Material) (time.Time, error) {
	var at time.Time
	if e.Seconds != 0 {
		at = time.Unix(e.Seconds, 0).UTC()
	}
	log, err := r.log(e.Log, at)
	if err != nil {
		return at, err
	}
	promised := len(e.Promise) > 0
	if promised {
		if err := e.promised(log.key); err != nil {
			return at, err
		}
	} else {
		at = time.Time{} // nobody signed it
	}
	if e.Proof != nil && !(promised && !signedNote(e.Proof.Checkpoint)) {
		if err := e.included(log.key); err != nil {
			return at, err
		}
	} else if !promised {
		return at, errors.New("nothing proves that it is in the log")
	}
	return at, e.about(m)
}

func (r *Root) log(id []byte, at time.Time) (logKey, error) {
	if r != nil {
		for _, l := range r.logs {
			if bytes.Equal(l.id, id) && (at.IsZero() || l.valid.has(at)) {
				return l, nil
			}
		}
	}
	return logKey{}, fmt.Errorf("the log %s is not trusted", hex.EncodeToString(id))
}

// promised checks the log's signature of the entry, which is of canonical JSON
// (RFC 8785): the names are in their order here.
func (e *Entry) promised(key crypto.PublicKey) error {
	text, err := json.Marshal(struct {
		Body  []byte `json:"body"`
		Time  int64  `json:"integratedTime"`
		Log   string `json:"logID"`
		Index int64  `json:"logIndex"`
	}{e.Body, e.Seconds, hex.EncodeToString(e.Log), e.Index})
	if err != nil {
		return err
	}
	if err := check(key, text, e.Promise); err != nil {
		return fmt.Errorf("the promise of the log: %w", err)
	}
	return nil
}

// record is the body of an entry, of all kinds that are about signatures. The forms are
// those of Rekor's pkg/types and, of the second version, of rekor-tiles.
type record struct {
	Kind    string `json:"kind"`
	Version string `json:"apiVersion"`
	Spec    struct {
		// hashedrekord 0.0.1
		Data struct {
			Hash hexDigest `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content Bytes `json:"content"`
			Key     struct {
				Content Bytes `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
		// dsse 0.0.1
		PayloadHash hexDigest `json:"payloadHash"`
		Signatures  []struct {
			Signature Bytes `json:"signature"`
			Verifier  Bytes `json:"verifier"`
		} `json:"signatures"`
		// intoto 0.0.2
		Content struct {
			PayloadHash hexDigest `json:"payloadHash"`
			Envelope    struct {
				Signatures []struct {
					Sig Bytes `json:"sig"` // base64 of base64
					Key Bytes `json:"publicKey"`
				} `json:"signatures"`
			} `json:"envelope"`
		} `json:"content"`
		Second struct { // hashedrekord 0.0.2
			Data      digest          `json:"data"`
			Signature secondSignature `json:"signature"`
		} `json:"hashedRekordV002"`
		SecondEnvelope struct { // dsse 0.0.2
			PayloadHash digest            `json:"payloadHash"`
			Signatures  []secondSignature `json:"signatures"`
		} `json:"dsseV002"`
	} `json:"spec"`
}

type hexDigest struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

type digest struct {
	Algorithm string `json:"algorithm"`
	Digest    Bytes  `json:"digest"`
}

type secondSignature struct {
	Content  Bytes `json:"content"`
	Verifier struct {
		Key  rawBytes `json:"publicKey"`
		Cert rawBytes `json:"x509Certificate"`
	} `json:"verifier"`
}

// errOther is an entry that is there, and about another signature.
var errOther = errors.New("it is about another signature")

// about tells whether the entry is about m's signature, its text, and its certificate
// if it has one.
func (e *Entry) about(m *Material) error {
	var r record
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	s := &r.Spec
	ok := false
	switch r.Kind + " " + r.Version {
	case "hashedrekord 0.0.1":
		ok = s.Data.Hash.of(m.Text) && bytes.Equal(s.Signature.Content, m.Signature) && m.signer(s.Signature.Key.Content)
	case "hashedrekord 0.0.2":
		ok = s.Second.Data.of(m.Text) && s.Second.Signature.of(m)
	case "dsse 0.0.1":
		ok = m.Envelope != nil && len(s.Signatures) == 1 && s.PayloadHash.of(m.Envelope.Payload) &&
			bytes.Equal(s.Signatures[0].Signature, m.Signature) && m.signer(s.Signatures[0].Verifier)
	case "dsse 0.0.2":
		ok = m.Envelope != nil && len(s.SecondEnvelope.Signatures) == 1 && s.SecondEnvelope.PayloadHash.of(m.Envelope.Payload) &&
			s.SecondEnvelope.Signatures[0].of(m)
	case "intoto 0.0.2":
		all := s.Content.Envelope.Signatures
		if ok = m.Envelope != nil && len(all) == 1 && s.Content.PayloadHash.of(m.Envelope.Payload) && m.signer(all[0].Key); ok {
			sig, err := decode(string(all[0].Sig))
			ok = err == nil && bytes.Equal(sig, m.Signature)
		}
	default:
		return fmt.Errorf("its kind %q, version %q, is not known", r.Kind, r.Version)
	}
	if !ok {
		return errOther
	}
	return nil
}

func (d hexDigest) of(text []byte) bool {
	want, err := hex.DecodeString(d.Value)
	h, known := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[d.Algorithm]
	return err == nil && known && bytes.Equal(want, sum(h, text))
}

func (d digest) of(text []byte) bool {
	h, known := map[string]crypto.Hash{"SHA2_256": crypto.SHA256, "SHA2_384": crypto.SHA384, "SHA2_512": crypto.SHA512}[d.Algorithm]
	return known && bytes.Equal(d.Digest, sum(h, text))
}

func (s secondSignature) of(m *Material) bool {
	if !bytes.Equal(s.Content, m.Signature) {
		return false
	}
	if m.Leaf != nil {
		return bytes.Equal(s.Verifier.Cert.Raw, m.Leaf.Raw)
	}
	return checksDER(s.Verifier.Key.Raw, m)
}
