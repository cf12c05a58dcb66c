// Package files shows the files of an image as a container would see them, without
// unpacking any: whiteouts applied, links followed below the root of the image and
// never out of it. It reads layers from the top, and no further down than it must; of
// those with an index only that and what is asked for.
package files

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

// What marks deletions (OCI image spec, layer.md, "Whiteouts").
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// indexName is the entry that eStargz adds to an archive, and that is no file of the
// image.
const indexName = "/stargz.index.json"

// Entry is a path of an image.
type Entry struct {
	Path   string // with a leading slash
	Header *tar.Header
	// Digest is, of a regular file, the SHA-256 of its content, in hex.
	Digest string
	Layer  int // the one that has it, from 1
	// Implied says that it is a directory only because something is in it: no layer
	// says how it is to be.
	Implied bool
	at      int // its place in the archive, if that was read
}

// Type is what the entry is: file, dir, symlink, hardlink, char, block or fifo.
func (e *Entry) Type() string {
	switch e.Header.Typeflag {
	case tar.TypeDir:
		return "dir"
	case tar.TypeSymlink:
		return "symlink"
	case tar.TypeLink:
		return "hardlink"
	case tar.TypeChar:
		return "char"
	case tar.TypeBlock:
		return "block"
	case tar.TypeFifo:
		return "fifo"
	}
	return "file"
}

// Layer is a layer of an image, of which nothing is read before it is needed.
type Layer struct {
	N      int // its number, from 1
	Layer  v1.Layer
	Desc   v1.Descriptor
	Reason string // why the archive was read although an index was announced; empty if it was not
	index  *toc.Index
	list   *listing
}

// listing is what a layer has, by paths with a leading slash.
type listing struct {
	order   []*Entry // as the archive has them
	entries map[string]*Entry
	gone    []string // paths that are deleted, with what is below them
	closed  []string // directories of which nothing of lower layers shows
	spool   map[string]*os.File
}

// ByIndex tells whether the layer's entries are known from its index.
func (l *Layer) ByIndex() bool { return l.index != nil }

// Entries are all that the layer has, in its order, marks of deletions included.
func (l *Layer) Entries(ctx context.Context) ([]*Entry, error) {
	if err := l.read(ctx, "", nil); err != nil {
		return nil, err
	}
	return l.list.order, nil
}

// read reads what the layer has, unless that is known. Where the archive is read for
// it, the content of the file wanted is kept in a file that keep makes.
func (l *Layer) read(ctx context.Context, wanted string, keep func() (*os.File, error)) error {
	if l.list != nil {
		return nil
	}
	if toc.Announced(l.Desc) {
		index, err := toc.Open(ctx, l.Layer, l.Desc)
		if err == nil {
			err = checkNames(index)
		}
		if err == nil {
			l.readIndex(index)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		l.Reason = err.Error()
	}
	if err := l.readArchive(ctx, wanted, keep); err != nil {
		return fmt.Errorf("read layer %d: %w", l.N, err)
	}
	return nil
}

func newListing() *listing {
	return &listing{entries: map[string]*Entry{}, spool: map[string]*os.File{}}
}

func (l *Layer) readIndex(index *toc.Index) {
	l.index, l.list = index, newListing()
	for _, m := range index.Members() {
		l.list.add(m.Header, m.Digest, l.N)
	}
}

func (l *Layer) readArchive(ctx context.Context, wanted string, keep func() (*os.File, error)) error {
	list := newListing()
	err := l.stream(ctx, func(n int, h *tar.Header, content io.Reader) error {
		if len(list.order) == toc.MaxEntries {
			return fmt.Errorf("it has more than %d entries", toc.MaxEntries)
		}
		e := list.add(h, "", l.N)
		if e == nil || e.Type() != "file" {
			return nil
		}
		e.at = n
		sum := sha256.New()
		to := io.Writer(sum)
		if e.Path == wanted && keep != nil {
			file, err := keep()
			if err != nil {
				return err
			}
			list.spool[wanted] = file // of several entries the last counts
			to = io.MultiWriter(sum, file)
		}
		if _, err := io.Copy(to, content); err != nil {
			return err
		}
		e.Digest = fmt.Sprintf("%x", sum.Sum(nil))
		return nil
	})
	if err == nil {
		l.list = list
	}
	return err
}

// add notes an entry, and returns it if it is one that containers see.
func (l *listing) add(h *tar.Header, digest string, n int) *Entry {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	p := path.Clean("/" + h.Name)
	if p == indexName {
		return nil
	}
	if h.Typeflag == tar.TypeRegA || h.Typeflag == tar.TypeGNUSparse {
		h.Typeflag = tar.TypeReg
	}
	e := &Entry{Path: p, Header: h, Digest: digest, Layer: n}
	l.order = append(l.order, e)
	dir, base := path.Split(p)
	dir = path.Clean(dir)
	switch {
	case base == opaque:
		l.closed = append(l.closed, dir)
		return nil
	case strings.HasPrefix(base, whiteout):
		if target := strings.TrimPrefix(base, whiteout); target != "" && target != "." && target != ".." {
			l.gone = append(l.gone, path.Join(dir, target))
		}
		return nil
	}
	if h.Typeflag != tar.TypeDir {
		l.closed = append(l.closed, p)
	}
	l.entries[p] = e
	return e
}

// maxName bounds a path, in bytes: Linux's PATH_MAX. The time that a path takes grows with
// the square of its length.
const maxName = 4096

func checkName(h *tar.Header) error {
	if len(h.Name) > maxName || len(h.Linkname) > maxName {
		return fmt.Errorf("a path of %.80q has more than %d bytes", h.Name, maxName)
	}
	return nil
}

func checkNames(index *toc.Index) error {
	for _, m := range index.Members() {
		if err := checkName(m.Header); err != nil {
			return err
		}
	}
	return nil
}

// maxContent bounds what all files of an archive have, in bytes, with their holes: a few
// bytes can say that a file is endless.
const maxContent = 1 << 40

// stream reads the layer's archive to its end, so that its digest is checked.
func (l *Layer) stream(ctx context.Context, see func(int, *tar.Header, io.Reader) error) error {
	r, err := l.Layer.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	archive := tar.NewReader(r)
	left := int64(maxContent)
	for n := 0; ; n++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = checkName(h)
		}
		if err == nil {
			if left -= h.Size; left < 0 {
				err = fmt.Errorf("with %.80q all files have more than %d bytes", h.Name, int64(maxContent))
			}
		}
		if err == nil {
			err = see(n, h, archive)
		}
		if err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// copy writes the content of a regular file of the layer.
func (l *Layer) copy(ctx context.Context, w io.Writer, e *Entry) error {
	if e.Header.Size == 0 {
		return nil
	}
	if l.index != nil {
		return l.index.Copy(ctx, w, e.Header.Name)
	}
	if spool := l.list.spool[e.Path]; spool != nil {
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(w, spool)
		return err
	}
	return l.stream(ctx, func(n int, _ *tar.Header, content io.Reader) error {
		if n != e.at {
			return nil
		}
		_, err := io.Copy(w, content)
		return err
	})
}
