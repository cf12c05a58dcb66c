package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func (c *Client) pushManifest(ctx context.Context, tag name.Reference, img v1.Image) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	mt, err := img.MediaType()
	if err != nil {
		return err
	}
	return c.putManifest(ctx, tag, &manifest{raw: raw, mediaType: mt, digest: digest})
}

func (c *Client) putManifest(ctx context.Context, tag name.Reference, m *manifest) error {
	_, err := c.sendManifest(ctx, tag, m)
	return err
}

// sendManifest is putManifest, and returns the header of the answer. It is empty where
// the registry refused because a tag was in its place already.
func (c *Client) sendManifest(ctx context.Context, tag name.Reference, m *manifest) (http.Header, error) {
	s, err := c.session(ctx, push, tag.Context())
	if err != nil {
		return nil, err
	}
	req, err := s.request(ctx, http.MethodPut, "manifests/"+tag.Identifier())
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(m.raw))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.raw)), nil }
	req.ContentLength = int64(len(m.raw))
	req.Header.Set("Content-Type", string(m.mediaType))
	resp, err := s.http.Do(req)
	if err == nil {
		err = check(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	}
	if err != nil {
		if errors.Is(err, ErrIncomplete) {
			c.loseAll(tag.Context(), m)
			return nil, err
		}
		// A tag that may not be moved need not be, if it is in its place.
		if status(err)/100 == 4 && s.tagged(ctx, tag, m.digest) {
			return http.Header{}, nil
		}
		return nil, err
	}
	defer resp.Body.Close()
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != m.digest.String() {
		return nil, fmt.Errorf("the registry took the manifest %s for %s", m.digest, excerpt(said))
	}
	c.manifests.forget(manifestKey{tag.Context().Name(), tag.Identifier()})
	return resp.Header, nil
}

// loseAll has all that a manifest speaks of asked about again.
func (c *Client) loseAll(repo name.Repository, m *manifest) {
	parsed, err := v1.ParseManifest(bytes.NewReader(m.raw))
	if err != nil {
		return // then there is nothing that we pushed for it
	}
	for _, d := range append(parsed.Layers, parsed.Config) {
		c.lose(repo, d.Digest)
	}
}

// tagged tells whether a tag stands for a digest.
func (s *session) tagged(ctx context.Context, tag name.Reference, digest v1.Hash) bool {
	req, err := s.request(ctx, http.MethodHead, "manifests/"+tag.Identifier())
	if err != nil {
		return false
	}
	req.Header.Set("Accept", "*/*")
	resp, err := s.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Docker-Content-Digest") == digest.String()
}
