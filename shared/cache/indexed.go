package cache

import (
	"bytes"
	"io"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// indexed is a stored layer with an index.
type indexed struct {
	*stored
	index *stored
}

var _ layer.Indexed = (*indexed)(nil)

// Index implements [layer.Indexed]. Without all of the index, as it was put, there
// is none, and the layer itself has to be read. One that was put in another form
// ends in a [LostError].
func (i *indexed) Index() (layer.Changes, bool) {
	r, err := i.index.Compressed()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	raw, err := io.ReadAll(r) // of the size in its descriptor, which is bounded
	if err != nil {
		return nil, false
	}
	return i.changes(raw), true
}

func (i *indexed) changes(raw []byte) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for c, err := range layer.ReadIndex(bytes.NewReader(raw)) {
			if err != nil {
				err = &LostError{Key: i.key, Err: err}
			}
			if !yield(c, err) {
				return
			}
		}
	}
}
