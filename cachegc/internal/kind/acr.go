package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// acr is Azure Container Registry. GET /acr/v1/NAME/_manifests lists digests with sizes,
// times and tags, n to a page, to whoever may metadata_read; deleting a digest takes its
// tags with it, as "Azure Container Registry REST API: Manifests" and its "Authentication"
// (docs/AAD-OAuth.md of Azure/acr) say. Deleting what is locked is refused, with 405.
type acr struct {
	client   *registry.Client
	untagged bool
}

// acrPage is how many manifests are asked for at once.
const acrPage = 500

func (a *acr) Name() string { return "acr" }

type acrManifest struct {
	Digest  string    `json:"digest"`
	Size    int64     `json:"imageSize"`
	Updated time.Time `json:"lastUpdateTime"`
	Tags    []string  `json:"tags"`
	May     struct {
		Delete *bool `json:"deleteEnabled"`
	} `json:"changeableAttributes"`
}

func (a *acr) Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error {
	attempt := "list the manifests of " + repo.Name()
	query := fmt.Sprintf("n=%d", acrPage)
	for {
		reply, err := a.client.Call(ctx, attempt, repo, registry.Call{
			Method: http.MethodGet, Actions: "metadata_read",
			URL: fmt.Sprintf("%s://%s/acr/v1/%s/_manifests?%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), query),
		})
		if err != nil {
			return err
		}
		var page struct {
			Manifests []acrManifest `json:"manifests"`
		}
		if err := json.Unmarshal(reply.Body, &page); err != nil {
			return unreadable(attempt, err)
		}
		if err := a.yield(page.Manifests, attempt, yield); err != nil {
			return err
		}
		next, more := reply.Next()
		if !more && len(page.Manifests) == acrPage { // where a proxy took the header away
			next, more = fmt.Sprintf("n=%d&last=%s", acrPage, url.QueryEscape(page.Manifests[acrPage-1].Digest)), true
		}
		if !more {
			return nil
		}
		if next == query {
			return unreadable(attempt, fmt.Errorf("the page after %q is itself", query))
		}
		query = next
	}
}

func (a *acr) yield(all []acrManifest, attempt string, yield func(Tag) error) error {
	for _, m := range all {
		h, err := v1.NewHash(m.Digest)
		if err != nil {
			return unreadable(attempt, err)
		}
		tag := Tag{Digest: h, Size: m.Size, Updated: m.Updated, Locked: m.May.Delete != nil && !*m.May.Delete}
		if err := each(tag, m.Tags, a.untagged, yield); err != nil {
			return err
		}
	}
	return nil
}

func (a *acr) Delete(ctx context.Context, repo name.Repository, v Victim) error {
	return a.client.Delete(ctx, repo.Digest(v.Digest.String()))
}

func (a *acr) Probe(ctx context.Context, repo name.Repository) (Capabilities, error) {
	c := Capabilities{
		Digests: true, Sizes: true, Times: true, Untagged: true,
		Notes: []string{"with soft delete on, space stays in use until its days are over"},
	}
	err := c.probe(ctx, a.client, repo)
	if c.Delete == No {
		c.Why = &rightError{c.Why, "give the identity the role AcrDelete, or the token content/delete and metadata/read of the repository; AcrPush may not delete"}
	}
	return c, err
}
