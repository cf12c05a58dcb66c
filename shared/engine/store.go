package engine

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A store keeps the contents of some files, one behind the other, in one file on
// disk: what a COPY still needs of a file system that will not wait for it.
type store struct {
	f    *os.File
	end  int64
	held map[tree.Path]extent
}

// extent is where a content lies in the store.
type extent struct{ at, size int64 }

func newStore(dir string) (*store, error) {
	f, err := os.CreateTemp(dir, "files-*")
	if err != nil {
		return nil, fmt.Errorf("keep files for a later stage: %w", err)
	}
	return &store{f: f, held: map[tree.Path]extent{}}, nil
}

func (s *store) add(p tree.Path, r io.Reader) error {
	n, err := io.Copy(io.NewOffsetWriter(s.f, s.end), r)
	if err != nil {
		return fmt.Errorf("keep %s for a later stage: %w", p.Abs(), err)
	}
	s.held[p] = extent{at: s.end, size: n}
	s.end += n
	return nil
}

func (s *store) open(p tree.Path) (io.ReadCloser, error) {
	x, ok := s.held[p]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", p.Abs(), tree.ErrNoContent)
	}
	return io.NopCloser(io.NewSectionReader(s.f, x.at, x.size)), nil
}

func (s *store) close() error { return errors.Join(s.f.Close(), os.Remove(s.f.Name())) }

// kept is a file system whose metadata is in memory and whose contents, as far
// as anyone will ask for them, are in a store.
type kept struct {
	*tree.Tree
	store *store
}

func (k kept) Open(p tree.Path) (io.ReadCloser, error) { return k.store.open(p) }
