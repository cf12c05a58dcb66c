package archive

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// record is an entry in the index file, in the order of a walk. Both ends are the same
// program, so the form is gob's.
type record struct {
	Path  tree.Path
	Node  tree.Node
	Hard  tree.Path
	Place int64
	Sum   [32]byte
}

// Save writes what is known of the files beside their content, for [Load] in another
// process.
func (f *Files) Save() (err error) {
	file, err := os.OpenFile(filepath.Join(filepath.Dir(f.content.Name()), indexName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return &diskError{err}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b := bufio.NewWriter(file)
	out := gob.NewEncoder(b)
	for e, err := range f.tree.Walk(tree.Root) {
		if err != nil {
			return err
		}
		at := f.places[e.Path]
		if err := out.Encode(record{Path: e.Path, Node: e.Node, Hard: e.Hard, Place: at.offset, Sum: at.sum}); err != nil {
			return &diskError{err}
		}
	}
	if err := b.Flush(); err != nil {
		return &diskError{err}
	}
	return nil
}

// Load opens what [Read] kept in a directory and Save noted there.
func Load(dir string) (*Files, error) {
	index, err := os.Open(filepath.Join(dir, indexName))
	if err != nil {
		return nil, fmt.Errorf("open what was kept of an archive: %w", err)
	}
	defer index.Close()
	content, err := os.Open(filepath.Join(dir, contentName))
	if err != nil {
		return nil, fmt.Errorf("open what was kept of an archive: %w", err)
	}
	f := &Files{places: map[tree.Path]place{}, content: content}
	if err := f.load(gob.NewDecoder(bufio.NewReader(index))); err != nil {
		return nil, errors.Join(fmt.Errorf("read what was kept of an archive: %w", err), content.Close())
	}
	return f, nil
}

func (f *Files) load(in *gob.Decoder) error {
	for {
		var r record
		switch err := in.Decode(&r); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if r.Hard != "" {
			if err := f.tree.Link(r.Path, r.Hard); err != nil {
				return err
			}
		} else {
			f.tree.Put(r.Path, r.Node)
		}
		if r.Node.Type == tree.File {
			f.places[r.Path] = place{r.Place, r.Sum}
		}
	}
}
