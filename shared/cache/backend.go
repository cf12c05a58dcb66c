package cache

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// backend is where artifacts are: manifests by tag, and blobs by digest. It checks
// that blobs have the digest they are asked for by, and knows nothing of what is in
// them.
type backend interface {
	// String is where it is, for people.
	String() string
	// manifest is what a tag stands for now, and its media type; at most maxManifest
	// bytes.
	manifest(ctx context.Context, tag string) ([]byte, types.MediaType, error)
	// tag puts an OCI image manifest under a tag, in place of another. What it speaks
	// of has been pushed.
	tag(ctx context.Context, tag string, raw []byte) error
	// hold keeps blobs that are pushed from being swept until release is called, for
	// tag to be called before.
	hold(ctx context.Context) (release func(), err error)
	// settle brings up to date what only other tools look at.
	settle(ctx context.Context) error
	// push sees to it that a blob is there.
	push(ctx context.Context, blob v1.Layer) error
	// blob reads a blob whole, of at most limit bytes.
	blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error)
	// layer is a blob that is read when it is opened. ctx governs that.
	layer(ctx context.Context, d v1.Descriptor, diffID v1.Hash) v1.Layer
	// distrust notes that a blob is not what it should be, so that pushing it replaces it
	// where that can be.
	distrust(h v1.Hash)
	// absent tells whether err says that what was asked for is not there, and damaged
	// whether it says that it is not what it should be.
	absent(err error) bool
	damaged(err error) bool
	// incomplete tells whether err of tag says that a blob is not there after all.
	incomplete(err error) bool
}
