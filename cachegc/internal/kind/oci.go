package kind

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// oci is a registry that keeps to distribution-spec 1.1, "Content Management": a
// manifest is deleted by its digest, and its tags go with it. Docker's registry, zot,
// Harbor, ECR, GitLab and Quay do. With tagsFirst it is one where tags would stay, or
// are in the way.
type oci struct {
	client    *registry.Client
	tagsFirst bool
}

func (o *oci) Name() string {
	if o.tagsFirst {
		return "tags-first"
	}
	return "oci"
}

func (o *oci) Tags(ctx context.Context, repo name.Repository, yield func(Tag) error) error {
	return o.client.Tags(ctx, repo, func(tags []string) error {
		for _, tag := range tags {
			if err := yield(Tag{Name: tag}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *oci) Delete(ctx context.Context, repo name.Repository, v Victim) error {
	if o.tagsFirst {
		if err := untag(ctx, o.client, repo, v); err != nil {
			return err
		}
	}
	return o.client.Delete(ctx, repo.Digest(v.Digest.String()))
}

// untag deletes the tags of a victim. A registry that does not know how has them go
// with the digest.
func untag(ctx context.Context, client *registry.Client, repo name.Repository, v Victim) error {
	for _, tag := range v.Tags {
		err := client.Delete(ctx, repo.Tag(tag))
		if errors.Is(err, registry.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *oci) Probe(ctx context.Context, repo name.Repository) (Capabilities, error) {
	c := Capabilities{Notes: []string{"a registry gives space back when it collects its garbage, which may be for its operator to start"}}
	return c, c.probe(ctx, o.client, repo)
}

// probe asks a registry by the interface that all have.
func (c *Capabilities) probe(ctx context.Context, client *registry.Client, repo name.Repository) error {
	err := client.ProbeDelete(ctx, repo)
	return c.judge(err)
}

// judge makes an answer of what came of a request to delete what is not there. It
// returns the error of one that was not answered.
func (c *Capabilities) judge(err error) error {
	var e *registry.Error
	switch {
	case err == nil:
		c.Delete = Yes
	case errors.Is(err, registry.ErrUnsupported):
		c.Delete, c.Why = No, err
	case !errors.As(err, &e) || e.Status == 0 || registry.Unreachable(err):
		return err
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		c.Delete, c.Why = No, err
	default:
		c.Delete, c.Why = Unknown, fmt.Errorf("an answer that may mean anything: %w", err)
	}
	return nil
}
