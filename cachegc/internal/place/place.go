// Package place is where a cache is, as cachegc needs it: a repository of a registry, an
// OCI layout in a directory, or base images in one. It knows tags, manifests and blobs,
// and not what they mean.
package place

import (
	"context"
	"errors"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// ErrNotFound is in the chain of errors of what is not there.
var ErrNotFound = registry.ErrNotFound

// Place is where a cache is. It is safe for use by several goroutines at once.
type Place interface {
	// String is its name, as [Open] takes it.
	String() string
	// Tags gives yield every tag, and ends with the first error. After an error the
	// list is incomplete. A place that is not there is [ErrNotFound].
	Tags(ctx context.Context, yield func(kind.Tag) error) error
	// Current is the digest that a tag stands for now; [ErrNotFound] if there is none.
	Current(ctx context.Context, tag string) (v1.Hash, error)
	// Manifest is that of a tag or a digest, of no more than limit bytes.
	Manifest(ctx context.Context, ref string, limit int64) (*registry.Manifest, error)
	// Blob is a blob of no more than limit bytes.
	Blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error)
	// Put puts a manifest under a tag, after the blobs given. The error is
	// [registry.ErrIncomplete] if something that it speaks of is not there.
	Put(ctx context.Context, tag string, raw []byte, mt types.MediaType, blobs ...[]byte) error
	// Delete removes a manifest and its tags; what is not there is no error.
	Delete(ctx context.Context, v kind.Victim) error
	// Untag removes a tag that stands for nothing any more, as a registry leaves it that was
	// stopped while it deleted. Where tags cannot be removed it stays, and is no error.
	Untag(ctx context.Context, tag string) error
	// Referred tells whether the place lists anything that refers to a manifest.
	Referred(ctx context.Context, subject v1.Hash) (bool, error)
	// Probe finds out whether Delete would work.
	Probe(ctx context.Context) (kind.Capabilities, error)
	// Settle gives back the space of what was deleted, where that is for us to do, but
	// not of what is younger than grace. It returns the bytes.
	Settle(ctx context.Context, now time.Time, grace time.Duration) (int64, error)
	// Close lets go of the place.
	Close() error
}

// LayoutPrefix begins the name of a directory.
const LayoutPrefix = "oci:"

// Open opens the place that a user names: a repository, or oci: and a directory, which
// has to be there; a path that begins with / or . needs no oci:. Nothing is asked of a
// registry yet.
func Open(spec string, client *registry.Client, o kind.Options) (Place, error) {
	if dir, ok := strings.CutPrefix(spec, LayoutPrefix); ok {
		return openDirectory(dir)
	}
	if strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, ".") { // as no repository does
		return openDirectory(spec)
	}
	repo, err := client.Repository(spec)
	if err != nil {
		return nil, err
	}
	k, err := kind.Open(client, repo, o)
	if err != nil {
		return nil, err
	}
	return &repository{client: client, repo: repo, kind: k}, nil
}

// Missing tells whether an error says that something is not there.
func Missing(err error) bool { return errors.Is(err, ErrNotFound) }
