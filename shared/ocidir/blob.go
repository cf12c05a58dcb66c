package ocidir

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DamagedError is a blob in the directory that is not what its name says.
type DamagedError struct {
	Path     string // of the directory
	Want     v1.Hash
	Got      v1.Hash // the same if it was asked for with a wrong size
	WantSize int64   // in bytes
	GotSize  int64   // in bytes
	// Aside says whether the blob was moved aside, so that nobody meets it again.
	Aside bool
}

func (e *DamagedError) Error() string {
	what := fmt.Sprintf("its digest is %s", e.Got)
	if e.WantSize != e.GotSize {
		what = fmt.Sprintf("%d bytes instead of %d", e.GotSize, e.WantSize)
	}
	if e.Aside {
		what += "; it was moved aside"
	}
	return fmt.Sprintf("blob %s in %s is not what it should be: %s", e.Want, e.Path, what)
}

// Hint says what to do about it.
func (e *DamagedError) Hint() string {
	if e.Aside || e.Got == e.Want {
		return ""
	}
	return fmt.Sprintf("remove blobs/%s/%s from %s", e.Want.Algorithm, e.Want.Hex, e.Path)
}

func blobName(h v1.Hash) (string, error) {
	// A hash that was not made by v1.NewHash could lead elsewhere.
	if checked, err := v1.NewHash(h.String()); err != nil || checked != h || h.Algorithm != "sha256" {
		return "", fmt.Errorf("%q is not the digest of a blob", h)
	}
	return path.Join(blobsDir, h.Algorithm, h.Hex), nil
}

// Has reports whether there is a blob of that digest and size. Its content is not
// looked at.
func (d *Dir) Has(desc v1.Descriptor) bool {
	name, err := blobName(desc.Digest)
	if err != nil {
		return false
	}
	info, err := d.root.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == desc.Size
}

// Keep is Has for writers, who are about to make a ref to the blob: a [Dir.Sweep]
// takes it for new.
func (d *Dir) Keep(desc v1.Descriptor) bool {
	name, err := blobName(desc.Digest)
	if err != nil {
		return false
	}
	now := time.Now()
	// Another user's blob cannot be touched, but then who sweeps holds the lock.
	if err := d.root.Chtimes(name, now, now); missing(err) {
		return false
	}
	return d.Has(desc)
}

// Blob reads a blob. io.EOF is read only of content whose digest and size are right;
// other content ends in a [DamagedError], and is moved aside if the directory can be
// written to. A blob that is not there is an [fs.ErrNotExist]. Reading ends with ctx.
func (d *Dir) Blob(ctx context.Context, desc v1.Descriptor) (io.ReadCloser, error) {
	name, err := blobName(desc.Digest)
	if err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read blob %s in %s: %w", desc.Digest, d.path, err)
	}
	r := &blobReader{ctx: ctx, dir: d, file: f, name: name, desc: desc, hash: sha256.New()}
	info, err := f.Stat()
	if err == nil && info.Size() != desc.Size {
		err = r.wrongSize(info.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// blobReader checks a blob at its end.
type blobReader struct {
	ctx  context.Context
	dir  *Dir
	file *os.File
	name string
	desc v1.Descriptor
	hash hash.Hash
	n    int64
	err  error
}

func (r *blobReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.err = context.Cause(r.ctx); r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	r.n += int64(n)
	switch {
	case err == io.EOF:
		err = r.verdict()
	case err != nil:
		err = fmt.Errorf("read blob %s in %s: %w", r.desc.Digest, r.dir.path, err)
	}
	r.err = err
	return n, err
}

func (r *blobReader) Close() error { return r.file.Close() }

// verdict is io.EOF if what was read is what it should be.
func (r *blobReader) verdict() error {
	got := sum(r.hash)
	if got == r.desc.Digest && r.n == r.desc.Size {
		return io.EOF
	}
	e := &DamagedError{Path: r.dir.path, Want: r.desc.Digest, Got: got, WantSize: r.desc.Size, GotSize: r.n}
	// The size that was asked for may be the one that is wrong.
	e.Aside = got != r.desc.Digest && r.moveAside()
	return e
}

// wrongSize reads a blob of another size than was asked for, to know who is wrong.
func (r *blobReader) wrongSize(size int64) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return &DamagedError{Path: r.dir.path, Want: r.desc.Digest, WantSize: r.desc.Size, GotSize: size}
}

// moveAside makes sure that nobody opens the file any more, unless another has taken
// its place.
func (r *blobReader) moveAside() bool {
	mine, err := r.file.Stat()
	if err != nil {
		return false
	}
	now, err := r.dir.root.Lstat(r.name)
	if err != nil || !os.SameFile(mine, now) {
		return err == nil || errors.Is(err, fs.ErrNotExist)
	}
	return r.dir.rename(r.name, path.Join(damagedDir, r.desc.Digest.Hex+"-"+rand.Text())) == nil
}

// Put writes a blob, whether it is there or not, and reads r to its end for that. A
// want.Size below zero means any; content other than wanted is an error, and then
// nothing is kept. Who puts blobs that belong together takes a [Dir.Hold] first.
func (d *Dir) Put(ctx context.Context, r io.Reader, want v1.Descriptor) error {
	if err := d.put(ctx, r, want); err != nil {
		return fmt.Errorf("write blob %s to %s: %w", want.Digest, d.path, err)
	}
	return nil
}

func (d *Dir) put(ctx context.Context, r io.Reader, want v1.Descriptor) error {
	name, err := blobName(want.Digest)
	if err != nil {
		return err
	}
	release, err := d.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	f, err := d.ingest(want.Digest.Hex[:12])
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(f.File, h), untilDone{ctx, r}, make([]byte, 256<<10))
	if got := sum(h); err == nil && (got != want.Digest || want.Size >= 0 && n != want.Size) {
		err = fmt.Errorf("it is %d bytes of digest %s, not %d", n, got, want.Size)
	}
	if err != nil {
		f.discard()
		return err
	}
	return f.publish(name)
}

// PutBytes writes a blob that is in memory, and returns its digest and size.
func (d *Dir) PutBytes(ctx context.Context, content []byte) (v1.Descriptor, error) {
	h := sha256.New()
	h.Write(content)
	desc := v1.Descriptor{Digest: sum(h), Size: int64(len(content))}
	return desc, d.Put(ctx, bytes.NewReader(content), desc)
}

// untilDone ends reading with a context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", h.Sum(nil))}
}
