package engine

import (
	"bytes"
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

// A bundle is the indexes of an image's layers, as one entry of the cache has them:
// of each, the lowest first, its size in bytes, as 8 bytes of big-endian, and then
// the index. It is made of whatever passes through the layers, and kept when all of
// them were passed through.
type bundle struct {
	build *build
	image *plan.Image

	mu    sync.Mutex
	paths []string // of the layers' indexes; empty if there is none yet
	left  int
}

func (b *build) newBundle(p *plan.Image, layers int) *bundle {
	return &bundle{build: b, image: p, paths: make([]string, layers), left: layers}
}

// tee passes on what layer i does to files.
func (m *bundle) tee(i int, changes layer.Changes) layer.Changes {
	return m.build.indexing(changes, func(path string) { m.add(i, path) })
}

// indexing passes on what a layer does to files, and tells where its index is.
// Nobody waits for the index: one that cannot be written is not there.
func (b *build) indexing(changes layer.Changes, made func(path string)) layer.Changes {
	ix, err := newIndexFile(b.Spool)
	if err != nil {
		return changes
	}
	return func(yield func(layer.Change, error) bool) {
		whole := true
		for c, err := range ix.tee(changes) {
			whole = err == nil
			if !yield(c, err) {
				whole = false
				break
			}
		}
		if err := ix.close(); whole && err == nil {
			made(ix.path())
		}
	}
}

// lacks reports whether layer i has no index yet.
func (m *bundle) lacks(i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paths[i] == ""
}

func (m *bundle) add(i int, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paths[i] != "" {
		return
	}
	m.paths[i] = path
	if m.left--; m.left > 0 || !m.build.keeps() {
		return
	}
	d := defined(plan.Indexes(m.image.Digest))
	m.build.put(nil, nil, cache.Result{
		Definition: d.text, Created: m.build.now(), Lineage: m.build.Cache.Lineage, Text: "indexes of " + m.image.Ref,
		Index: m.open,
	})
}

// noted gives layers their indexes, if all of them have one by now.
func (m *bundle) noted(layers []v1.Layer) ([]v1.Layer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left > 0 {
		return nil, false
	}
	all := make([]v1.Layer, len(layers))
	for i, l := range layers {
		all[i] = &notedLayer{l, m.paths[i]}
	}
	return all, true
}

// open reads the bundle from its beginning.
func (m *bundle) open() (io.ReadCloser, error) {
	var parts []io.Reader
	var files closers
	for _, path := range m.paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, errors.Join(err, files.Close())
		}
		files = append(files, f)
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, files.Close())
		}
		size := binary.BigEndian.AppendUint64(nil, uint64(info.Size()))
		parts = append(parts, bytes.NewReader(size), f)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(parts...), files}, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
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
