package sign

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Format is where signatures are kept, and what they look like there.
type Format string

// The formats.
const (
	// Tag is an image under the tag sha256-<hex>.sig, with a layer for each signature
	// of a text in the format "simple signing".
	Tag Format = "tag"
	// Referrers are manifests that refer to the image, each with a bundle of sigstore's,
	// version 0.3.
	Referrers Format = "referrers"
	// Both is both.
	Both Format = "both"
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Tag, Referrers, Both:
		return f, nil
	}
	return "", fmt.Errorf("%q is not a format of signatures: it must be tag, referrers or both", s)
}

func (f Format) tags() bool   { return f != Referrers }
func (f Format) refers() bool { return f != Tag }

// Options say how to sign. With a key, Identity is not looked at.
type Options struct {
	Client   *registry.Client // of what is signed
	Key      KeyOptions
	Identity IdentityOptions
	Services Services
	Format   Format
	// Annotations are signed with the image.
	Annotations map[string]string
	// Signed, if set, is told of images that were signed.
	Signed func(image name.Digest)
}

// Services are those of sigstore beside the authority that gives certificates.
type Services struct {
	Log       string            // URL of the transparency log; empty to leave no entry
	Timestamp string            // URL that answers timestamp requests; empty for none
	Transport http.RoundTripper // nil is [http.DefaultTransport]
}

// Signer signs what was pushed.
type Signer struct {
	o        Options
	key      *keypair  // nil without one
	identity *identity // nil with a key
	log      *sigstore.Rekor
	stamp    *sigstore.TimestampAuthority
}

var _ exporter.Attacher = (*Signer)(nil)

// New opens what is needed to sign, before there is anything to sign: it reads the key
// or finds a token, and asks the services whether they are there. Errors are [Error].
// ctx has to last as long as the signer.
func New(ctx context.Context, o Options) (*Signer, error) {
	via := o.Services.Transport
	if via == nil {
		via = http.DefaultTransport
	}
	o.Services.Transport = &patient{ctx, via}
	s := &Signer{o: o}
	var err error
	if o.Key.Key != "" {
		err = s.openKey()
	} else {
		s.identity, err = newIdentity(ctx, o.Identity, o.Services.Transport)
	}
	if err != nil {
		return nil, err
	}
	return s, s.openServices(ctx)
}

func (s *Signer) openKey() error {
	private, err := readKey(s.o.Key)
	if err != nil {
		return err
	}
	if s.key, err = newKeypair(private); err != nil {
		return s.o.Key.failed(err, exitData, "")
	}
	return nil
}

// Attach signs an image or an index.
func (s *Signer) Attach(ctx context.Context, subject exporter.Subject) error {
	image := subject.Repository.Digest(subject.Descriptor.Digest.String())
	if err := s.image(ctx, subject, image); err != nil {
		return s.failed(ctx, image, "the image", s.command(image), err)
	}
	if s.o.Signed != nil {
		s.o.Signed(image)
	}
	return nil
}

func (s *Signer) image(ctx context.Context, subject exporter.Subject, image name.Digest) error {
	if s.o.Format.tags() {
		if err := s.signTag(ctx, image); err != nil {
			return err
		}
	}
	if s.o.Format.refers() {
		return s.signReferrer(ctx, subject)
	}
	return nil
}

// AttestStatement signs what is said of an image or an index: an in-toto statement
// whose predicate is of that type. It is kept where signatures are, as [Format] says.
func (s *Signer) AttestStatement(ctx context.Context, subject exporter.Subject, predicateType string, statement []byte) error {
	image := subject.Repository.Digest(subject.Descriptor.Digest.String())
	if err := s.statement(ctx, subject, predicateType, statement); err != nil {
		return s.failed(ctx, image, "the attestation "+predicateType+" of the image", "", err)
	}
	return nil
}

func (s *Signer) statement(ctx context.Context, subject exporter.Subject, predicateType string, statement []byte) error {
	if s.o.Format.tags() {
		if err := s.attestTag(ctx, subject, predicateType, statement); err != nil {
			return err
		}
	}
	if s.o.Format.refers() {
		return s.attestReferrer(ctx, subject, predicateType, statement)
	}
	return nil
}

// failed says that something could not be signed, and how it still can.
func (s *Signer) failed(ctx context.Context, image name.Digest, what, command string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("sign %s: %w", image.Name(), context.Cause(ctx)) // whatever went wrong, it was because of that
	}
	return &UnsignedError{Image: image, What: what, Command: command, Err: err}
}

// command is how cosign signs the image.
func (s *Signer) command(image name.Digest) string {
	line := "cosign sign"
	if s.key != nil {
		key := s.o.Key.Key
		if s.o.Key.isSecret() {
			key = s.o.Key.path()
		}
		line += " --key " + key
	} else if s.o.Identity.Authority != PublicAuthority {
		line += " --fulcio-url " + s.o.Identity.Authority
	}
	if s.o.Services.Log != "" && s.o.Services.Log != PublicLog {
		line += " --rekor-url " + s.o.Services.Log
	}
	if s.o.Services.Timestamp != "" {
		line += " --timestamp-server-url " + s.o.Services.Timestamp
	}
	return line + " " + image.Name()
}

// bundle signs content, and has the services add what they have to.
func (s *Signer) bundle(ctx context.Context, content sigstore.Content) (_ *protobundle.Bundle, err error) {
	// Sigstore's clients take it that what a service answers is complete.
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("a service answers in another way than it should: %v", broken)
		}
	}()
	o := sigstore.BundleOptions{Context: ctx}
	var keys sigstore.Keypair = s.key
	if s.identity != nil {
		certified, err := s.identity.certified(ctx)
		if err != nil {
			return nil, err
		}
		keys, o.CertificateProvider, o.CertificateProviderOptions = certified.keypair, certified, &sigstore.CertificateProviderOptions{}
	}
	if s.stamp != nil {
		o.TimestampAuthorities = []*sigstore.TimestampAuthority{s.stamp}
	}
	if s.log != nil {
		o.TransparencyLogs = []sigstore.Transparency{s.log}
	}
	return sigstore.Bundle(content, keys, o)
}

// repeats reports whether the same text is signed in the same way each time, so that
// what is there already can be told.
func (s *Signer) repeats() bool { return s.key != nil }
