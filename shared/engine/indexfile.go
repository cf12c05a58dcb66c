package engine

import (
	"errors"
	"fmt"
	"os"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// indexFile is an index under way; nil if none is wanted.
type indexFile struct {
	file *os.File
	*layer.IndexWriter
}

func newIndexFile(dir string) (*indexFile, error) {
	f, err := os.CreateTemp(dir, "index-*")
	if err != nil {
		return nil, fmt.Errorf("create index of a layer: %w", err)
	}
	w, err := layer.NewIndexWriter(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &indexFile{f, w}, nil
}

func (i *indexFile) tee(changes layer.Changes) layer.Changes {
	if i == nil {
		return changes
	}
	return i.Tee(changes)
}

func (i *indexFile) path() string {
	if i == nil {
		return ""
	}
	return i.file.Name()
}

func (i *indexFile) close() error {
	if i == nil {
		return nil
	}
	return errors.Join(i.Close(), i.file.Close())
}

// abort is close for an index that nobody will read: it says itself that it is not whole.
func (i *indexFile) abort() {
	if i != nil {
		_ = i.close()
	}
}
