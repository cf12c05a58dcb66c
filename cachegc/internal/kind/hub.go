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

// hub is Docker Hub. Its registry deletes only what has no tag, so tags are deleted by
// its API first, "Docker HUB API" of docs.docker.com: a login is POST /v2/auth/token with
// a name and a personal access token, tags are listed with digest, size and time below
// /v2/namespaces/NAMESPACE/repositories/REPOSITORY/tags, and deleted below
// /v2/repositories/NAMESPACE/REPOSITORY/tags, which is what Docker's hub-tool uses. What
// then has no tag goes by the registry's own interface.
type hub struct {
	client *registry.Client
	api    string

	mu    sync.Mutex
	token string
	until time.Time // the token is renewed
}

const (
	hubAPI = "https://hub.docker.com"
	// hubPage is how many tags there are on a page at most.
	hubPage = 100
	// hubToken is for how long a token is used: it is good for ten minutes at least.
	hubToken = 5 * time.Minute
)

func newHub(client *registry.Client, o Options) *hub {
	h := &hub{client: client, api: strings.TrimSuffix(o.API, "/")}
	if h.api == "" {
		h.api = hubAPI
	}
	return h
}

func (h *hub) Name() string { return "hub" }

type hubTag struct {
	Name    string    `json:"name"`
	Digest  string    `json:"digest"` // left out of tags of long ago
	Size    int64     `json:"full_size"`
	Updated time.Time `json:"last_updated"`
	Images  []struct {
		Digest string `json:"digest"`
	} `json:"images"`
}

// tag is a tag as this package has it. Without a digest, that of its only image is it.
func (t hubTag) tag() Tag {
	text := t.Digest
	if text == "" && len(t.Images) == 1 {
		text = t.Images[0].Digest
	}
	digest, _ := v1.NewHash(text) // or zero
	return Tag{Name: t.Name, Digest: digest, Size: t.Size, Updated: t.Updated}
}

func (h *hub) Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error {
	attempt := "list the tags of " + repo.Name()
	namespace, rest, _ := strings.Cut(repo.RepositoryStr(), "/")
	for n := 1; ; n++ {
		reply, err := h.call(ctx, attempt, repo, http.MethodGet,
			fmt.Sprintf("/v2/namespaces/%s/repositories/%s/tags?page_size=%d&page=%d", url.PathEscape(namespace), url.PathEscape(rest), hubPage, n))
		if err != nil {
			return err
		}
		var page struct {
			Next    string   `json:"next"`
			Results []hubTag `json:"results"`
		}
		if err := json.Unmarshal(reply.Body, &page); err != nil {
			return unreadable(attempt, err)
		}
		for _, t := range page.Results {
			if err := yield(t.tag()); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		if len(page.Results) == 0 {
			return unreadable(attempt, fmt.Errorf("page %d is empty and not the last", n))
		}
	}
}

func (h *hub) Delete(ctx context.Context, repo name.Repository, v Victim) error {
	namespace, rest, _ := strings.Cut(repo.RepositoryStr(), "/")
	for _, tag := range v.Tags {
		_, err := h.call(ctx, "delete "+repo.Tag(tag).Name(), repo, http.MethodDelete,
			fmt.Sprintf("/v2/repositories/%s/%s/tags/%s/", url.PathEscape(namespace), url.PathEscape(rest), url.PathEscape(tag)))
		if err := gone(err); err != nil {
			return err
		}
	}
	if len(v.Tags) == 0 {
		return h.client.Delete(ctx, repo.Digest(v.Digest.String()))
	}
	// Without a tag nothing leads to it. Hub may refuse to let it go, or answer with 500
	// and do it later, neither of which is better the next time.
	err := h.client.Delete(registry.WithRetry(ctx, registry.Retry{Tries: 1}), repo.Digest(v.Digest.String()))
	var e *registry.Error
	if errors.As(err, &e) && (e.Status == http.StatusInternalServerError || e.Status/100 == 4 && !registry.Unreachable(err)) {
		return nil
	}
	return err
}

// call sends a request with a token of the API.
func (h *hub) call(ctx context.Context, attempt string, repo name.Repository, method, path string) (*registry.Reply, error) {
	token, err := h.login(ctx, repo)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return h.client.Call(ctx, attempt, repo, registry.Call{Method: method, URL: h.api + path, Header: header})
}

// login is a token of the API; empty without credentials, with which public
// repositories can be listed.
func (h *hub) login(ctx context.Context, repo name.Repository) (string, error) {
	user, secret, err := h.client.Credentials(ctx, repo)
	if err != nil || secret == "" {
		return "", err
	}
	h.mu.Lock() // so that it is asked for once
	defer h.mu.Unlock()
	if h.token != "" && time.Now().Before(h.until) {
		return h.token, nil
	}
	body, err := json.Marshal(map[string]string{"identifier": user, "secret": secret})
	if err != nil {
		return "", err
	}
	attempt := "log in to Docker Hub's API"
	reply, err := h.client.Call(ctx, attempt, repo, registry.Call{
		Method: http.MethodPost, URL: h.api + "/v2/auth/token", Body: body,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return "", err
	}
	var said struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(reply.Body, &said); err != nil || said.Token == "" {
		return "", unreadable(attempt, errors.New("no access_token"))
	}
	h.token, h.until = said.Token, time.Now().Add(hubToken)
	return h.token, nil
}

// Probe deletes a tag that cannot be: its name begins with a dot.
func (h *hub) Probe(ctx context.Context, repo name.Repository) (Capabilities, error) {
	c := Capabilities{
		Digests: true, Sizes: true, Times: true,
		Notes: []string{"Docker Hub counts pulls: list with its API, which this does, and look at manifests with HEAD"},
	}
	namespace, rest, _ := strings.Cut(repo.RepositoryStr(), "/")
	_, err := h.call(ctx, "ask whether tags of "+repo.Name()+" can be deleted", repo, http.MethodDelete,
		fmt.Sprintf("/v2/repositories/%s/%s/tags/%s/", url.PathEscape(namespace), url.PathEscape(rest), ".kaniko-probe"))
	if err = c.judge(gone(err)); err == nil && c.Delete == No {
		c.Why = &rightError{c.Why, "put a name and a personal access token with Read, Write, Delete for docker.io into config.json"}
	}
	return c, err
}
