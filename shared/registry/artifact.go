package registry

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Manifest is a manifest as a registry has it.
type Manifest struct {
	Raw       []byte
	MediaType types.MediaType
	Digest    v1.Hash
}

// Manifest asks what a reference stands for now, whatever it stood for before, in
// one request, of the registry itself, never a mirror. A manifest of more than limit bytes is [ErrTooLarge].
func (c *Client) Manifest(ctx context.Context, ref name.Reference, limit int64) (*Manifest, error) {
	m, err := c.fetchManifest(ctx, ref, limit)
	if err != nil {
		return nil, c.failed("pull "+ref.Name(), pull, ref.Context(), err)
	}
	return &Manifest{Raw: m.raw, MediaType: m.mediaType, Digest: m.digest}, nil
}

// PushManifest puts a manifest under a tag or its digest. What it speaks of has to
// be in the repository; if the registry says that something is not, the error is
// an [ErrIncomplete], and pushing that again sends it.
func (c *Client) PushManifest(ctx context.Context, ref name.Reference, raw []byte, mt types.MediaType) error {
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	err = c.putManifest(ctx, ref, &manifest{raw: raw, mediaType: mt, digest: digest})
	return c.failed("push "+ref.Name(), push, ref.Context(), err)
}

// Blob reads a blob of at most limit bytes, in one request, from the registry itself;
// one of more is [ErrTooLarge]. What it returns has the digest that was asked for.
func (c *Client) Blob(ctx context.Context, repo name.Repository, h v1.Hash, limit int64) ([]byte, error) {
	raw, err := c.fetchBlob(ctx, repo, h, limit)
	if err != nil {
		return nil, c.failed(fmt.Sprintf("pull %s@%s", repo.Name(), h), pull, repo, err)
	}
	return raw, nil
}

func (c *Client) fetchBlob(ctx context.Context, repo name.Repository, h v1.Hash, limit int64) ([]byte, error) {
	raw, _, err := c.fetch(ctx, repo, "blobs/"+h.String(), "*/*", limit)
	if err != nil {
		return nil, err
	}
	if _, err := sum(raw, repo.Digest(h.String())); err != nil {
		return nil, err
	}
	return raw, nil
}

// PushBlob sees to it that a repository has a blob of these bytes, as
// [Client.PushLayer] does.
func (c *Client) PushBlob(ctx context.Context, repo name.Repository, raw []byte) error {
	return c.PushLayer(ctx, repo, static.NewLayer(raw, "application/octet-stream"))
}
