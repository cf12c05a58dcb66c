package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
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
		if i.build.Cache != nil {
			img.indexErr = i.build.loadIndexed(ctx, p, img)
			return
		}
		img.indexErr = img.index.load(ctx)
	})
	return img.index, img.indexErr
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
	if w.entry != nil && w.entry.Index != nil {
		img.indexes = w.entry
	}
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
	f, err := os.CreateTemp(b.Spool, "indexes-*")
	if err != nil {
		return fmt.Errorf("create indexes of %s: %w", p.Ref, err)
	}
	defer f.Close()
	known := newLayered()
	for _, l := range img.layers {
		one, err := indexed(ctx, known, l, b.Spool)
		if err == nil {
			err = appendIndex(f, one)
		}
		if err != nil {
			return err
		}
		known.add(l, true)
	}
	img.index = known
	d := defined(plan.Indexes(p.Digest))
	b.put(nil, nil, cache.Result{
		Definition: d.text, Created: b.now(), Lineage: b.Cache.Lineage, Text: "index of " + p.Ref,
		Index: func() (io.ReadCloser, error) { return os.Open(f.Name()) },
	})
	return nil
}

// indexed puts what a layer does to files on top of others, and writes its index.
func indexed(ctx context.Context, on *layered, l v1.Layer, dir string) (path string, err error) {
	ix, err := newIndexFile(dir)
	if err != nil {
		return "", err
	}
	err = on.put(ctx, ix.tee(layer.Open(l)))
	return ix.path(), errors.Join(err, ix.close())
}

// appendIndex adds the index in a file to those in f: its size in bytes, as 8 bytes of
// big-endian, and then the index.
func appendIndex(f *os.File, path string) error {
	one, err := os.Open(path)
	if err != nil {
		return err
	}
	defer one.Close()
	info, err := one.Stat()
	if err != nil {
		return err
	}
	if err := binary.Write(f, binary.BigEndian, info.Size()); err != nil {
		return err
	}
	_, err = io.Copy(f, one)
	return errors.Join(err, os.Remove(path))
}

// maxIndex bounds the index of one layer, in bytes.
const maxIndex = 256 << 20

// readIndexes gives layers the indexes that an entry has of them.
func readIndexes(e *cache.Entry, layers []v1.Layer) ([]v1.Layer, error) {
	r, err := e.Index()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []v1.Layer
	for _, l := range layers {
		var size int64
		if err := binary.Read(r, binary.BigEndian, &size); err != nil {
			return nil, fmt.Errorf("read indexes of layers: %w", err)
		}
		if size < 0 || size > maxIndex {
			return nil, fmt.Errorf("read indexes of layers: one of %d bytes", size)
		}
		raw := make([]byte, size)
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("read indexes of layers: %w", err)
		}
		all = append(all, &indexedLayer{l, raw, e})
	}
	if n, err := io.Copy(io.Discard, r); err != nil || n > 0 {
		return nil, errors.Join(err, errMoreIndexes)
	}
	return all, nil
}

var errMoreIndexes = errors.New("the indexes are not those of the image's layers")
