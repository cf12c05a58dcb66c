// Package base keeps base images in directories. A [Dir] is one build's: what a layer
// holds is fetched once, when it is first opened, however many read it and
// whatever for, and those who come in the middle read along. A [Store] is shared by
// builds and by who fills it ahead of them, and [Cached] is a store in front of a Dir.
// It knows nothing of registries but how to ask a [registry.Client].
package base

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Dir is the base images of one build. It is safe for use by several goroutines
// at once.
type Dir struct {
	client *registry.Client
	root   *os.Root
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	pulls  chan struct{}

	mu    sync.Mutex
	blobs map[v1.Hash]*blob
	work  sync.WaitGroup
}

// Open uses an existing directory, which should hold nothing else, for the base
// images that c resolves and pulls. Up to pulls layers are fetched at the same
// time, 4 if it is 0. Nothing is fetched any more once ctx is done.
func Open(ctx context.Context, path string, c *registry.Client, pulls int) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open directory for base images: %w", err)
	}
	if pulls <= 0 {
		pulls = 4
	}
	d := &Dir{client: c, root: root, pulls: make(chan struct{}, pulls), blobs: make(map[v1.Hash]*blob)}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d, nil
}

// Resolve asks what a reference is for a platform; see [registry.Client.Resolve].
// Its errors say what was pulled.
func (d *Dir) Resolve(ctx context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	return Remote{d.client}.Resolve(ctx, ref, p)
}

// Image opens an image that was resolved. Its layers are
// [registry.Located], so that a registry client can take them over from
// where they are; opening one fetches it into the directory, unless it is there.
// ctx governs reads of the layers too.
func (d *Dir) Image(ctx context.Context, img *plan.Image) (v1.Image, error) {
	from, err := d.client.Open(ctx, img.Ref, img.Digest)
	if err != nil {
		return nil, err
	}
	i := &image{Image: from}
	for _, b := range from.Blobs() {
		i.layers = append(i.layers, &baseLayer{Layer: b, ctx: ctx, dir: d})
	}
	return i, nil
}

// Layer is a layer that belongs to no base image, such as one of a cache, fetched
// into the directory like those that do. ctx governs its reads.
func (d *Dir) Layer(ctx context.Context, l *registry.Layer) v1.Layer {
	return &baseLayer{Layer: l, ctx: ctx, dir: d}
}

// Close ends all fetching and closes the directory. What was fetched stays in it,
// for the caller to remove; readers that are still open fail.
func (d *Dir) Close() error {
	d.cancel()
	d.work.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for h, b := range d.blobs {
		errs = append(errs, b.close())
		delete(d.blobs, h)
	}
	return errors.Join(append(errs, d.root.Close())...)
}

// blob finds the file of a layer, or makes it.
func (d *Dir) blob(l *registry.Layer) (*blob, error) {
	desc, err := l.Descriptor()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ctx.Err(); err != nil {
		return nil, fmt.Errorf("open layer %s: %w", desc.Digest, err)
	}
	if b, ok := d.blobs[desc.Digest]; ok {
		return b, nil
	}
	b, err := newBlob(d, l, *desc)
	if err != nil {
		return nil, err
	}
	d.blobs[desc.Digest] = b
	return b, nil
}

// image is a registry's image with layers of ours.
type image struct {
	*registry.Image
	layers []v1.Layer
}

func (i *image) Layers() ([]v1.Layer, error) { return append([]v1.Layer(nil), i.layers...), nil }

func (i *image) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	return i.find(h, v1.Layer.Digest)
}

func (i *image) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	return i.find(h, v1.Layer.DiffID)
}

func (i *image) find(h v1.Hash, of func(v1.Layer) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range i.layers {
		if got, err := of(l); err != nil {
			return nil, err
		} else if got == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s: %w", i.Ref(), h, registry.ErrNotFound)
}

// Head implements [Source].
func (d *Dir) Head(ctx context.Context, ref string) (v1.Hash, error) { return d.client.Head(ctx, ref) }

// Reference implements [Source].
func (d *Dir) Reference(ref string) (name.Reference, error) { return d.client.Reference(ref) }
