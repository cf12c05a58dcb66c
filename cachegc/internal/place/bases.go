package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Bases are base images in a directory, which warmer fills. What the refs of an image are
// called there are its tags here.
type Bases struct{ store *base.Store }

// ErrUsed is in the chain of errors of what was not deleted, since somebody has used it.
var ErrUsed = errors.New("it was used in the meantime")

// BasesError is what cannot be done with base images.
type BasesError struct{ Dir string }

func (e *BasesError) Error() string {
	return fmt.Sprintf("put back into %s: it has base images, whose files are gone once they are deleted", e.Dir)
}

// Hint says how they come back.
func (e *BasesError) Hint() string { return "warmer fetches them again" }

func openBases(path string) (Place, error) {
	store, err := base.OpenStore(path)
	if err != nil {
		return nil, &DirectoryError{path, err}
	}
	return &Bases{store}, nil
}

func (b *Bases) String() string { return LayoutPrefix + b.store.Path() }

// Images are all that are there.
func (b *Bases) Images() ([]base.Held, error) { return b.store.Images() }

// Tags gives none: [Bases.Images] has all that there is to know, and there are no journals.
func (b *Bases) Tags(ctx context.Context, _ func(kind.Tag) error) error { return context.Cause(ctx) }

// Current is the image that a ref leads to.
func (b *Bases) Current(_ context.Context, tag string) (v1.Hash, error) {
	h, err := b.store.Lookup(tag)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return h, err
}

// Manifest is [ErrNotFound]: nothing of base images is kept for a restore.
func (b *Bases) Manifest(_ context.Context, ref string, _ int64) (*registry.Manifest, error) {
	return nil, fmt.Errorf("manifest %s of %s: %w", ref, b, ErrNotFound)
}

// Blob is [ErrNotFound], as there are no journals.
func (b *Bases) Blob(_ context.Context, h v1.Hash, _ int64) ([]byte, error) {
	return nil, fmt.Errorf("blob %s of %s: %w", h, b, ErrNotFound)
}

// Put is a [BasesError].
func (b *Bases) Put(context.Context, string, []byte, types.MediaType, ...[]byte) error {
	return &BasesError{b.String()}
}

// Delete removes an image, and leaves its files to Settle. It waits for those who add
// images. The error is [ErrUsed] if the image was used after the victim was looked at.
func (b *Bases) Delete(ctx context.Context, v kind.Victim) error {
	const noFile = math.MaxInt64
	gone, err := b.store.Remove(ctx, map[v1.Hash]time.Time{v.Digest: v.Used}, noFile, time.Now())
	if err == nil && len(gone.Images) == 0 {
		if _, err := b.Current(ctx, "digest/"+v.Digest.Hex); err == nil {
			return fmt.Errorf("delete %s from %s: %w", v.Digest, b, ErrUsed)
		}
	}
	return err
}

// Untag does nothing: a ref is removed at once or not at all.
func (b *Bases) Untag(context.Context, string) error { return nil }

// Referred is false: base images have nothing that refers to another.
func (b *Bases) Referred(context.Context, v1.Hash) (bool, error) { return false, nil }

// Probe finds out whether the directory can be written to.
func (b *Bases) Probe(context.Context) (kind.Capabilities, error) {
	c := kind.Capabilities{Delete: kind.Yes, Digests: true}
	if !b.store.Writable() {
		c.Delete, c.Why = kind.No, fmt.Errorf("%s cannot be written to", b)
	}
	return c, nil
}

// Settle removes the files that no image needs, and lists the images for other tools.
func (b *Bases) Settle(ctx context.Context, now time.Time, grace time.Duration) (int64, error) {
	swept, err := b.store.Remove(ctx, nil, grace, now)
	return swept.Bytes, errors.Join(err, b.store.Export(ctx))
}

// Close lets go of the directory.
func (b *Bases) Close() error { return b.store.Close() }
