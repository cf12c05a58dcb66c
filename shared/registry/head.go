package registry

import (
	"context"
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
		digest, ok, err := c.head(ctx, r)
		if ok || err != nil {
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

// head is ok only if the registry gave a digest. What it says beside that is no
// error, unless it could not answer at all.
func (c *Client) head(ctx context.Context, ref name.Reference) (digest v1.Hash, ok bool, err error) {
	s, err := c.session(ctx, pull, ref.Context())
	if err != nil {
		return v1.Hash{}, false, err
	}
	req, err := s.request(ctx, http.MethodHead, "manifests/"+ref.Identifier())
	if err != nil {
		return v1.Hash{}, false, err
	}
	acceptImages(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return v1.Hash{}, false, err
	}
	defer resp.Body.Close()
	if passing(resp.StatusCode) {
		return v1.Hash{}, false, check(resp)
	}
	digest, err = v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	return digest, resp.StatusCode == http.StatusOK && err == nil, nil
}
