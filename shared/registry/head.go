package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Head asks for the digest of what ref names, an image or an index, and fetches
// neither: registries that count pulls do not count this. One that gives no digest, or
// refuses the question, is asked for the manifest itself. Errors are as of
// [Client.Resolve].
func (c *Client) Head(ctx context.Context, ref string) (v1.Hash, error) {
	r, err := c.Reference(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	if d, ok := r.(name.Digest); ok {
		return v1.NewHash(d.DigestStr())
	}
	if m, ok := c.manifests.peek(manifestKey{r.Context().Name(), r.Identifier()}); ok {
		return m.digest, nil
	}
	digest, err := c.heads.get(ctx, manifestKey{r.Context().Name(), r.Identifier()}, func(ctx context.Context) (v1.Hash, error) {
		sources, err := c.sources(r.Context(), name.Repository{})
		if err != nil {
			return v1.Hash{}, err
		}
		digest, err := fromAny(ctx, c, r.Context(), sources, func(ctx context.Context, at name.Repository) (v1.Hash, error) {
			return c.head(ctx, in(r, at))
		})
		var silent *digestlessError
		if !errors.As(err, &silent) {
			return digest, err
		}
		m, err := c.manifest(ctx, r)
		if err != nil {
			return v1.Hash{}, err
		}
		return m.digest, nil
	})
	return digest, c.failed("look up "+ref, pull, r.Context(), err)
}

// digestlessError is an answer without a digest: a refusal, say. What it says counts
// for nothing, since the manifest itself is asked for then.
type digestlessError struct{ error }

func (e *digestlessError) Unwrap() error { return e.error }

// head is one question. The error is a [digestlessError] unless the registry could not
// answer at all.
func (c *Client) head(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	s, err := c.session(ctx, pull, ref.Context())
	if err != nil {
		return v1.Hash{}, err
	}
	req, err := s.request(ctx, http.MethodHead, "manifests/"+ref.Identifier())
	if err != nil {
		return v1.Hash{}, err
	}
	acceptImages(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return v1.Hash{}, err
	}
	defer resp.Body.Close()
	if err := check(resp, http.StatusOK); err != nil {
		if passing(resp.StatusCode) {
			return v1.Hash{}, err
		}
		return v1.Hash{}, &digestlessError{err}
	}
	digest, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return v1.Hash{}, &digestlessError{fmt.Errorf("%s: the answer has no digest", address(req))}
	}
	return digest, nil
}
