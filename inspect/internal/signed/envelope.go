package signed

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// Envelope is DSSE's (https://github.com/secure-systems-lab/dsse), in JSON.
type Envelope struct {
	Payload     Bytes  `json:"payload"`
	PayloadType string `json:"payloadType"`
	Signatures  []struct {
		Sig Bytes `json:"sig"`
	} `json:"signatures"`
}

// Bytes are written as base64, of either alphabet, as protobuf's JSON is read.
type Bytes []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (b *Bytes) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	var err error
	*b, err = decode(text)
	return err
}

func decode(text string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil {
		return b, nil
	}
	return base64.URLEncoding.DecodeString(text)
}

// text is what the signatures of an envelope are of: DSSE's pre-authentication
// encoding.
func (e *Envelope) text() []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
}

// material is that of an envelope that has one signature, as all of sigstore's have.
func (e *Envelope) material() (*Material, error) {
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("its envelope has %d signatures, and should have one", len(e.Signatures))
	}
	return &Material{Text: e.text(), Signature: e.Signatures[0].Sig, Envelope: e}, nil
}

// StatementMedia is the type of what an envelope holds.
const StatementMedia = "application/vnd.in-toto+json"

// Statement is in-toto's (https://github.com/in-toto/attestation), of any version.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is what a statement is about.
type Subject struct {
	Name        string            `json:"name"`
	Digest      map[string]string `json:"digest"` // hexadecimal, by algorithm
	Annotations map[string]any    `json:"annotations"`
}

// ParseStatement reads a statement.
func ParseStatement(raw []byte) (*Statement, error) {
	var s Statement
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	if !bytes.HasPrefix([]byte(s.Type), []byte("https://in-toto.io/Statement/")) {
		return nil, fmt.Errorf("read the statement: its type is %q", s.Type)
	}
	return &s, nil
}

// Statement is what an envelope holds.
func (e *Envelope) Statement() (*Statement, error) {
	if e.PayloadType != StatementMedia {
		return nil, fmt.Errorf("its envelope holds %q, and not a statement", e.PayloadType)
	}
	return ParseStatement(e.Payload)
}

// About is the subject with that digest in a statement.
func (s *Statement) About(algorithm, hex string) (Subject, error) {
	for _, one := range s.Subject {
		if one.Digest[algorithm] == hex && hex != "" {
			return one, nil
		}
	}
	return Subject{}, errors.New("it is a statement about something else")
}
