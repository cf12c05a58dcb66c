package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	maxManifest = 16 << 20 // bytes; registries take 4 MiB at most
	maxConfig   = 16 << 20 // bytes
	maxNesting  = 4        // of an index in an index
)

type manifestKey struct {
	repo       string
	identifier string
}

type manifest struct {
	raw       []byte
	mediaType types.MediaType
	digest    v1.Hash
	from      name.Repository // of a mirror, if it came from one
}

// Resolve asks what ref, a name as users write it, is for a platform: of an
// index it takes the image that suits p best, and an image that is not in an
// index it takes as it is, so that [Image.Platform] may be another than p. The
// image's config is fetched, none of its layers. ctx governs the image's later
// reads too. Errors are a [ReferenceError] or an [Error], the latter around a
// [PlatformError] if the index has nothing for p.
func (c *Client) Resolve(ctx context.Context, ref string, p v1.Platform) (*Image, error) {
	r, err := c.Reference(ref)
	if err != nil {
		return nil, err
	}
	img, err := c.resolve(ctx, r, Normalize(p), nil)
	if err == nil {
		_, err = img.RawConfigFile()
	}
	if err != nil {
		return nil, c.failed("pull "+ref, pull, r.Context(), err)
	}
	return img, nil
}

// Open opens the image with the given digest in the repository that ref names.
// ctx governs the image's later reads too.
func (c *Client) Open(ctx context.Context, ref string, digest v1.Hash) (*Image, error) {
	r, err := c.Reference(ref)
	if err != nil {
		return nil, err
	}
	m, err := c.manifest(ctx, r.Context().Digest(digest.String()))
	if err == nil && (m.mediaType.IsIndex() || !m.mediaType.IsImage()) {
		err = fmt.Errorf("%s is not an image but %s", digest, m.mediaType)
	}
	var img *Image
	if err == nil {
		img, err = c.image(ctx, r.Context(), m)
	}
	if err != nil {
		return nil, c.failed("pull "+ref, pull, r.Context(), err)
	}
	return img, nil
}

// resolve is told of the indexes that have led to ref.
func (c *Client) resolve(ctx context.Context, ref name.Reference, p v1.Platform, above []*manifest) (*Image, error) {
	m, err := c.manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	switch {
	case m.mediaType.IsImage():
		img, err := c.image(ctx, ref.Context(), m)
		if err == nil {
			img.indexes = above
		}
		return img, err
	case !m.mediaType.IsIndex():
		return nil, fmt.Errorf("%s is not an image but %s", m.digest, m.mediaType)
	case len(above) >= maxNesting:
		return nil, fmt.Errorf("indexes are nested deeper than %d", maxNesting)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(m.raw))
	if err != nil {
		return nil, fmt.Errorf("read index %s: %w", m.digest, err)
	}
	above = append(above[:len(above):len(above)], m)
	chosen, nested, have := Pick(index, p)
	if chosen != nil {
		return c.resolve(ctx, ref.Context().Digest(chosen.Digest.String()), p, above)
	}
	missing := &PlatformError{Want: p, Have: have}
	for _, d := range nested {
		img, err := c.resolve(ctx, ref.Context().Digest(d.Digest.String()), p, above)
		var none *PlatformError
		if !errors.As(err, &none) {
			return img, err
		}
		missing.Have = append(missing.Have, none.Have...)
	}
	return nil, missing
}

// Pick finds the entry of an index that suits a platform best. Without one, nested
// are the indexes in it that may have something, and have is what there is.
func Pick(index *v1.IndexManifest, p v1.Platform) (chosen *v1.Descriptor, nested []v1.Descriptor, have []v1.Platform) {
	all := make([]v1.Platform, len(index.Manifests))
	for i, d := range index.Manifests {
		switch {
		case d.Platform != nil && d.Platform.OS != "unknown" && (d.MediaType.IsImage() || d.MediaType.IsIndex()):
			all[i] = *d.Platform
		case d.MediaType.IsIndex() && d.Platform == nil:
			nested = append(nested, d)
		}
	}
	if i := Choose(p, all); i >= 0 {
		return &index.Manifests[i], nil, nil
	}
	for _, h := range all {
		if h.OS != "" {
			have = append(have, h)
		}
	}
	return nil, nested, have
}

// manifest fetches what a reference stands for, once.
func (c *Client) manifest(ctx context.Context, ref name.Reference) (*manifest, error) {
	return c.manifests.get(ctx, manifestKey{ref.Context().Name(), ref.Identifier()}, func(ctx context.Context) (*manifest, error) {
		sources, err := c.sources(ref.Context(), name.Repository{})
		if err != nil {
			return nil, err
		}
		m, err := fromAny(ctx, c, ref.Context(), sources, func(ctx context.Context, at name.Repository) (*manifest, error) {
			m, err := c.fetchManifest(ctx, in(ref, at), maxManifest)
			if err == nil && m.mediaType.IsSchema1() {
				err = errors.New("the image is in Docker's schema 1 format, which has been retired")
			}
			return m, err
		})
		if err != nil {
			return nil, err
		}
		// A tag's digest names the same bytes: who asks for it is answered already.
		c.manifests.put(manifestKey{ref.Context().Name(), m.digest.String()}, m)
		return m, nil
	})
}

// fetchManifest asks the registry what a reference stands for.
func (c *Client) fetchManifest(ctx context.Context, ref name.Reference, limit int64) (*manifest, error) {
	m, said, err := c.askManifest(ctx, ref, limit)
	if err == nil && said != m.digest {
		return c.disputed(ctx, ref, limit, m, said)
	}
	return m, err
}

// disputed decides about a manifest that is not what its answer's header says. Either the
// manifest was spoilt on its way, or this is one of the registries whose header is wrong:
// what it has under the digest of the header is what was meant, or else what it answers
// twice.
func (c *Client) disputed(ctx context.Context, ref name.Reference, limit int64, m *manifest, said v1.Hash) (*manifest, error) {
	if meant, _, err := c.askManifest(ctx, ref.Context().Digest(said.String()), limit); err == nil {
		return meant, nil
	}
	again, saidAgain, err := c.askManifest(ctx, ref, limit)
	if err == nil && again.digest != m.digest && again.digest != saidAgain {
		err = &CorruptError{Want: said, Got: m.digest, WantSize: int64(len(m.raw)), GotSize: int64(len(m.raw))}
	}
	return again, err
}

// askManifest asks once, and returns the digest that the answer's header gives the
// manifest too: its own, if there is none in a form that can be compared.
func (c *Client) askManifest(ctx context.Context, ref name.Reference, limit int64) (m *manifest, said v1.Hash, err error) {
	raw, header, err := c.fetch(ctx, ref.Context(), "manifests/"+ref.Identifier(), imageTypes, limit)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	m = &manifest{raw: raw, mediaType: mediaType(header.Get("Content-Type"), raw), from: ref.Context()}
	if m.digest, err = sum(raw, ref); err != nil {
		return nil, v1.Hash{}, err
	}
	if _, checked := ref.(name.Digest); checked {
		return m, m.digest, nil
	}
	said, err = v1.NewHash(header.Get("Docker-Content-Digest"))
	if err != nil || said.Algorithm != m.digest.Algorithm {
		said = m.digest
	}
	return m, said, nil
}

// imageTypes are the manifests that we know, as a header has them.
const imageTypes = string(types.OCIImageIndex + ", " + types.DockerManifestList + ", " + types.OCIManifestSchema1 + ", " + types.DockerManifestSchema2)

func acceptImages(req *http.Request) { req.Header.Set("Accept", imageTypes) }

// sum is the digest of a manifest; it must be the one in ref if ref has one.
func sum(raw []byte, ref name.Reference) (v1.Hash, error) {
	algorithm := "sha256"
	var want v1.Hash
	if d, ok := ref.(name.Digest); ok {
		var err error
		if want, err = v1.NewHash(d.DigestStr()); err != nil {
			return v1.Hash{}, err
		}
		algorithm = want.Algorithm
	}
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(raw)
	got := v1.Hash{Algorithm: algorithm, Hex: fmt.Sprintf("%x", h.Sum(nil))}
	if want != (v1.Hash{}) && got != want {
		return v1.Hash{}, &CorruptError{Want: want, Got: got, WantSize: int64(len(raw)), GotSize: int64(len(raw))}
	}
	return got, nil
}

// mediaType is what the manifest says it is; what the registry says counts only
// for one that says nothing, since registries of static files do not know.
func mediaType(header string, raw []byte) types.MediaType {
	var m struct {
		MediaType types.MediaType   `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
		Config    json.RawMessage   `json:"config"`
		Schema    int               `json:"schemaVersion"`
	}
	err := json.Unmarshal(raw, &m)
	header, _, _ = strings.Cut(header, ";")
	said := types.MediaType(strings.TrimSpace(header))
	switch {
	case m.MediaType != "":
		return m.MediaType
	case said.IsImage(), said.IsIndex(), said.IsSchema1(), err != nil:
		return said
	case m.Schema == 1:
		return types.DockerManifestSchema1
	case m.Manifests != nil:
		return types.OCIImageIndex
	case m.Config != nil:
		return types.OCIManifestSchema1
	}
	return said
}

// failed is fail with what is known of the talk with the repository.
func (c *Client) failed(attempt string, r role, repo name.Repository, err error) error {
	if err == nil {
		return nil
	}
	talk := &session{repo: repo}
	var opening *sessionError
	if errors.As(err, &opening) && opening.session.repo == repo {
		talk = opening.session
	} else if s, ok := c.sessions.peek(sessionKey{role: r, repo: repo.Name()}); ok {
		talk = s
	}
	return fail(attempt, talk, err)
}
