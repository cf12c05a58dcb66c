package toc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// sizeKey is the annotation with the size of what is compressed, in bytes, which
// containers/storage reads.
const sizeKey = "io.containers.estargz.uncompressed-size"

// Verified is what [Verify] looked at.
type Verified struct {
	Files int   // whose contents were found by the index
	Bytes int64 // of these contents
}

// Verify reads a layer whole, keeps its blob in a file below dir meanwhile, and checks it
// as those do who mount it: the index is the one that the manifest announces, each file
// is found by it and has the content that it says, and the archive is the
// configuration's and as long as the manifest says. A diffID that is zero is not
// compared.
func Verify(ctx context.Context, l v1.Layer, d v1.Descriptor, diffID v1.Hash, dir string) (v Verified, err error) {
	spool, err := os.CreateTemp(dir, "layer-*")
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	if err := fetch(ctx, spool, l, d); err != nil {
		return v, err
	}
	kept := &local{Layer: l, blob: spool}
	i, err := Open(ctx, kept, d)
	if err != nil {
		return v, err
	}
	if err := i.checkAll(ctx, &v); err != nil {
		return v, err
	}
	return v, checkArchive(ctx, kept, d, diffID)
}

// fetch writes a layer's blob, which is checked against its digest on the way.
func fetch(ctx context.Context, to io.Writer, l v1.Layer, d v1.Descriptor) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	got, size, err := v1.SHA256(io.TeeReader(&obedient{ctx, r}, to))
	if err != nil {
		return err
	}
	if got != d.Digest || size != d.Size {
		return fmt.Errorf("its blob is %s of %d bytes, and the manifest says %s of %d", got, size, d.Digest, d.Size)
	}
	return nil
}

// obedient stops where its context does.
type obedient struct {
	ctx context.Context
	io.Reader
}

func (o *obedient) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.Reader.Read(p)
}

// local is a layer whose blob is in a file.
type local struct {
	v1.Layer
	blob *os.File
}

// Range implements [source.Ranged].
func (l *local) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(l.blob, offset, length)), nil
}

// checkAll reads each file by the index.
func (i *Index) checkAll(ctx context.Context, v *Verified) error {
	offsets := i.offsets()
	for at, e := range i.entries {
		if e.Type != "reg" {
			continue
		}
		if err := i.copyFile(ctx, io.Discard, i.file(at, offsets)); err != nil {
			return fmt.Errorf("read %s by the index: %w", e.Name, err)
		}
		v.Files++
		v.Bytes += e.Size
	}
	return nil
}

// checkArchive compares what the blob decompresses to with what is said of it.
func checkArchive(ctx context.Context, l *local, d v1.Descriptor, diffID v1.Hash) error {
	r, err := decompressed(l, d)
	if err != nil {
		return err
	}
	defer r.Close()
	got, size, err := v1.SHA256(&obedient{ctx, r})
	if err != nil {
		return err
	}
	if diffID != (v1.Hash{}) && got != diffID {
		return fmt.Errorf("its archive is %s, and the configuration says %s", got, diffID)
	}
	if want := d.Annotations[sizeKey]; want != "" && want != strconv.FormatInt(size, 10) {
		return fmt.Errorf("its archive is %d bytes, and the manifest says %s", size, want)
	}
	return nil
}

func decompressed(l *local, d v1.Descriptor) (io.ReadCloser, error) {
	return layer.Decompress(io.NopCloser(io.NewSectionReader(l.blob, 0, d.Size)))
}
