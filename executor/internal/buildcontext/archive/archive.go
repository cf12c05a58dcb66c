// Package archive makes a build context of a tar archive that is read once, as it
// streams by: what files there are is kept in memory, and what is in them, one behind
// the other, in a single file.
//
// It owns what an archive may say of files, and refuses what would lead out of it. It
// does not know where an archive comes from, and unpacks nothing.
package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// The names of what is kept of an archive, in the directory given to [Read].
const (
	contentName = "content" // what is in the files
	indexName   = "index"
)

// Files are the files of an archive. They may be used by several goroutines.
type Files struct {
	tree    tree.Tree
	places  map[tree.Path]place
	content *os.File
	bulk    layer.Bulk
}

// place is where a file's content is, and what it is.
type place struct {
	offset int64
	sum    [sha256.Size]byte
}

// Read reads an archive to its end and keeps it in the directory dir, which must exist
// and have nothing of another archive. The archive may be plain, or compressed with
// gzip, zstd, xz or bzip2. What is wrong with it is an [Error], and with r the error of r.
func Read(ctx context.Context, r io.Reader, dir string) (*Files, error) {
	content, err := os.OpenFile(filepath.Join(dir, contentName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the files of an archive: %w", err)
	}
	f := &Files{places: map[tree.Path]place{}, content: content}
	if err := f.read(ctx, r); err != nil {
		content.Close()
		return nil, err
	}
	return f, nil
}

// Close forgets the content, but leaves it where it is.
func (f *Files) Close() error { return f.content.Close() }

// Walk implements [tree.FS].
func (f *Files) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return f.tree.Walk(from) }

// Prune implements [tree.Pruner].
func (f *Files) Prune(from tree.Path, skip func(tree.Path, tree.Type) bool) iter.Seq2[tree.Entry, error] {
	return f.tree.Prune(from, skip)
}

// List implements [tree.Lister].
func (f *Files) List(dir tree.Path) iter.Seq2[tree.Entry, error] { return f.tree.List(dir) }

// Open implements [tree.FS].
func (f *Files) Open(p tree.Path) (io.ReadCloser, error) {
	n, ok := f.tree.Lookup(p)
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	case n.Type != tree.File:
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: errors.New("not a regular file")}
	}
	return io.NopCloser(io.NewSectionReader(f.content, f.places[p].offset, n.Size)), nil
}

// Digest implements [tree.Digested].
func (f *Files) Digest(p tree.Path) (sum [sha256.Size]byte, ok bool) {
	n, ok := f.tree.Lookup(p)
	if !ok || n.Type != tree.File {
		return sum, false
	}
	return f.places[p].sum, true
}
