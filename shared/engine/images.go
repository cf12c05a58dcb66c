package engine

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// images are the base images of a build, each opened and indexed at most once.
type images struct {
	build    *build
	mu       sync.Mutex
	byDigest map[v1.Hash]*baseImage
}

type baseImage struct {
	opened  sync.Once
	openErr error
	img     v1.Image
	layers  []v1.Layer

	indexed  sync.Once
	indexErr error
	index    *layered
	// indexes is what the cache knows of the layers; nil if that is nothing.
	indexes *cache.Entry
	// making are the indexes that are made while the layers are unpacked; nil if there
	// is no need. It is set before any layer is.
	making *bundle
	// wanted says that there is a need: one stage unpacks what another only has to know.
	wanted bool
}

func (i *images) of(p *plan.Image) *baseImage {
	i.mu.Lock()
	defer i.mu.Unlock()
	img := i.byDigest[p.Digest]
	if img == nil {
		img = &baseImage{}
		i.byDigest[p.Digest] = img
	}
	return img
}

func (i *images) get(ctx context.Context, p *plan.Image) (*baseImage, error) {
	img := i.of(p)
	img.opened.Do(func() {
		if img.img, img.openErr = i.build.Bases.Image(ctx, p); img.openErr == nil {
			img.layers, img.openErr = img.img.Layers()
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		if img.openErr == nil && img.wanted && !allIndexed(img.layers) {
			img.making = i.build.newBundle(p, len(img.layers))
		}
	})
	return img, img.openErr
}

// files is the image's file system, without its contents.
func (i *images) files(ctx context.Context, p *plan.Image) (*layered, error) {
	img, err := i.get(ctx, p)
	if err != nil {
		return nil, err
	}
	img.indexed.Do(func() {
		img.index = newLayered(img.layers...)
		if noted, ok := i.noted(img); ok {
			img.index = newLayered(noted...)
			img.indexErr = img.index.load(ctx)
			return
		}
		if i.build.Cache != nil {
			img.indexErr = i.build.loadIndexed(ctx, p, img)
			return
		}
		img.indexErr = img.index.load(ctx)
	})
	return img.index, img.indexErr
}

// noted are an image's layers with the indexes that were made as they were unpacked, if
// they all were by now.
func (i *images) noted(img *baseImage) (layers []v1.Layer, ok bool) {
	i.mu.Lock()
	making := img.making
	i.mu.Unlock()
	if making == nil {
		return nil, false
	}
	return making.noted(img.layers)
}

// wantIndexes finds the images that one stage unpacks and of which another has to know
// the files: they need not be read twice.
func (b *build) wantIndexes() {
	unpacked := map[v1.Hash]bool{}
	known := map[v1.Hash]bool{}
	for _, s := range b.order {
		if img := s.root(); s.needed && img != nil {
			if s.needsSandbox() {
				unpacked[img.Digest] = true
			} else {
				known[img.Digest] = true
			}
		}
		for _, w := range s.todo() {
			for _, r := range plan.Reads(w.Op) {
				if r.From != nil && r.From.Image != nil {
					known[r.From.Image.Digest] = true
				}
			}
		}
	}
	for _, s := range b.order {
		if img := s.root(); img != nil && unpacked[img.Digest] && known[img.Digest] {
			b.images.of(img).wanted = true
		}
	}
}

// probeIndexes asks the cache what the layers of an image do to files, if they do not
// know that themselves.
func (b *build) probeIndexes(ctx context.Context, p *plan.Image) {
	img, err := b.images.get(ctx, p)
	if err != nil || allIndexed(img.layers) {
		return // the stage will say what is wrong
	}
	w := &work{}
	b.get(ctx, w, defined(plan.Indexes(p.Digest)))
	switch {
	case w.entry != nil && w.entry.Index != nil:
		img.indexes = w.entry
	case b.keeps():
		img.making = b.newBundle(p, len(img.layers))
	}
}

// unpacked passes on what a layer does to files, for those who unpack it. Its index
// goes to all images that have the layer and want indexes, at each of its places in
// them: a driver may unpack a layer once for all stages of a build.
func (i *images) unpacked(l keyed) layer.Changes {
	var wanting []func(path string)
	i.mu.Lock()
	for _, img := range i.byDigest {
		if img.making == nil {
			continue
		}
		for at, one := range img.layers {
			if id, err := one.DiffID(); err == nil && id.String() == l.key && img.making.lacks(at) {
				wanting = append(wanting, func(path string) { img.making.add(at, path) })
			}
		}
	}
	i.mu.Unlock()
	if len(wanting) == 0 {
		return layer.Open(l)
	}
	return i.build.indexing(layer.Open(l), func(path string) {
		for _, want := range wanting {
			want(path)
		}
	})
}

func allIndexed(layers []v1.Layer) bool {
	for _, l := range layers {
		if _, ok := layer.As[layer.Indexed](l); !ok {
			return false
		}
	}
	return true
}

// loadIndexed learns an image's files from the indexes that the cache has of its
// layers, or else from the layers, and then leaves their indexes there.
func (b *build) loadIndexed(ctx context.Context, p *plan.Image, img *baseImage) error {
	if allIndexed(img.layers) {
		return img.index.load(ctx)
	}
	if img.indexes != nil {
		layers, err := readIndexes(img.indexes, img.layers)
		if err != nil {
			return &cache.LostError{Key: img.indexes.Key, Err: err}
		}
		img.index = newLayered(layers...)
		return img.index.load(ctx)
	}
	if !b.keeps() {
		return img.index.load(ctx)
	}
	return b.makeIndexes(ctx, p, img)
}

// makeIndexes loads an image's files and has the indexes of its layers kept.
func (b *build) makeIndexes(ctx context.Context, p *plan.Image, img *baseImage) error {
	known := newLayered()
	made := b.newBundle(p, len(img.layers))
	for i, l := range img.layers {
		if err := known.put(ctx, made.tee(i, layer.Open(l))); err != nil {
			return err
		}
		known.add(l, true)
	}
	img.index = known
	return nil
}
