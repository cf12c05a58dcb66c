package sign

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/sign"
)

// IdentityOptions say who signs without a key: whoever a token says that the build is.
type IdentityOptions struct {
	// Token is an identity token, or the path of a file with one; if it is empty, where
	// the build runs is asked for one: see [ambient].
	Token     string
	Authority string // URL of Fulcio, which gives certificates for tokens
	LookupEnv func(string) (string, bool)
	Now       func() time.Time
}

// margin is how long a token or a certificate has to be good for yet to be used.
const margin = 30 * time.Second

// identity signs with keys of the moment, for which an authority certifies who had them.
type identity struct {
	o         IdentityOptions
	authority *sigstore.Fulcio

	mu    sync.Mutex
	token *token
	now   *certified // nil before the first signature
}

// newIdentity finds a token, and asks the authority whether it is there. The token of
// a place that gives them is asked for again when it is needed, if this one ran out.
func newIdentity(ctx context.Context, o IdentityOptions, via http.RoundTripper) (*identity, error) {
	o.Authority = strings.TrimRight(o.Authority, "/")
	i := &identity{o: o, authority: sigstore.NewFulcio(&sigstore.FulcioOptions{
		BaseURL: o.Authority, Timeout: patience, Transport: via,
	})}
	var err error
	if i.token, err = findToken(ctx, o, via); err != nil {
		return nil, err
	}
	attempt := "ask the certificate authority " + o.Authority
	status, err := probe(ctx, via, o.Authority+"/api/v2/configuration")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers %d %s", status, http.StatusText(status))
	}
	if err != nil {
		return nil, unreachable(attempt, err)
	}
	return i, nil
}

// certified is a key of the moment with its certificate.
type certified struct {
	*keypair
	der   []byte
	until time.Time
}

// GetCertificate returns the certificate that is there already.
func (c *certified) GetCertificate(context.Context, sigstore.Keypair, *sigstore.CertificateProviderOptions) ([]byte, error) {
	return c.der, nil
}

// certified is the key to sign with now. One serves for all that a build signs in the
// minutes that its certificate is good for.
func (i *identity) certified(ctx context.Context) (*certified, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now != nil && i.o.Now().Add(margin).Before(i.now.until) {
		return i.now, nil
	}
	token, err := i.token.fresh(ctx, i.o.Now())
	if err != nil {
		return nil, err
	}
	i.token = token
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	keys, err := newKeypair(private)
	if err != nil {
		return nil, err
	}
	der, err := i.authority.GetCertificate(ctx, keys, &sigstore.CertificateProviderOptions{IDToken: token.text})
	if err != nil {
		return nil, fmt.Errorf("get a certificate from %s: %w", i.o.Authority, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", i.o.Authority, err)
	}
	i.now = &certified{keys, der, cert.NotAfter}
	return i.now, nil
}

// token is an identity token.
type token struct {
	text   string
	claims claims
	source source
}

// claims are what a token says, which only the authority can check.
type claims struct {
	Issuer  string `json:"iss"`
	Expires int64  `json:"exp"` // in seconds
}

// readToken looks at what a source gave.
func readToken(text string, from source) (*token, error) {
	text = strings.TrimSpace(text)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errors.New("it is not a JSON web token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, errors.New("it is not a JSON web token") // and nothing of it may be told
	}
	t := &token{text: text, source: from}
	if json.Unmarshal(raw, &t.claims) != nil {
		return nil, errors.New("it is a token without claims")
	}
	return t, nil
}

// expired tells whether the token is no good any more.
func (t *token) expired(now time.Time) bool {
	return t.claims.Expires != 0 && !now.Before(time.Unix(t.claims.Expires, 0))
}

// fresh is a token that is good for a while, from the same source.
func (t *token) fresh(ctx context.Context, now time.Time) (*token, error) {
	if !t.expired(now.Add(margin)) {
		return t, nil
	}
	if again, err := t.source.token(ctx); err == nil {
		if found, err := readToken(again, t.source); err == nil {
			t = found
		}
	}
	if t.expired(now) {
		return nil, t.late()
	}
	return t, nil
}

func (t *token) late() error {
	return &Error{
		Attempt: "use the identity token of " + t.source.name(),
		Err:     fmt.Errorf("it expired at %s", time.Unix(t.claims.Expires, 0).UTC().Format(time.RFC3339)),
		code:    exitCredentials, hint: "give a token of this moment",
	}
}
