package place

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// repository is a repository of a registry.
type repository struct {
	client *registry.Client
	repo   name.Repository
	kind   kind.Registry
}

func (r *repository) String() string { return r.repo.Name() }

func (r *repository) Tags(ctx context.Context, yield func(kind.Tag) error) error {
	return r.kind.Tags(ctx, r.repo, yield)
}

func (r *repository) Current(ctx context.Context, tag string) (v1.Hash, error) {
	return r.client.Current(ctx, r.repo.Tag(tag))
}

func (r *repository) Manifest(ctx context.Context, ref string, limit int64) (*registry.Manifest, error) {
	return r.client.Manifest(ctx, r.reference(ref), limit)
}

// reference is a tag or a digest; no tag has a colon.
func (r *repository) reference(ref string) name.Reference {
	if strings.Contains(ref, ":") {
		return r.repo.Digest(ref)
	}
	return r.repo.Tag(ref)
}

func (r *repository) Blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error) {
	return r.client.Blob(ctx, r.repo, h, limit)
}

func (r *repository) Put(ctx context.Context, tag string, raw []byte, mt types.MediaType, blobs ...[]byte) error {
	for _, b := range blobs {
		if err := r.client.PushBlob(ctx, r.repo, b); err != nil {
			return err
		}
	}
	return r.client.PushManifest(ctx, r.reference(tag), raw, mt)
}

func (r *repository) Delete(ctx context.Context, v kind.Victim) error {
	return r.kind.Delete(ctx, r.repo, v)
}

func (r *repository) Untag(ctx context.Context, tag string) error {
	err := r.client.Delete(ctx, r.repo.Tag(tag))
	if errors.Is(err, registry.ErrUnsupported) {
		return nil
	}
	return err
}

// maxReferrers bounds a page of a list of referrers, in bytes.
const maxReferrers = 4 << 20

func (r *repository) Referred(ctx context.Context, subject v1.Hash) (bool, error) {
	all, err := r.client.Referrers(ctx, r.repo, subject, maxReferrers)
	return len(all) > 0, err
}

func (r *repository) Probe(ctx context.Context) (kind.Capabilities, error) {
	return r.kind.Probe(ctx, r.repo)
}

// Settle does nothing: a registry collects its own garbage.
func (r *repository) Settle(context.Context, time.Time, time.Duration) (int64, error) { return 0, nil }

func (r *repository) Close() error { return nil }
