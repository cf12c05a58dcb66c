package toc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sort"

	"github.com/containerd/stargz-snapshotter/estargz"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// NotFileError says that an index has no file of a name.
type NotFileError struct{ Name string }

// Error implements error.
func (e *NotFileError) Error() string {
	return fmt.Sprintf("read %s: it is no file of the index", e.Name)
}

// Copy writes the content of a file, by its part of the blob alone. Each piece is
// checked before it is written; of pieces larger than 64 MiB, or without a digest of
// their own, only the whole is, at the end.
func (i *Index) Copy(ctx context.Context, w io.Writer, name string) error {
	f, err := i.find(name)
	if err != nil {
		return err
	}
	if err := i.copyFile(ctx, w, f); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// file is the entry of a file and those of its further pieces.
type file struct {
	*estargz.TOCEntry
	pieces []*estargz.TOCEntry // the entry is the first
	end    int64               // of its part of the blob
}

// find finds the last file of a name.
func (i *Index) find(name string) (*file, error) {
	for at := len(i.entries) - 1; at >= 0; at-- {
		if e := i.entries[at]; e.Type == "reg" && e.Name == name {
			return i.file(at, i.offsets()), nil
		}
	}
	return nil, &NotFileError{name}
}

// offsets are where parts of files begin in the blob, and where the index does.
func (i *Index) offsets() []int64 {
	all := []int64{i.at}
	for _, e := range i.entries {
		all = append(all, e.Offset)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	return all
}

// file is the one whose entry is at that place of the index.
func (i *Index) file(at int, offsets []int64) *file {
	f := &file{TOCEntry: i.entries[at], pieces: i.entries[at : at+1]}
	last := f.Offset
	for n, e := range i.entries[at+1:] {
		if e.Type != "chunk" {
			break
		}
		last = max(last, e.Offset)
		f.pieces = i.entries[at : at+n+2]
	}
	next := sort.Search(len(offsets), func(n int) bool { return offsets[n] > last })
	if f.end = i.at; next < len(offsets) {
		f.end = min(f.end, offsets[next])
	}
	return f
}

func (i *Index) copyFile(ctx context.Context, w io.Writer, f *file) error {
	if f.Size == 0 {
		return nil
	}
	if f.Offset < 0 || f.end <= f.Offset || f.Size < 0 {
		return fmt.Errorf("it is said to be %d bytes of the blob", f.end-f.Offset)
	}
	part, err := i.ranged.Range(ctx, f.Offset, f.end-f.Offset)
	if err != nil {
		return err
	}
	defer part.Close()
	r, err := i.format.Reader(part)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, f.InnerOffset); err != nil {
		return err
	}
	sum := sha256.New()
	for n, e := range f.pieces {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyPiece(io.MultiWriter(w, sum), r, e, f.pieceSize(n)); err != nil {
			return err
		}
	}
	if got := digestOf(sum); got != f.Digest {
		return fmt.Errorf("its content is %s, and the index says %s", got, f.Digest)
	}
	return nil
}

// pieceSize is how many bytes of the file a piece has: what it says, or all up to the
// next one.
func (f *file) pieceSize(n int) int64 {
	if size := f.pieces[n].ChunkSize; size > 0 {
		return size
	}
	end := f.Size
	if n+1 < len(f.pieces) {
		end = f.pieces[n+1].ChunkOffset
	}
	return end - f.pieces[n].ChunkOffset
}

func copyPiece(w io.Writer, r io.Reader, e *estargz.TOCEntry, size int64) error {
	if size < 0 {
		return fmt.Errorf("a part of it is said to be %d bytes", size)
	}
	if e.ChunkDigest == "" || size > maxChunk {
		_, err := io.CopyN(w, r, size)
		return err
	}
	var piece bytes.Buffer
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(&piece, sum), r, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if got := digestOf(sum); got != e.ChunkDigest {
		return fmt.Errorf("the bytes from %d on are %s, and the index says %s", e.ChunkOffset, got, e.ChunkDigest)
	}
	_, err := piece.WriteTo(w)
	return err
}

func digestOf(sum hash.Hash) string {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}.String()
}
