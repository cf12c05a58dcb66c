package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// ghcr is GitHub's container registry, which answers DELETE with 405. What is in it are
// versions of packages to GitHub's REST API, "REST API endpoints for packages": a version
// is a manifest, its name a digest, metadata.container.tags its tags, and to delete it
// deletes those. A package is its owner's, who is an organization or a user.
type ghcr struct {
	client   *registry.Client
	api      string
	untagged bool

	mu  sync.Mutex
	ids map[string]map[v1.Hash]int64 // of versions, by repository
	at  map[string]string            // repositories' packages, once it is known whose they are
}

const (
	githubAPI = "https://api.github.com"
	// ghcrPage is how many versions there are on a page at most.
	ghcrPage = 100
	// maxManifest bounds a manifest that is asked for to see whether it is there, in bytes.
	maxManifest = 4 << 20
	// githubVersion is that of the API this speaks.
	githubVersion = "2022-11-28"
)

// newGHCR deals with ghcr.io, or with the registry of a GitHub Enterprise Server, which
// is called containers.HOST and whose API is at HOST/api/v3.
func newGHCR(client *registry.Client, repo name.Repository, o Options) *ghcr {
	g := &ghcr{client: client, api: strings.TrimSuffix(o.API, "/"), untagged: o.Untagged, ids: map[string]map[v1.Hash]int64{}, at: map[string]string{}}
	if g.api == "" {
		g.api = githubAPI
		if host, ok := strings.CutPrefix(repo.RegistryStr(), "containers."); ok {
			g.api = "https://" + host + "/api/v3"
		}
	}
	return g
}

func (g *ghcr) Name() string { return "ghcr" }

type ghcrVersion struct {
	ID       int64     `json:"id"`
	Name     string    `json:"name"`
	Updated  time.Time `json:"updated_at"`
	Metadata struct {
		Container struct {
			Tags []string `json:"tags"`
		} `json:"container"`
	} `json:"metadata"`
}

func (g *ghcr) Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error {
	return g.versions(ctx, repo, func(h v1.Hash, v ghcrVersion) error {
		return each(Tag{Digest: h, Updated: v.Updated}, v.Metadata.Container.Tags, g.untagged, yield)
	})
}

// versions gives yield every version of a package, and remembers their numbers.
func (g *ghcr) versions(ctx context.Context, repo name.Repository, yield func(v1.Hash, ghcrVersion) error) error {
	attempt := "list the versions of " + repo.Name()
	at, err := g.packageOf(ctx, repo)
	if err != nil {
		return err
	}
	ids := map[v1.Hash]int64{}
	for n := 1; ; n++ {
		reply, err := g.call(ctx, attempt, repo, http.MethodGet, fmt.Sprintf("%s/versions?per_page=%d&page=%d", at, ghcrPage, n))
		if err != nil {
			return err
		}
		var page []ghcrVersion
		if err := json.Unmarshal(reply.Body, &page); err != nil {
			return unreadable(attempt, err)
		}
		for _, v := range page {
			h, err := v1.NewHash(v.Name)
			if err != nil {
				return unreadable(attempt, err)
			}
			ids[h] = v.ID
			if err := yield(h, v); err != nil {
				return err
			}
		}
		if _, more := reply.Next(); !more && len(page) < ghcrPage {
			break
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ids[repo.Name()] = ids
	return nil
}

// packageOf is where a repository's package is, below the API.
func (g *ghcr) packageOf(ctx context.Context, repo name.Repository) (string, error) {
	g.mu.Lock()
	at := g.at[repo.Name()]
	g.mu.Unlock()
	if at != "" {
		return at, nil
	}
	owner, of, _ := strings.Cut(repo.RepositoryStr(), "/")
	var first error
	for _, whose := range []string{"orgs", "users"} {
		at := fmt.Sprintf("/%s/%s/packages/container/%s", whose, url.PathEscape(owner), url.PathEscape(of))
		_, err := g.call(ctx, "look up the package of "+repo.Name(), repo, http.MethodGet, at)
		if err == nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.at[repo.Name()] = at
			return at, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, registry.ErrNotFound) {
			return "", err
		}
	}
	return "", first
}

func (g *ghcr) call(ctx context.Context, attempt string, repo name.Repository, method, path string) (*registry.Reply, error) {
	_, token, err := g.client.Credentials(ctx, repo)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {githubVersion}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return g.client.Call(ctx, attempt, repo, registry.Call{Method: method, URL: g.api + path, Header: header})
}

// Delete deletes a version. Its number is from the list, which is read anew for a digest
// that was not in it.
func (g *ghcr) Delete(ctx context.Context, repo name.Repository, v Victim) error {
	id, ok, err := g.number(ctx, repo, v.Digest)
	if err != nil || !ok {
		return gone(err)
	}
	at, err := g.packageOf(ctx, repo)
	if err != nil {
		return gone(err)
	}
	_, err = g.call(ctx, fmt.Sprintf("delete %s@%s", repo.Name(), v.Digest), repo, http.MethodDelete, fmt.Sprintf("%s/versions/%d", at, id))
	return kept(gone(err), "last tagged version", "5000 downloads", "5,000 downloads")
}

// number is that of a version; not ok if there is none.
func (g *ghcr) number(ctx context.Context, repo name.Repository, h v1.Hash) (id int64, ok bool, err error) {
	if id, ok := g.known(repo, h); ok {
		return id, true, nil
	}
	// To ask for one manifest is less than to list thousands to find that it is gone.
	_, err = g.client.Manifest(ctx, repo.Digest(h.String()), maxManifest)
	if err != nil && !errors.Is(err, registry.ErrTooLarge) {
		return 0, false, gone(err)
	}
	if err := g.versions(ctx, repo, func(v1.Hash, ghcrVersion) error { return nil }); err != nil {
		return 0, false, err
	}
	id, ok = g.known(repo, h)
	return id, ok, nil
}

func (g *ghcr) known(repo name.Repository, h v1.Hash) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, ok := g.ids[repo.Name()][h]
	return id, ok
}

// gone makes no error of what is not there.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// kept marks a refusal that says one of some words as one that will stay.
func kept(err error, words ...string) error {
	if err == nil {
		return nil
	}
	for _, w := range words {
		if strings.Contains(err.Error(), w) {
			return fmt.Errorf("%w: %w", err, registry.ErrLocked)
		}
	}
	return err
}

// Probe goes by what the API says of the token: GitHub has no request that would delete
// nothing.
func (g *ghcr) Probe(ctx context.Context, repo name.Repository) (Capabilities, error) {
	c := Capabilities{
		Digests: true, Times: true, Untagged: true,
		Notes: []string{"GitHub keeps what was deleted for 30 days, in which it can be restored"},
	}
	at, err := g.packageOf(ctx, repo)
	if err != nil {
		if err := c.judge(err); err != nil {
			return c, err
		}
		c.Why = &rightError{err, "put a token with read:packages and delete:packages for " + repo.RegistryStr() + " into config.json; in a workflow, GITHUB_TOKEN with packages: write, if the package is its repository's"}
		return c, nil
	}
	reply, err := g.call(ctx, "look up the package of "+repo.Name(), repo, http.MethodGet, at)
	if err != nil {
		return c, c.judge(err)
	}
	scopes, said := reply.Header["X-Oauth-Scopes"]
	switch {
	case !said || len(scopes[0]) == 0: // of GITHUB_TOKEN, which has none
		c.Delete, c.Why = Unknown, errors.New("GitHub does not say whether this token may delete")
	case strings.Contains(scopes[0], "delete:packages"):
		c.Delete = Yes
	default:
		c.Delete = No
		c.Why = &rightError{fmt.Errorf("the token for %s may do %s, and not delete:packages", repo.RegistryStr(), scopes[0]), "give the token delete:packages"}
	}
	return c, nil
}
