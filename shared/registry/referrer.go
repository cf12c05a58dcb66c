package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// emptyConfig is the config of what is no image, and emptyType its media type: OCI's
// image-spec 1.1, "Guidance for an Empty Descriptor".
const (
	emptyConfig = "{}"
	emptyType   = types.MediaType("application/vnd.oci.empty.v1+json")
)

// maxReferrers bounds the list of what refers to one manifest, in bytes.
const maxReferrers = 4 << 20

// Referrer is something that is said of a manifest in the same repository, such as a
// signature or a list of its software.
type Referrer struct {
	ArtifactType string            // a media type; not empty
	Annotations  map[string]string // shown where referrers are listed
	Blobs        []ReferrerBlob
}

// ReferrerBlob is content of a [Referrer].
type ReferrerBlob struct {
	MediaType   string
	Annotations map[string]string
	Raw         []byte
}

// PushReferrer pushes what refers to subject, a manifest in repo, and returns its
// digest. A registry that does not list referrers gets the list as an index under the
// tag that [ReferrersTag] gives, with what others put there left in it; of two programs
// that do so at the same time, one may be lost. To push the same again changes nothing.
func (c *Client) PushReferrer(ctx context.Context, repo name.Repository, subject v1.Descriptor, r Referrer) (v1.Hash, error) {
	m, err := r.manifest(subject)
	if err != nil {
		return v1.Hash{}, err
	}
	err = c.pushReferrer(ctx, repo, subject, r, m)
	if errors.Is(err, ErrIncomplete) {
		err = c.pushReferrer(ctx, repo, subject, r, m) // blobs were there, and are gone
	}
	what := fmt.Sprintf("push what refers to %s@%s", repo.Name(), subject.Digest)
	return m.digest, c.failed(what, push, repo, err)
}

func (c *Client) pushReferrer(ctx context.Context, repo name.Repository, subject v1.Descriptor, r Referrer, m *manifest) error {
	blobs := [][]byte{[]byte(emptyConfig)}
	for _, b := range r.Blobs {
		blobs = append(blobs, b.Raw)
	}
	for _, raw := range blobs {
		if err := c.PushBlob(ctx, repo, raw); err != nil {
			return err
		}
	}
	header, err := c.sendManifest(ctx, repo.Digest(m.digest.String()), m)
	if err != nil || header.Get("OCI-Subject") != "" {
		return err
	}
	return c.enlist(ctx, repo, subject.Digest, v1.Descriptor{
		MediaType: m.mediaType, Size: int64(len(m.raw)), Digest: m.digest,
		ArtifactType: r.ArtifactType, Annotations: r.Annotations,
	})
}

// manifest is the referrer as registries keep it.
func (r Referrer) manifest(subject v1.Descriptor) (*manifest, error) {
	if r.ArtifactType == "" {
		return nil, fmt.Errorf("refer to %s: no artifact type", subject.Digest)
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: r.ArtifactType,
		Config: describe([]byte(emptyConfig), emptyType), Annotations: r.Annotations,
		// Only what the subject is, and not what its index says of it.
		Subject: &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
	}
	for _, b := range r.Blobs {
		d := describe(b.Raw, types.MediaType(b.MediaType))
		d.Annotations = b.Annotations
		m.Layers = append(m.Layers, d)
	}
	if len(m.Layers) == 0 {
		m.Layers = append(m.Layers, m.Config) // a manifest has to have one
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	d := describe(raw, m.MediaType)
	return &manifest{raw: raw, mediaType: d.MediaType, digest: d.Digest}, nil
}

func describe(raw []byte, mt types.MediaType) v1.Descriptor {
	h, n, _ := v1.SHA256(bytes.NewReader(raw)) // memory can be read
	return v1.Descriptor{MediaType: mt, Size: n, Digest: h}
}

// ReferrersTag is where the list of what refers to a manifest is kept, in a registry that
// keeps no list of its own: distribution-spec 1.1, "Referrers Tag Schema".
func ReferrersTag(repo name.Repository, subject v1.Hash) name.Tag {
	return repo.Tag(fmt.Sprintf("%.32s-%.64s", subject.Algorithm, subject.Hex))
}

// enlist adds what refers to a manifest to the list under its tag.
func (c *Client) enlist(ctx context.Context, repo name.Repository, subject v1.Hash, d v1.Descriptor) error {
	c.lists.Lock() // what is read has to be what is changed
	defer c.lists.Unlock()
	tag := ReferrersTag(repo, subject)
	index, err := c.listUnder(ctx, tag, maxReferrers)
	if err != nil {
		return err
	}
	for _, there := range index.Manifests {
		if there.Digest == d.Digest {
			return nil
		}
	}
	index.Manifests = append(index.Manifests, d)
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	list := describe(raw, types.OCIImageIndex)
	_, err = c.sendManifest(ctx, tag, &manifest{raw: raw, mediaType: list.MediaType, digest: list.Digest})
	return err
}

// Referrers are what refers to a manifest of a repository, by the registry's own list
// or else by the one under [ReferrersTag]; none is no error. Of the registry itself,
// never a mirror. A list, or a page of one, of more than limit bytes is [ErrTooLarge].
func (c *Client) Referrers(ctx context.Context, repo name.Repository, subject v1.Hash, limit int64) ([]v1.Descriptor, error) {
	all, err := c.referrers(ctx, repo, subject, limit)
	what := fmt.Sprintf("list what refers to %s@%s", repo.Name(), subject)
	return all, c.failed(what, pull, repo, err)
}

func (c *Client) referrers(ctx context.Context, repo name.Repository, subject v1.Hash, limit int64) ([]v1.Descriptor, error) {
	all, err := c.listed(ctx, repo, subject, limit)
	if !unlisting(err) {
		return all, err
	}
	index, err := c.listUnder(ctx, ReferrersTag(repo, subject), limit)
	if err != nil {
		return nil, err
	}
	return index.Manifests, nil
}

// unlisting tells whether err is of a registry that keeps no lists. Some answer what
// they do not know with a page, some with a refusal.
func unlisting(err error) bool {
	s := status(err)
	return err != nil && (s/100 == 4 && !passing(s) || errors.As(err, new(*listError)))
}

// listError is an answer that is no list of referrers.
type listError struct{ why string }

func (e *listError) Error() string { return "no list of referrers: " + e.why }

// maxPages bounds the pages of one list.
const maxPages = 100

// listed are what the registry itself says that refers to a manifest.
func (c *Client) listed(ctx context.Context, repo name.Repository, subject v1.Hash, limit int64) ([]v1.Descriptor, error) {
	var all []v1.Descriptor
	path := "referrers/" + subject.String()
	for range maxPages {
		raw, header, err := c.fetch(ctx, repo, path, string(types.OCIImageIndex), limit)
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
		if strings.TrimSpace(kind) != string(types.OCIImageIndex) {
			return nil, &listError{"content type " + excerpt(kind)}
		}
		page, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, &listError{err.Error()}
		}
		all = append(all, page.Manifests...)
		next, more := following(header.Get("Link"))
		if !more {
			return all, nil
		}
		path = "referrers/" + subject.String() + "?" + next
	}
	return nil, fmt.Errorf("%w: more than %d pages", ErrTooLarge, maxPages)
}

// following is the query of the next page, from a Link header of RFC 8288. Only the query
// is taken from it: the list goes on at the same address.
func following(link string) (query string, more bool) {
	for one := range strings.SplitSeq(link, ",") { // no registry has commas in its addresses
		address, params, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(one), "<"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
			continue
		}
		_, query, more = strings.Cut(address, "?")
		return query, more
	}
	return "", false
}

// listUnder is the index under a tag; an empty one where there is none.
func (c *Client) listUnder(ctx context.Context, tag name.Tag, limit int64) (*v1.IndexManifest, error) {
	raw, _, err := c.fetch(ctx, tag.Context(), "manifests/"+tag.Identifier(), string(types.OCIImageIndex), limit)
	if errors.Is(err, ErrNotFound) {
		return &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the list of referrers under %s: %w", tag.Name(), err)
	}
	if index.MediaType != "" && index.MediaType != types.OCIImageIndex {
		return nil, fmt.Errorf("read the list of referrers under %s: it is %s", tag.Name(), excerpt(string(index.MediaType)))
	}
	return index, nil
}
