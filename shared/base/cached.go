package base

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Source is where base images come from: a [Dir] or a [Remote].
type Source interface {
	plan.Bases
	// Image opens an image that was resolved.
	Image(ctx context.Context, img *plan.Image) (v1.Image, error)
	// Head asks the registry for the digest of what a reference names.
	Head(ctx context.Context, ref string) (v1.Hash, error)
	// Reference reads the name of an image.
	Reference(ref string) (name.Reference, error)
}

// Cached is base images of which those in a store are not fetched. It never writes to
// the store, but for the time of last use. It is safe for use by several goroutines at
// once, and must not be copied.
type Cached struct {
	Store *Store
	// Next has the images that are not in the store, and says what tags name.
	Next Source
	// Offline takes everything from the store; what is not there is a [MissingError].
	Offline bool
	// StaleIfError takes what a tag was when it was last asked for, if the registry
	// cannot be reached or does not know an answer now.
	StaleIfError bool
	// MaxAge is how long after the registry has said what a tag names it is not asked
	// again; 0 asks each time.
	MaxAge time.Duration
	// Now tells the time; nil is the machine's clock.
	Now func() time.Time
	// Warn, if set, is told in a sentence what is wrong with the store, and what was
	// taken although it may be old.
	Warn func(text string)

	verified sync.Map // digests of the layers that were read through, to a *verification
}

// MissingError is a base image that a build without a network needs.
type MissingError struct {
	Ref      string
	Platform v1.Platform
	Dir      string // of the store
	Err      error
}

func (e *MissingError) Error() string {
	s := fmt.Sprintf("%s for %s is not in %s, and nothing is fetched offline", e.Ref, e.Platform, e.Dir)
	if !errors.Is(e.Err, fs.ErrNotExist) {
		s = fmt.Sprintf("%s for %s in %s cannot be used, and nothing is fetched offline: %v", e.Ref, e.Platform, e.Dir, e.Err)
	}
	return s
}

func (e *MissingError) Unwrap() error { return e.Err }

// Hint is the command that puts it there.
func (e *MissingError) Hint() string {
	return fmt.Sprintf("where there is a network, run: warmer --cache-dir=%s --image=%s --platform=%s", e.Dir, e.Ref, e.Platform)
}

// ExitCode is that of a source out of reach.
func (e *MissingError) ExitCode() int { return 69 }

// Resolve finds what a reference is for a platform. A digest that is in the store is
// not asked for; a tag is, by its digest alone, unless it was lately.
func (c *Cached) Resolve(ctx context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	r, err := c.Next.Reference(ref)
	if err != nil {
		return nil, err
	}
	p = registry.Normalize(p)
	if d, ok := r.(name.Digest); ok {
		return c.resolveDigest(ctx, ref, d, p)
	}
	if c.Offline {
		img, _, err := c.known(ctx, r, p)
		if err != nil {
			return nil, c.missing(ref, p, err)
		}
		return resolved(ref, img), nil
	}
	if rec, err := c.Store.Record(r, p); err == nil && c.MaxAge > 0 && c.now().Sub(rec.Resolved) < c.MaxAge {
		if img, ok := c.have(ctx, r, rec.Root, p); ok {
			return resolved(ref, img), nil
		}
	}
	return c.ask(ctx, ref, r, p)
}

func (c *Cached) resolveDigest(ctx context.Context, ref string, d name.Digest, p v1.Platform) (*plan.Image, error) {
	digest, err := v1.NewHash(d.DigestStr())
	if err != nil {
		return nil, &registry.ReferenceError{Ref: ref, Err: err}
	}
	img, err := c.Store.find(ctx, d.Context(), digest, p, 0)
	switch {
	case err == nil:
		return resolved(ref, img), nil
	case ctx.Err() != nil:
		return nil, err
	case c.Offline:
		return nil, c.missing(ref, p, err)
	}
	c.complain(ref, err)
	return c.Next.Resolve(ctx, ref, p)
}

// ask takes a tag's image from the store if the registry says that it is still the
// same.
func (c *Cached) ask(ctx context.Context, ref string, r name.Reference, p v1.Platform) (*plan.Image, error) {
	digest, err := c.Next.Head(ctx, ref)
	if err == nil {
		if img, ok := c.have(ctx, r, digest, p); ok {
			return resolved(ref, img), nil
		}
		var img *plan.Image
		if img, err = c.Next.Resolve(ctx, ref, p); err == nil {
			return img, nil
		}
	}
	if !c.StaleIfError || !registry.Unreachable(err) {
		return nil, err
	}
	img, rec, stale := c.known(ctx, r, p)
	if stale != nil {
		return nil, err
	}
	c.warn("%s is taken from %s as it was %s ago, since the registry does not answer: %v",
		ref, c.Store.Path(), c.now().Sub(rec.Resolved).Round(time.Second), err)
	return resolved(ref, img), nil
}

// known is what a tag last was, as far as the store has it.
func (c *Cached) known(ctx context.Context, r name.Reference, p v1.Platform) (*Image, *Record, error) {
	records, err := c.Store.records(r, p)
	if err != nil {
		return nil, nil, err
	}
	err = fs.ErrNotExist
	for _, rec := range records {
		img, found := c.Store.find(ctx, r.Context(), rec.Root, p, 0)
		if found == nil {
			return img, rec, nil
		}
		if !errors.Is(found, fs.ErrNotExist) {
			err = found
		}
	}
	return nil, nil, err
}

// have is the image that a digest leads to, if the store has it.
func (c *Cached) have(ctx context.Context, r name.Reference, root v1.Hash, p v1.Platform) (*Image, bool) {
	img, err := c.Store.find(ctx, r.Context(), root, p, 0)
	if err != nil {
		c.complain(r.Name(), err)
		return nil, false
	}
	return img, true
}

func resolved(ref string, i *Image) *plan.Image {
	return &plan.Image{Ref: ref, Digest: i.desc.Digest, Platform: i.Platform(), Config: i.config}
}

// Image opens an image that was resolved. A layer of the store that turns out to be
// damaged is fetched from the registry; to find that out before anybody has read half
// of it, each is read through before its first use. ctx governs reads of the layers too.
func (c *Cached) Image(ctx context.Context, img *plan.Image) (v1.Image, error) {
	r, err := c.Next.Reference(img.Ref)
	if err != nil {
		return nil, err
	}
	c.Store.used(img.Digest, c.now()) // before it is found, so that nobody removes what was found
	stored, err := c.Store.Open(ctx, r.Context(), img.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		stored, err = c.Store.legacy(ctx, r.Context(), img.Digest)
	}
	if err == nil {
		if c.Offline {
			return stored, nil
		}
		return c.mended(ctx, img, stored), nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	if c.Offline {
		return nil, c.missing(img.Ref, img.Platform, err)
	}
	c.complain(img.Ref, err)
	return c.Next.Image(ctx, img)
}

// Head implements [Source].
func (c *Cached) Head(ctx context.Context, ref string) (v1.Hash, error) { return c.Next.Head(ctx, ref) }

// Reference implements [Source].
func (c *Cached) Reference(ref string) (name.Reference, error) { return c.Next.Reference(ref) }

func (c *Cached) missing(ref string, p v1.Platform, err error) error {
	return &MissingError{Ref: ref, Platform: p, Dir: c.Store.Path(), Err: err}
}

// complain tells of what is wrong with something in the store; that it is not there is
// not wrong.
func (c *Cached) complain(ref string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		c.warn("%s is taken from the registry, since what %s has cannot be used: %v", ref, c.Store.Path(), err)
	}
}

func (c *Cached) warn(format string, args ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, args...))
	}
}

func (c *Cached) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// mended is an image of the store, of which what is damaged comes from the registry.
func (c *Cached) mended(ctx context.Context, img *plan.Image, stored *Image) *Image {
	from := &mending{cached: c, img: img, inner: stored.layers}
	copied := *stored
	copied.layers = nil
	for _, l := range stored.layers {
		copied.layers = append(copied.layers, &storedLayer{ctx: ctx, image: &copied, number: l.number, desc: l.desc, from: from})
	}
	return &copied
}

// mending opens layers in the store, or where they came from.
type mending struct {
	cached *Cached
	img    *plan.Image
	inner  []*storedLayer

	mu   sync.Mutex
	next v1.Image
}

// verification is a layer's being read through, once in a process.
type verification struct {
	mu   sync.Mutex
	done bool
	err  error
}

func (m *mending) open(ctx context.Context, n int, d v1.Descriptor) (io.ReadCloser, error) {
	if err := m.verify(ctx, n, d); err == nil {
		if r, err := m.inner[n].from.open(ctx, n, d); err == nil {
			return r, nil
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return m.fetch(ctx, n)
}

// verify reads a layer through, unless that was done.
func (m *mending) verify(ctx context.Context, n int, d v1.Descriptor) error {
	v, _ := m.cached.verified.LoadOrStore(d.Digest, &verification{})
	one := v.(*verification)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.done {
		return one.err
	}
	err := m.readThrough(ctx, n, d)
	if ctx.Err() != nil {
		return err // which says nothing of the layer
	}
	one.done, one.err = true, err
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been removed meanwhile
		m.cached.warn("layer %s of %s is fetched from the registry, since what %s has cannot be used: %v",
			d.Digest, m.img.Ref, m.cached.Store.Path(), err)
	}
	return err
}

func (m *mending) readThrough(ctx context.Context, n int, d v1.Descriptor) error {
	r, err := m.inner[n].from.open(ctx, n, d)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(io.Discard, onlyReader{r}, make([]byte, 256<<10))
	return err
}

// onlyReader hides what could make a copy skip its buffer.
type onlyReader struct{ io.Reader }

func (m *mending) fetch(ctx context.Context, n int) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		var err error
		if m.next, err = m.cached.Next.Image(ctx, m.img); err != nil {
			return nil, err
		}
	}
	layers, err := m.next.Layers()
	if err != nil {
		return nil, err
	}
	return layers[n].Compressed()
}

func (m *mending) index(ctx context.Context, d v1.Descriptor) (layer.Changes, bool) {
	return m.inner[0].from.index(ctx, d)
}
