package base

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/ocidir"
)

// Retention says what a store keeps.
type Retention struct {
	// MaxBytes is how much all blobs together may take; 0 is any amount.
	MaxBytes int64
	// Superseded is for how long an image is kept that no reference names any more,
	// since it was last used: who has its digest may still want it.
	Superseded time.Duration
	// Keep are the digests of manifests of images that stay, whatever there is.
	Keep map[v1.Hash]bool
	// Grace is how old a blob must be that nothing needs, to be removed: somebody may
	// be about to.
	Grace time.Duration
}

// Evicted is what was removed.
type Evicted struct {
	Images []v1.Hash
	ocidir.Swept
	// Over is by how many bytes the store is larger than it should be all the same.
	Over int64
}

// Evict removes the images that are not to be kept, those used least recently first,
// and then what nobody needs. It waits, until ctx is done, for those who add.
func (s *Store) Evict(ctx context.Context, r Retention, now time.Time) (Evicted, error) {
	var out Evicted
	var err error
	out.Swept, err = s.dir.SweepAfter(ctx, now, r.Grace, func() error { return s.evict(r, now, &out) })
	return out, err
}

// Held is an image of a store.
type Held struct {
	Digest    v1.Hash
	MediaType types.MediaType
	// Refs are the names of the store's refs that lead to it, sorted; see [Store].
	Refs []string
	// Names are the references that lead to it.
	Names []string
	// Warmed is when it was put, or last found to be what a reference names.
	Warmed time.Time
	// Used is when a build, or who fills the store, last had to do with it.
	Used time.Time
	// Blobs are all that it needs, with their sizes.
	Blobs []ocidir.BlobInfo
}

// Images are all that the store has, those used longest ago first, but for those of
// kaniko's warmer.
func (s *Store) Images() ([]Held, error) {
	held, err := s.held()
	if err != nil {
		return nil, err
	}
	var all []Held
	for _, i := range held.images {
		h := Held{Digest: i.digest, MediaType: i.mediaType, Refs: slices.Sorted(slices.Values(i.refs)), Names: i.names, Warmed: i.warmed, Used: i.used}
		slices.Sort(h.Names)
		h.Names = slices.Compact(h.Names)
		for _, b := range i.blobs {
			if blob, ok := held.blobs[b]; ok {
				h.Blobs = append(h.Blobs, blob)
			}
		}
		if put := held.blobs[i.digest].Touched; put.After(h.Warmed) {
			h.Warmed = put
		}
		all = append(all, h)
	}
	return all, nil
}

// Lookup is the digest of the image that one of its refs leads to; an [fs.ErrNotExist] if
// there is none.
func (s *Store) Lookup(ref string) (v1.Hash, error) {
	byDigest := map[v1.Hash]*heldImage{}
	if err := s.hold(byDigest, ref); err != nil {
		return v1.Hash{}, err
	}
	for h := range byDigest {
		return h, nil
	}
	return v1.Hash{}, fmt.Errorf("%s in %s: %w", ref, s.Path(), fs.ErrNotExist)
}

// Remove removes images, unless one was used after the time given for it, and then what
// nobody needs and is older than grace. It waits as [Store.Evict] does.
func (s *Store) Remove(ctx context.Context, images map[v1.Hash]time.Time, grace time.Duration, now time.Time) (Evicted, error) {
	var out Evicted
	var err error
	out.Swept, err = s.dir.SweepAfter(ctx, now, grace, func() error {
		held, err := s.held()
		if err != nil {
			return err
		}
		for _, i := range held.images {
			if until, ok := images[i.digest]; !ok || i.used.After(until) {
				continue
			}
			if err := s.remove(i); err != nil {
				return err
			}
			held.without(i)
			out.Images = append(out.Images, i.digest)
		}
		return s.removeIndexes(held)
	})
	return out, err
}

// evict removes the refs of what is not to be kept.
func (s *Store) evict(r Retention, now time.Time, out *Evicted) error {
	held, err := s.held()
	if err != nil {
		return err
	}
	for _, i := range held.images {
		superseded := !i.named && now.Sub(i.used) >= r.Superseded
		over := r.MaxBytes > 0 && held.bytes > r.MaxBytes
		if r.Keep[i.digest] || !superseded && !over {
			continue
		}
		if err := s.remove(i); err != nil {
			return err
		}
		held.without(i)
		out.Images = append(out.Images, i.digest)
	}
	if r.MaxBytes > 0 {
		out.Over = max(0, held.bytes-r.MaxBytes)
	}
	return s.removeIndexes(held)
}

// holdings is all that the store's refs say.
type holdings struct {
	images []*heldImage // the one used longest ago first
	users  map[v1.Hash]int
	blobs  map[v1.Hash]ocidir.BlobInfo
	bytes  int64 // of blobs that images need
}

type heldImage struct {
	digest    v1.Hash
	mediaType types.MediaType // if its own ref was read
	used      time.Time
	warmed    time.Time // by the references
	named     bool      // some reference leads to it
	names     []string  // of these references
	refs      []string  // that go with it
	blobs     []v1.Hash
}

func (s *Store) held() (*holdings, error) {
	h := &holdings{users: map[v1.Hash]int{}, blobs: map[v1.Hash]ocidir.BlobInfo{}}
	for b, err := range s.dir.Blobs() {
		if err != nil {
			return nil, err
		}
		h.blobs[b.Digest] = b
	}
	byDigest := map[v1.Hash]*heldImage{}
	for _, prefix := range []string{"digest", "base"} {
		names, err := s.dir.Refs(prefix)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if err := s.hold(byDigest, n); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ocidir.ErrRefDamaged) {
				return nil, err
			}
		}
	}
	indexes, err := s.layerIndexes()
	if err != nil {
		return nil, err
	}
	for _, i := range byDigest {
		for _, b := range i.blobs {
			if index, ok := indexes[b]; ok {
				i.blobs = append(i.blobs, index)
			}
		}
		slices.SortFunc(i.blobs, func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) })
		i.blobs = slices.Compact(i.blobs)
		h.images = append(h.images, i)
		h.with(i)
	}
	slices.SortFunc(h.images, func(a, b *heldImage) int {
		if c := a.used.Compare(b.used); c != 0 {
			return c
		}
		return strings.Compare(a.digest.Hex, b.digest.Hex)
	})
	return h, nil
}

// layerIndexes are the blobs that are indexes, by their layers.
func (s *Store) layerIndexes() (map[v1.Hash]v1.Hash, error) {
	names, err := s.dir.Refs("index")
	if err != nil {
		return nil, err
	}
	all := map[v1.Hash]v1.Hash{}
	for _, n := range names {
		h := v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(n, "index/")}
		if d, err := s.indexBlob(h); err == nil {
			all[h] = d.Digest
		}
	}
	return all, nil
}

// hold puts a ref to the image that it leads to.
func (s *Store) hold(all map[v1.Hash]*heldImage, name string) error {
	r, err := s.dir.Ref(name)
	if err != nil {
		return err
	}
	named := strings.HasPrefix(name, "base/")
	var digest v1.Hash
	var ref string
	var mediaType types.MediaType
	var resolved time.Time
	if named {
		rec, err := s.recordOf(name, r)
		if err != nil {
			return err
		}
		digest, ref, resolved = rec.Digest, rec.Ref, rec.Resolved
	} else {
		digest = v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(name, "digest/")}
		d, err := s.descriptorOf(digest, r)
		if err != nil || d.MediaType.IsIndex() {
			return err
		}
		mediaType = d.MediaType
	}
	i := all[digest]
	if i == nil {
		i = &heldImage{digest: digest}
		all[digest] = i
	}
	i.named = i.named || named
	if named {
		i.names = append(i.names, ref)
		if resolved.After(i.warmed) {
			i.warmed = resolved
		}
	} else {
		i.mediaType = mediaType
	}
	i.refs = append(i.refs, name)
	i.blobs = append(i.blobs, r.Blobs...)
	if r.Used.After(i.used) {
		i.used = r.Used
	}
	return nil
}

func (h *holdings) with(i *heldImage) {
	for _, b := range i.blobs {
		if h.users[b]++; h.users[b] == 1 {
			h.bytes += h.blobs[b].Size
		}
	}
}

func (h *holdings) without(i *heldImage) {
	for _, b := range i.blobs {
		if h.users[b]--; h.users[b] == 0 {
			h.bytes -= h.blobs[b].Size
		}
	}
}

func (s *Store) remove(i *heldImage) error {
	// Names first: who finds one must find the rest.
	for _, name := range slices.Backward(i.refs) {
		if err := s.dir.RemoveRef(name); err != nil {
			return err
		}
	}
	return nil
}

// removeIndexes removes the refs to indexes, of images and of layers, that belong to
// nothing that is held.
func (s *Store) removeIndexes(h *holdings) error {
	for _, prefix := range []string{"digest", "index"} {
		names, err := s.dir.Refs(prefix)
		if err != nil {
			return err
		}
		for _, n := range names {
			digest := v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(n, prefix+"/")}
			if h.users[digest] > 0 {
				continue
			}
			if err := s.dir.RemoveRef(n); err != nil {
				return err
			}
		}
	}
	return nil
}
