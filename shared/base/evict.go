package base

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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
	sizes  map[v1.Hash]int64
	bytes  int64 // of blobs that images need
}

type heldImage struct {
	digest v1.Hash
	used   time.Time
	named  bool     // some reference leads to it
	refs   []string // that go with it
	blobs  []v1.Hash
}

func (s *Store) held() (*holdings, error) {
	h := &holdings{users: map[v1.Hash]int{}, sizes: map[v1.Hash]int64{}}
	for b, err := range s.dir.Blobs() {
		if err != nil {
			return nil, err
		}
		h.sizes[b.Digest] = b.Size
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
	if named {
		rec, err := s.recordOf(name, r)
		if err != nil {
			return err
		}
		digest = rec.Digest
	} else {
		digest = v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(name, "digest/")}
		d, err := s.descriptorOf(digest, r)
		if err != nil || d.MediaType.IsIndex() {
			return err
		}
	}
	i := all[digest]
	if i == nil {
		i = &heldImage{digest: digest}
		all[digest] = i
	}
	i.named = i.named || named
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
			h.bytes += h.sizes[b]
		}
	}
}

func (h *holdings) without(i *heldImage) {
	for _, b := range i.blobs {
		if h.users[b]--; h.users[b] == 0 {
			h.bytes -= h.sizes[b]
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
