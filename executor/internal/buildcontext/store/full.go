//go:build !slim

package store

import (
	"context"
	"io"
	"net/url"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/azblob"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/gcs"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/s3"
)

// All are the stores that this executor knows. An address is at most one's.
func All(o Options) []Store {
	return []Store{
		{googles, gcs.Handles, func(ctx context.Context, u *url.URL) (io.ReadCloser, error) { return gcs.Open(ctx, u, o) }},
		{amazons, s3.Handles, func(ctx context.Context, u *url.URL) (io.ReadCloser, error) { return s3.Open(ctx, u, o) }},
		{azures, azblob.Handles, func(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
			return azblob.Open(ctx, u, o)
		}},
	}
}
