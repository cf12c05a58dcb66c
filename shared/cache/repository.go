package cache

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// repository is a repository of a registry.
type repository struct {
	client *registry.Client
	repo   name.Repository
	keep   func(context.Context, *registry.Layer) v1.Layer
}

// lookup is how patiently a registry is asked. What a cache has is worth no long wait,
// for all of it can be made again: one that says nothing holds a build up for some
// twenty seconds.
func lookup(ctx context.Context) context.Context {
	return registry.WithRetry(ctx, registry.Retry{Tries: 3, Stall: 8 * time.Second, Longest: 5 * time.Second})
}

// upload is how patiently a registry is sent something, which it may need longer for.
func upload(ctx context.Context) context.Context {
	return registry.WithRetry(ctx, registry.Retry{Tries: 3, Stall: 20 * time.Second, Longest: 30 * time.Second})
}

func (r *repository) String() string { return r.repo.Name() }

func (r *repository) manifest(ctx context.Context, tag string) ([]byte, types.MediaType, error) {
	m, err := r.client.Manifest(lookup(ctx), r.repo.Tag(tag), maxManifest)
	if err != nil {
		return nil, "", err
	}
	return m.Raw, m.MediaType, nil
}

func (r *repository) tag(ctx context.Context, tag string, raw []byte) error {
	return r.client.PushManifest(upload(ctx), r.repo.Tag(tag), raw, types.OCIManifestSchema1)
}

// hold does nothing: registries sweep only what has been there for long.
func (r *repository) hold(context.Context) (func(), error) { return func() {}, nil }

func (r *repository) settle(context.Context) error { return nil }

func (r *repository) push(ctx context.Context, blob v1.Layer) error {
	return r.client.PushLayer(upload(ctx), r.repo, blob)
}

func (r *repository) blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error) {
	return r.client.Blob(lookup(ctx), r.repo, h, limit)
}

func (r *repository) layer(ctx context.Context, d v1.Descriptor, diffID v1.Hash) v1.Layer {
	l := r.client.Layer(ctx, r.repo, d, diffID)
	if r.keep == nil {
		return l
	}
	return r.keep(ctx, l)
}

func (r *repository) absent(err error) bool { return errors.Is(err, registry.ErrNotFound) }

func (r *repository) damaged(err error) bool {
	var corrupt *registry.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, registry.ErrTooLarge)
}

func (r *repository) incomplete(err error) bool { return errors.Is(err, registry.ErrIncomplete) }
