package engine

import (
	"bytes"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/layer"
)

// indexedLayer is a layer of which the cache has the index.
type indexedLayer struct {
	v1.Layer
	index []byte
	from  *cache.Entry
}

var _ layer.Indexed = (*indexedLayer)(nil)

// Unwrap is the layer as the image has it.
func (l *indexedLayer) Unwrap() v1.Layer { return l.Layer }

// Index implements [layer.Indexed]. An index that cannot be read is that of an entry
// which is of no use.
func (l *indexedLayer) Index() (layer.Changes, bool) {
	return func(yield func(layer.Change, error) bool) {
		for c, err := range layer.ReadIndex(bytes.NewReader(l.index)) {
			if err != nil {
				err = &cache.LostError{Key: l.from.Key, Err: err}
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}, true
}

// notedLayer is a layer of which this build has the index, in a file.
type notedLayer struct {
	v1.Layer
	path string
}

var _ layer.Indexed = (*notedLayer)(nil)

// Unwrap is the layer as the image has it.
func (l *notedLayer) Unwrap() v1.Layer { return l.Layer }

// Index implements [layer.Indexed].
func (l *notedLayer) Index() (layer.Changes, bool) {
	return func(yield func(layer.Change, error) bool) {
		f, err := os.Open(l.path)
		if err != nil {
			yield(layer.Change{}, err)
			return
		}
		defer f.Close()
		for c, err := range layer.ReadIndex(f) {
			if !yield(c, err) {
				return
			}
		}
	}, true
}
