package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Registry reads the name of a registry, which is Docker Hub if it is empty. Plain
// HTTP is allowed if it is for pulls or for pushes. The error is a [ReferenceError].
func (c *Client) Registry(s string) (name.Registry, error) {
	r, err := name.NewRegistry(s, name.WeakValidation)
	if err == nil && (c.cfg.Options.plain(push, r.RegistryStr()) || c.cfg.Options.plain(pull, r.RegistryStr())) {
		r, err = name.NewRegistry(s, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return name.Registry{}, &ReferenceError{s, err}
	}
	return r, nil
}

// CheckLogin asks a registry whether it lets in who the keychain says we are: by a token
// without a scope if it has a token server, and by HTTP's basic authentication
// otherwise. Errors are an [Error].
func (c *Client) CheckLogin(ctx context.Context, r name.Registry) error {
	if c.invalid != nil {
		return c.invalid
	}
	auth, from, err := c.credentialsOf(ctx, r)
	if err == nil {
		rt := c.verified
		if c.cfg.Options.unverified(push, r.RegistryStr()) || c.cfg.Options.unverified(pull, r.RegistryStr()) {
			rt = c.trusting
		}
		rt, err = transport.NewWithContext(ctx, r, auth, rt, nil)
		if err == nil {
			err = greet(ctx, r, &http.Client{Transport: rt, CheckRedirect: checkRedirect})
		}
	}
	return fail("log in to "+r.RegistryStr(), &session{repo: r.Repo(), credentials: from}, err)
}

// greet is the request that every registry answers who lets somebody in.
func greet(ctx context.Context, r name.Registry, h *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://%s/v2/", r.Scheme(), r.RegistryStr()), nil)
	if err != nil {
		return err
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	if err := check(resp, http.StatusOK); err != nil {
		return err
	}
	io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection can serve again
	return resp.Body.Close()
}
