// Package clouds opens the stores that a build context may be in, each by a package
// of its own and its cloud's SDK. What is linked with it is what a slim executor is
// without.
package clouds

import (
	"context"
	"io"
	"net/url"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/azblob"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/gcs"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/s3"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store"
)

// All are the stores that this executor knows. An address is at most one's.
func All(o store.Options) []store.Store {
	return []store.Store{
		{Form: store.Googles, Handles: gcs.Handles, Open: func(ctx context.Context, u *url.URL) (io.ReadCloser, error) { return gcs.Open(ctx, u, o) }},
		{Form: store.Amazons, Handles: s3.Handles, Open: func(ctx context.Context, u *url.URL) (io.ReadCloser, error) { return s3.Open(ctx, u, o) }},
		{Form: store.Azures, Handles: azblob.Handles, Open: func(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
			return azblob.Open(ctx, u, o)
		}},
	}
}
