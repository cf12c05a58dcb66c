package compare

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// Ranged is a layer of whose blob parts can be read.
type Ranged interface {
	// Range reads length bytes of the blob from an offset on.
	Range(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

const (
	maxIndex       = 256 << 20 // bytes of an index, compressed
	maxFileRange   = 4 << 20   // bytes of a text's compressed units, which may hold more than it
	maxIndexFooter = 1 << 10
)

// index is what an indexed layer (eStargz, zstd:chunked) says of its entries.
type index struct {
	of      *blob
	ranged  Ranged
	format  estargz.Decompressor
	at      int64 // where it lies in the blob
	entries []*estargz.TOCEntry
}

// errUnranged says that parts of a layer's blob cannot be read.
var errUnranged = errors.New("parts of it cannot be read from where it is kept")

// readIndex reads the footer of a layer's blob and then the index, which must be the
// one that the manifest announces.
func (l *blob) readIndex(ctx context.Context) (*index, error) {
	v, err := l.layer()
	if err != nil {
		return nil, err
	}
	i := &index{of: l, format: &estargz.GzipDecompressor{}}
	if l.codec() == "zstd" {
		i.format = &zstdchunked.Decompressor{}
	}
	var ok bool
	if i.ranged, ok = layer.As[Ranged](v); !ok {
		return nil, errUnranged
	}
	size := i.format.FooterSize()
	if size > maxIndexFooter || l.desc.Size < size {
		return nil, fmt.Errorf("%d bytes are too few for an index", l.desc.Size)
	}
	footer, err := i.part(ctx, l.desc.Size-size, size)
	if err != nil {
		return nil, err
	}
	_, at, length, err := i.format.ParseFooter(footer)
	if err != nil {
		return nil, fmt.Errorf("read where its index is: %w", err)
	}
	if length <= 0 {
		length = l.desc.Size - size - at
	}
	if i.at = at; at < 0 || length <= 0 || length > maxIndex || at+length > l.desc.Size {
		return nil, fmt.Errorf("its index is said to be %d bytes at %d, of %d", length, at, l.desc.Size)
	}
	return i, i.parse(ctx, at, length)
}

func (i *index) parse(ctx context.Context, at, length int64) error {
	raw, err := i.part(ctx, at, length)
	if err != nil {
		return err
	}
	toc, digest, err := i.format.ParseTOC(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("read its index: %w", err)
	}
	if want := i.of.desc.Annotations[estargz.TOCJSONDigestAnnotation]; digest.String() != want {
		return fmt.Errorf("its index is %s, and the manifest says %s", digest, want)
	}
	if len(toc.Entries) > maxEntries {
		return fmt.Errorf("it has more than %d entries", maxEntries)
	}
	i.entries = toc.Entries
	return nil
}

// part reads a part of the blob whole.
func (i *index) part(ctx context.Context, at, length int64) ([]byte, error) {
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

// members are the entries as an archive's headers would have them, as far as an index
// knows.
func (i *index) members() []treediff.Member {
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

// content reads a file of at most [MaxText] bytes, by its part of the blob alone.
func (i *index) content(ctx context.Context, name string) ([]byte, error) {
	at := slices.IndexFunc(i.entries, func(e *estargz.TOCEntry) bool { return e.Type == "reg" && e.Name == name })
	if at < 0 || i.entries[at].Size > MaxText {
		return nil, fmt.Errorf("read %s: it is not a small file of the index", name)
	}
	e := i.entries[at]
	if e.Size == 0 {
		return nil, nil
	}
	last := e.Offset
	for _, part := range i.entries[at+1:] {
		if part.Type != "chunk" {
			break
		}
		last = max(last, part.Offset)
	}
	end := i.at
	for _, other := range i.entries {
		if other.Offset > last {
			end = min(end, other.Offset)
		}
	}
	if e.Offset < 0 || end-e.Offset > maxFileRange || end <= e.Offset {
		return nil, fmt.Errorf("read %s: it is said to be %d bytes of the blob", name, end-e.Offset)
	}
	raw, err := i.part(ctx, e.Offset, end-e.Offset)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return i.unpack(e, raw)
}

// unpack decompresses a file's units; what comes out must be what the index says.
func (i *index) unpack(e *estargz.TOCEntry, raw []byte) ([]byte, error) {
	r, err := i.format.Reader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, e.InnerOffset); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	content := make([]byte, e.Size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(content)); got != e.Digest {
		return nil, fmt.Errorf("read %s: its content is %s, and the index says %s", e.Name, got, e.Digest)
	}
	return content, nil
}
