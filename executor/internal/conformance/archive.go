package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// What has no mtime of its own has one of these: files of contexts, and of base
// images. Both are earlier than any build's start.
const (
	contextTime = 1577836800 // 2020-01-01
	baseTime    = 1262304000 // 2010-01-01
)

// archiver writes entries to a tar.
type archiver struct {
	out io.Writer
	tw  *tar.Writer
	at  time.Time // of what says no time
	// rooted takes the slash off names, as layers have them.
	rooted bool
}

func newArchiver(w io.Writer, at time.Time, rooted bool) *archiver {
	return &archiver{out: w, tw: tar.NewWriter(w), at: at, rooted: rooted}
}

// put writes one entry.
func (a *archiver) put(n node) error {
	h := &tar.Header{Name: n.path, Mode: n.mode, Uid: n.uid, Gid: n.gid, ModTime: n.mtime, Linkname: n.to}
	if n.mtime.IsZero() {
		h.ModTime = a.at
	}
	switch {
	case n.hasMode:
	case n.kind == "symlink":
		h.Mode = 0o777
	case n.kind == "link":
		h.Mode = 0o644 // some unpackers give it to what it leads to
	}
	if a.rooted {
		h.Name = strings.TrimPrefix(h.Name, "/")
		if n.kind == "link" {
			h.Linkname = strings.TrimPrefix(h.Linkname, "/")
		}
		if h.Name == "" {
			h.Name = "."
		}
	}
	for name, value := range n.xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	if h.ModTime.Nanosecond() != 0 {
		h.Format = tar.FormatPAX
	}
	if format, ok := n.line.get("format"); ok {
		switch format {
		case "gnu":
			h.Format = tar.FormatGNU
		case "pax":
			h.Format = tar.FormatPAX
		case "ustar":
			h.Format = tar.FormatUSTAR
		default:
			return fmt.Errorf("unknown tar format %q", format)
		}
	}
	switch n.kind {
	case "file":
		h.Typeflag, h.Size = tar.TypeReg, n.content.size
	case "dir":
		h.Typeflag = tar.TypeDir
		if !strings.HasSuffix(h.Name, "/") {
			h.Name += "/"
		}
	case "symlink":
		h.Typeflag = tar.TypeSymlink
	case "link":
		h.Typeflag = tar.TypeLink
	case "fifo":
		h.Typeflag = tar.TypeFifo
	case "char", "block":
		h.Typeflag = tar.TypeChar
		if n.kind == "block" {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = n.dev[0], n.dev[1]
	default:
		return fmt.Errorf("a tar has no %s", n.kind)
	}
	if err := a.tw.WriteHeader(h); err != nil {
		return err
	}
	if n.kind != "file" {
		return nil
	}
	return n.content.copyTo(a.tw)
}

// copyTo writes the content with its holes as zeros.
func (c content) copyTo(w io.Writer) error {
	if err := zeros(w, c.offset); err != nil {
		return err
	}
	if _, err := w.Write(c.data); err != nil {
		return err
	}
	return zeros(w, c.size-c.offset-int64(len(c.data)))
}

func zeros(w io.Writer, n int64) error {
	block := make([]byte, 64<<10)
	for n > 0 {
		k := min(n, int64(len(block)))
		if _, err := w.Write(block[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// compressed makes a writer in a format: gzip, xz, zstd, or none.
func compressed(w io.Writer, format string) (io.WriteCloser, error) {
	switch format {
	case "", "none":
		return nopCloser{w}, nil
	case "gzip", "gz":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "xz":
		return xz.NewWriter(w)
	case "zstd", "zst":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("unknown compression %q (bzip2 can only be given as base64=)", format)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// tarBytes makes the archive that a tar line describes.
func tarBytes(l line) ([]byte, error) {
	var b bytes.Buffer
	format, _ := l.get("compress")
	z, err := compressed(&b, format)
	if err != nil {
		return nil, err
	}
	a := newArchiver(z, time.Unix(contextTime, 0), false)
	for _, inner := range l.block {
		n, err := inner.node()
		if err != nil {
			return nil, err
		}
		if n.kind == "tar" {
			data, err := tarBytes(inner)
			if err != nil {
				return nil, err
			}
			n.kind, n.content = "file", content{given: true, data: data, size: int64(len(data))}
		}
		if err := a.put(n); err != nil {
			return nil, fmt.Errorf("line %d: %w", inner.number, err)
		}
	}
	if err := a.tw.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// digest is the SHA-256 of the content, in hex.
func (c content) digest() (string, error) {
	sum := sha256.New()
	if err := c.copyTo(sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
