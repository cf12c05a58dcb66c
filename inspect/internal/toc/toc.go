// Package toc reads layers that have an index (eStargz, zstd:chunked): what is in
// them without reading them, and single files without the rest. An index is believed
// only if it is the one that the manifest announces, and a file only if its content is
// what the index says.
package toc

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

const (
	// MaxEntries bounds the entries of a layer: what is known of each is in memory, about
	// half a kilobyte.
	MaxEntries = 4_000_000

	// Key is the annotation by which a manifest announces a layer's index: its digest.
	Key = estargz.TOCJSONDigestAnnotation

	maxIndex  = 256 << 20 // bytes of an index, compressed
	maxFooter = 1 << 10
	maxChunk  = 64 << 20 // bytes of a part of a file that are checked before they are handed out
)

// Index is what an indexed layer says of its entries.
type Index struct {
	// Digest is that of the index, as the manifest has it.
	Digest  v1.Hash
	desc    v1.Descriptor
	ranged  source.Ranged
	format  estargz.Decompressor
	at      int64 // where it lies in the blob
	entries []*estargz.TOCEntry
}

// ErrUnranged says that parts of a layer's blob cannot be read.
var ErrUnranged = errors.New("parts of it cannot be read from where it is kept")

// Announced tells whether the manifest announces an index of a layer.
func Announced(d v1.Descriptor) bool { return d.Annotations[Key] != "" }

// Format is how a layer's blob is made of its archive, by what the manifest says of it:
// gzip, zstd, none, and of layers with an index estargz or zstd:chunked.
func Format(d v1.Descriptor) string {
	mt := string(d.MediaType)
	switch zstd := strings.HasSuffix(mt, "zstd"); {
	case zstd && Announced(d):
		return "zstd:chunked"
	case zstd:
		return "zstd"
	case strings.HasSuffix(mt, "gzip") && Announced(d):
		return "estargz"
	case strings.HasSuffix(mt, "gzip"):
		return "gzip"
	}
	return "none"
}

// Open reads the footer of a layer's blob and then the index, which must be the one
// that the manifest announces.
func Open(ctx context.Context, l v1.Layer, d v1.Descriptor) (*Index, error) {
	i := &Index{desc: d, format: &estargz.GzipDecompressor{}}
	if strings.HasSuffix(string(d.MediaType), "zstd") {
		i.format = &zstdchunked.Decompressor{}
	}
	var ok bool
	if i.ranged, ok = layer.As[source.Ranged](l); !ok {
		return nil, ErrUnranged
	}
	size := i.format.FooterSize()
	if size > maxFooter || d.Size < size {
		return nil, fmt.Errorf("%d bytes are too few for an index", d.Size)
	}
	footer, err := i.part(ctx, d.Size-size, size)
	if err != nil {
		return nil, err
	}
	_, at, length, err := i.format.ParseFooter(footer)
	if err != nil {
		return nil, fmt.Errorf("read where its index is: %w", err)
	}
	if length <= 0 {
		length = d.Size - size - at
	}
	if i.at = at; at < 0 || length <= 0 || length > maxIndex || at+length > d.Size {
		return nil, fmt.Errorf("its index is said to be %d bytes at %d, of %d", length, at, d.Size)
	}
	return i, i.parse(ctx, at, length)
}

func (i *Index) parse(ctx context.Context, at, length int64) error {
	raw, err := i.part(ctx, at, length)
	if err != nil {
		return err
	}
	contents, digest, err := i.format.ParseTOC(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("read its index: %w", err)
	}
	if want := i.desc.Annotations[Key]; digest.String() != want {
		return fmt.Errorf("its index is %s, and the manifest says %s", digest, want)
	}
	if i.Digest, err = v1.NewHash(digest.String()); err != nil {
		return err
	}
	if len(contents.Entries) > MaxEntries {
		return fmt.Errorf("it has more than %d entries", MaxEntries)
	}
	i.entries = contents.Entries
	return nil
}

// part reads a part of the blob whole.
func (i *Index) part(ctx context.Context, at, length int64) ([]byte, error) {
	r, err := i.ranged.Range(ctx, at, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw := make([]byte, length)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, fmt.Errorf("read bytes %d to %d: %w", at, at+length-1, err)
	}
	return raw, nil
}

// Members are the entries as an archive's headers would have them, as far as an index
// knows.
func (i *Index) Members() []treediff.Member {
	var all []treediff.Member
	// A name is written only where it is not the last one that the number had.
	users, groups := map[int]string{}, map[int]string{}
	for _, e := range i.entries {
		kind, ok := typeFlag(e.Type)
		if !ok {
			continue // a later part of a file
		}
		if e.Uname != "" {
			users[e.UID] = e.Uname
		}
		if e.Gname != "" {
			groups[e.GID] = e.Gname
		}
		h := &tar.Header{
			Typeflag: kind, Name: e.Name, Linkname: e.LinkName, Mode: e.Mode, Uid: e.UID, Gid: e.GID,
			Uname: users[e.UID], Gname: groups[e.GID], Size: e.Size, Devmajor: int64(e.DevMajor), Devminor: int64(e.DevMinor),
		}
		if t, err := time.Parse(time.RFC3339, e.ModTime3339); err == nil {
			h.ModTime = t
		}
		for name, value := range e.Xattrs {
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords["SCHILY.xattr."+name] = string(value)
		}
		m := treediff.Member{Header: h}
		if m.IsFile() {
			m.Size, m.Digest = e.Size, strings.TrimPrefix(e.Digest, "sha256:")
			if e.Size == 0 && m.Digest == "" {
				m.Digest = emptyDigest()
			}
		}
		all = append(all, m)
	}
	return all
}

func emptyDigest() string { return fmt.Sprintf("%x", sha256.Sum256(nil)) }

func typeFlag(name string) (byte, bool) {
	switch name {
	case "reg":
		return tar.TypeReg, true
	case "dir":
		return tar.TypeDir, true
	case "symlink":
		return tar.TypeSymlink, true
	case "hardlink":
		return tar.TypeLink, true
	case "char":
		return tar.TypeChar, true
	case "block":
		return tar.TypeBlock, true
	case "fifo":
		return tar.TypeFifo, true
	}
	return 0, false
}
