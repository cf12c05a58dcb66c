package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// google is Google's Artifact Registry, and Container Registry which went up in it. Its
// list of tags has a member "manifest" with what there is to know of every digest, in
// one answer, as go-containerregistry's package google and gcr-cleaner read it. It
// refuses to delete a digest that has a tag (GOOGLE_MANIFEST_DANGLING_TAG) or that
// something refers to (GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE).
type google struct {
	client   *registry.Client
	untagged bool
}

func (g *google) Name() string { return "google" }

// googleManifest is one of the list. Numbers are written as text; times are
// milliseconds since 1970.
type googleManifest struct {
	Size     string   `json:"imageSizeBytes"`
	Uploaded string   `json:"timeUploadedMs"`
	Tags     []string `json:"tag"`
}

func (g *google) Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error {
	attempt := "list the tags of " + repo.Name()
	reply, err := g.client.Call(ctx, attempt, repo, registry.Call{
		Method: http.MethodGet, Actions: "pull",
		URL: fmt.Sprintf("%s://%s/v2/%s/tags/list", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr()),
	})
	if err != nil {
		return err
	}
	var said struct {
		Tags      []string                  `json:"tags"`
		Manifests map[string]googleManifest `json:"manifest"`
	}
	if err := json.Unmarshal(reply.Body, &said); err != nil {
		return unreadable(attempt, err)
	}
	if len(said.Tags) > 0 && len(said.Manifests) == 0 {
		return (&oci{client: g.client}).Tags(ctx, repo, yield) // it is not Google's
	}
	for _, digest := range slices.Sorted(maps.Keys(said.Manifests)) {
		h, err := v1.NewHash(digest)
		if err != nil {
			return unreadable(attempt, err)
		}
		m := said.Manifests[digest]
		tag := Tag{Digest: h, Size: number(m.Size)}
		if ms := number(m.Uploaded); ms > 0 {
			tag.Updated = time.UnixMilli(ms).UTC()
		}
		if err := each(tag, m.Tags, g.untagged, yield); err != nil {
			return err
		}
	}
	return nil
}

// number is a number that is written as text; 0 if it is none.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// each gives yield a tag by its names; without any, once if that is wanted.
func each(tag Tag, names []string, untagged bool, yield func(Tag) error) error {
	if len(names) == 0 && untagged {
		names = []string{""}
	}
	for _, tag.Name = range names {
		if err := yield(tag); err != nil {
			return err
		}
	}
	return nil
}

// unreadable is the error of an answer that is something else than documented.
func unreadable(attempt string, err error) error {
	return fmt.Errorf("%s: the answer is not as documented: %w", attempt, err)
}

func (g *google) Delete(ctx context.Context, repo name.Repository, v Victim) error {
	if err := untag(ctx, g.client, repo, v); err != nil {
		return err
	}
	return g.client.Delete(ctx, repo.Digest(v.Digest.String()))
}

func (g *google) Probe(ctx context.Context, repo name.Repository) (Capabilities, error) {
	c := Capabilities{Digests: true, Sizes: true, Times: true, Untagged: true}
	err := c.probe(ctx, g.client, repo)
	var e *registry.Error
	if c.Delete == No && errors.As(c.Why, &e) && e.Status == http.StatusForbidden {
		c.Why = &rightError{c.Why, "give the account the role roles/artifactregistry.repoAdmin of the repository: roles/artifactregistry.writer may not delete"}
	}
	return c, err
}

// rightError is a refusal, and what it takes to be let.
type rightError struct {
	error
	hint string
}

func (e *rightError) Unwrap() error { return e.error }

// Hint says which right is needed.
func (e *rightError) Hint() string { return e.hint }

// ExitCode is that of credentials that do not suffice.
func (e *rightError) ExitCode() int { return 77 }
