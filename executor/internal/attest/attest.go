// Package attest writes down, of an image that was built, what it was built from and
// what it holds, and attaches that to the image in its registries: statements of in-toto
// (https://github.com/in-toto/attestation) with SLSA's provenance and lists of software.
//
// It owns what is said and the form of it. Who signs a statement is a [Signer]'s affair;
// what software there is, that of shared/sbom. Values of build arguments and secrets are
// not told to this package, so it cannot repeat them.
package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// A Signer signs statements and publishes what comes of it.
type Signer interface {
	AttestStatement(ctx context.Context, s exporter.Subject, predicateType string, statement []byte) error
}

// MediaType is that of a statement that nobody has signed.
const MediaType = "application/vnd.in-toto+json"

// predicateAnnotation tells what a statement is about where referrers are listed, as
// other builders and cosign have it.
const predicateAnnotation = "in-toto.io/predicate-type"

// statementType is in-toto's for version 1 of the statement.
const statementType = "https://in-toto.io/Statement/v1"

// Predicate is what a statement says of its subject.
type Predicate struct {
	Type string          // a URI
	File string          // the name of a file with it
	Body json.RawMessage // compact
}

// statement is in-toto's Statement v1.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Resource is in-toto's ResourceDescriptor v1: at least one of URI and Digest is set.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"` // hexadecimal, by algorithm
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Statement is the statement that p holds of an image of this name, which has no tag.
func Statement(p Predicate, name string, digest v1.Hash) ([]byte, error) {
	return compact(statement{
		Type: statementType, PredicateType: p.Type, Predicate: p.Body,
		Subject: []Resource{{Name: name, Digest: map[string]string{digest.Algorithm: digest.Hex}}},
	})
}

// compact is JSON on one line and nothing after it, with the characters of HTML as they
// are.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write a statement: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Attacher attaches statements to what was pushed. That which has the same bytes as one
// that is there already is the same, and changes nothing.
type Attacher struct {
	Client    *registry.Client
	Documents *Documents
	Signer    Signer // nil to attach them unsigned
	// Attached, if set, is told of each statement that is there.
	Attached func(s exporter.Subject, predicateType string)
}

var _ exporter.Attacher = (*Attacher)(nil)

// Attach implements [exporter.Attacher].
func (a *Attacher) Attach(ctx context.Context, s exporter.Subject) error {
	all, err := a.Documents.Of(ctx, s.Descriptor, s.Image)
	if err != nil {
		return &Error{s.Repository, s.Descriptor.Digest, err}
	}
	for _, p := range all {
		if err := a.attach(ctx, s, p); err != nil {
			return &Error{s.Repository, s.Descriptor.Digest, err}
		}
		if a.Attached != nil {
			a.Attached(s, p.Type)
		}
	}
	return nil
}

func (a *Attacher) attach(ctx context.Context, s exporter.Subject, p Predicate) error {
	raw, err := Statement(p, s.Repository.Name(), s.Descriptor.Digest)
	if err != nil {
		return err
	}
	if a.Signer != nil {
		return a.Signer.AttestStatement(ctx, s, p.Type, raw)
	}
	about := map[string]string{predicateAnnotation: p.Type}
	_, err = a.Client.PushReferrer(ctx, s.Repository, s.Descriptor, registry.Referrer{
		ArtifactType: MediaType, Annotations: about,
		Blobs: []registry.ReferrerBlob{{MediaType: MediaType, Annotations: about, Raw: raw}},
	})
	return err
}

// Error is an image that is pushed and lacks an attestation.
type Error struct {
	Repository name.Repository
	Digest     v1.Hash
	Err        error
}

func (e *Error) Error() string {
	return fmt.Sprintf("attest %s@%s, which is pushed: %v", e.Repository.Name(), e.Digest, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
