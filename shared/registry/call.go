package registry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// maxCallBody bounds the answer to a [Call], in bytes.
const maxCallBody = 64 << 20

// Call is a request of an interface that a registry, or who runs it, has beside that of
// distribution-spec.
type Call struct {
	Method string
	URL    string
	Header http.Header // with what it is authorized by, unless Actions are given
	Body   []byte
	// Actions, if given, are those on the repository that the registry's own token
	// server is asked to allow, such as metadata_read. The URL is at the registry then.
	Actions string
}

// Reply is the answer to a [Call].
type Reply struct {
	Status int // from 200 to 299
	Header http.Header
	Body   []byte // no more than 64 MiB
}

// Next is the query of the next page of a list; more is false for the last.
func (r *Reply) Next() (query string, more bool) { return following(r.Header.Get("Link")) }

// Call sends a request on behalf of a repository, repeats it as any other, and returns
// the answer. attempt is what the error says was tried. The error is an [Error]; an
// answer with any status but 2xx is one.
func (c *Client) Call(ctx context.Context, attempt string, repo name.Repository, call Call) (*Reply, error) {
	s, err := c.calling(ctx, repo, call)
	if err != nil {
		return nil, c.failed(attempt, push, repo, err)
	}
	reply, err := s.call(ctx, call)
	return reply, fail(attempt, s, err)
}

// calling is the session that a call is part of.
func (c *Client) calling(ctx context.Context, repo name.Repository, call Call) (*session, error) {
	if call.Actions != "" {
		return c.sessions.get(ctx, sessionKey{role: push, repo: repo.Name(), actions: call.Actions}, func(ctx context.Context) (*session, error) {
			return c.open(ctx, push, repo, repo.Scope(call.Actions))
		})
	}
	if c.invalid != nil {
		return nil, c.invalid
	}
	_, from, err := c.credentialsOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(call.URL)
	if err != nil {
		return nil, fmt.Errorf("%q is no address", call.URL)
	}
	rt := c.verified
	if c.cfg.Options.unverified(push, at.Host) {
		rt = c.trusting
	}
	return &session{repo: repo, credentials: from, http: &http.Client{Transport: rt, CheckRedirect: checkRedirect}}, nil
}

func (s *session) call(ctx context.Context, call Call) (*Reply, error) {
	req, err := http.NewRequestWithContext(ctx, call.Method, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return nil, fmt.Errorf("%q is no address", call.URL)
	}
	for key, values := range call.Header {
		req.Header[key] = values
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, check(resp)
	}
	defer resp.Body.Close()
	body, err := readAll(resp.Body, maxCallBody)
	if err != nil {
		return nil, err
	}
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Credentials are the name and the secret, a password or a token, that the keychain has
// for a repository; both are empty if it has none.
func (c *Client) Credentials(ctx context.Context, repo name.Repository) (user, secret string, err error) {
	auth, from, err := c.credentialsOf(ctx, repo)
	if err != nil {
		return "", "", fail("look for credentials", &session{repo: repo, credentials: from}, err)
	}
	is, err := authn.Authorization(ctx, auth)
	if err != nil {
		return "", "", fail("look for credentials", &session{repo: repo, credentials: from}, err)
	}
	for _, secret := range []string{is.Password, is.RegistryToken, is.IdentityToken} {
		if secret != "" {
			return is.Username, secret, nil
		}
	}
	return "", "", nil
}
