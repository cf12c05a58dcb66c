// Package explain tells why a step of a build was done or was taken from a layer
// cache: by what its result depends on, and by what a build left word of. It reads
// caches and writes nothing but its answers.
package explain

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// A Cache is what is asked. [cache.Place] is one.
type Cache interface {
	// Definition and OfImage are as in [cache.Store] and [cache.Journals].
	Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error)
	OfImage(ctx context.Context, image v1.Hash) (*cache.Journal, error)
	// String is where it is, for people.
	String() string
}

// Caches are asked in their order, until one has what is wanted.
type Caches []Cache

// NotFoundError says that no cache has what was asked for.
type NotFoundError struct {
	What string // such as "the journal of the build of sha256:…"
	Err  error  // of one that has something that cannot be used, or an ErrMiss
	hint string
}

func (e *NotFoundError) Error() string {
	if e.Err == nil {
		return "look for " + e.What + ": " + cache.ErrMiss.Error()
	}
	return fmt.Sprintf("look for %s: %v", e.What, e.Err)
}

func (e *NotFoundError) Unwrap() error { return e.Err }

// Hint says where to look.
func (e *NotFoundError) Hint() string { return e.hint }

// ask asks for one thing. A cache that could not be asked counts for more than one
// that has nothing.
func ask[T any](caches Caches, what, hint string, one func(Cache) (T, error)) (T, error) {
	var none T
	missed := &NotFoundError{What: what, hint: hint}
	var failed error
	for _, c := range caches {
		found, err := one(c)
		switch {
		case err == nil:
			return found, nil
		case !errors.Is(err, cache.ErrMiss):
			failed = errors.Join(failed, fmt.Errorf("look for %s in %s: %w", what, c, err))
		case missed.Err == nil || missed.Err.Error() == cache.ErrMiss.Error():
			missed.Err = err
		}
	}
	if failed != nil {
		return none, failed
	}
	return none, missed
}

// Definition is what the result of a step depends on, by its key.
func (c Caches) Definition(ctx context.Context, key cachekey.Key) (*Definition, error) {
	text, err := ask(c, "what "+string(key)+" stands for",
		"an entry may have been deleted since, and what a build did without leaving an entry is kept only with its journal",
		func(c Cache) (cachekey.Definition, error) { return c.Definition(ctx, key) })
	if err != nil {
		return nil, err
	}
	return &Definition{Key: key, Text: text}, nil
}

// Compare tells what differs between what two keys stand for.
func (c Caches) Compare(ctx context.Context, before, after cachekey.Key) (*Comparison, error) {
	if before == after {
		return &Comparison{Before: before, After: after}, nil
	}
	a, err := c.Definition(ctx, before)
	if err != nil {
		return nil, err
	}
	b, err := c.Definition(ctx, after)
	if err != nil {
		return nil, err
	}
	return &Comparison{
		Before: before, After: after,
		Reasons: cachekey.Explain(a.Text, b.Text), Changes: cachekey.Diff(a.Text, b.Text),
	}, nil
}

// Build tells what the cache was to the build of an image.
func (c Caches) Build(ctx context.Context, image v1.Hash) (*Build, error) {
	j, err := ask(c, "the journal of the build of "+image.String(),
		"it is in the cache that the build wrote; a build with --cache-usage=off, --no-push-cache or without --cache leaves none",
		func(c Cache) (*cache.Journal, error) { return c.OfImage(ctx, image) })
	if err != nil {
		return nil, err
	}
	return &Build{Journal: *j}, nil
}
