package layer

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Blob is a compressed layer in a file. It can be read by any number of
// readers, from the start, while it is still being written; until then its
// digests and size are [ErrUnfinished]. It is a [v1.Layer].
type Blob struct {
	path      string
	mediaType types.MediaType
	indexed   bool // the archive has eStargz's index

	mu      sync.Mutex
	grown   *sync.Cond
	written int64
	done    bool
	err     error
	digest  v1.Hash
	diffID  v1.Hash
	// annotations are for the layer's descriptor; nil without.
	annotations map[string]string
}

// create starts a blob in a new file of dir.
func create(dir string, c Compression) (*Blob, *os.File, error) {
	f, err := os.CreateTemp(dir, "layer-*.tar"+c.suffix())
	if err != nil {
		return nil, nil, fmt.Errorf("create layer: %w", err)
	}
	b := &Blob{path: f.Name(), mediaType: c.mediaType(), indexed: c.Algorithm.indexed()}
	b.grown = sync.NewCond(&b.mu)
	return b, f, nil
}

// ending is what is known of a blob once it is written.
type ending struct {
	digest, diffID v1.Hash
	annotations    map[string]string
}

func (b *Blob) grow(n int) {
	b.mu.Lock()
	b.written += int64(n)
	b.mu.Unlock()
	b.grown.Broadcast()
}

func (b *Blob) finish(e ending, err error) {
	b.mu.Lock()
	b.done, b.err, b.digest, b.diffID, b.annotations = true, err, e.digest, e.diffID, e.annotations
	b.mu.Unlock()
	b.grown.Broadcast()
}

// WaitFor returns when the blob has n compressed bytes, or no more will come.
func (b *Blob) WaitFor(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.written < n && !b.done {
		b.grown.Wait()
	}
}

func (b *Blob) state() (done bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done, b.err
}

// Digest is the hash of the compressed bytes.
func (b *Blob) Digest() (v1.Hash, error) {
	if done, err := b.state(); !done || err != nil {
		return v1.Hash{}, unfinished(err)
	}
	return b.digest, nil
}

// DiffID is the hash of the tar archive, and of what lies behind it in the uncompressed
// stream.
func (b *Blob) DiffID() (v1.Hash, error) {
	if done, err := b.state(); !done || err != nil {
		return v1.Hash{}, unfinished(err)
	}
	return b.diffID, nil
}

// Size is the number of compressed bytes.
func (b *Blob) Size() (int64, error) {
	if done, err := b.state(); !done || err != nil {
		return 0, unfinished(err)
	}
	return b.written, nil
}

func unfinished(err error) error {
	if err != nil {
		return err
	}
	return ErrUnfinished
}

// MediaType is Docker's for a layer that is gzipped or not compressed, which an image
// of OCI types changes for its own, and OCI's for one of zstd.
func (b *Blob) MediaType() (types.MediaType, error) { return b.mediaType, nil }

// Descriptor is what a manifest says of the layer. It has annotations if single files
// can be read of the blob.
func (b *Blob) Descriptor() (*v1.Descriptor, error) {
	if done, err := b.state(); !done || err != nil {
		return nil, unfinished(err)
	}
	return &v1.Descriptor{MediaType: b.mediaType, Size: b.written, Digest: b.digest, Annotations: maps.Clone(b.annotations)}, nil
}

// Compressed reads the blob from its start, waiting for what is not yet written.
func (b *Blob) Compressed() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	return &follower{blob: b, f: f}, nil
}

// Uncompressed reads the tar archive.
func (b *Blob) Uncompressed() (io.ReadCloser, error) {
	r, err := b.Compressed()
	if err != nil {
		return nil, err
	}
	return Decompress(r)
}

// follower reads a file that grows.
type follower struct {
	blob   *Blob
	f      *os.File
	at     int64
	closed bool // under blob.mu
}

func (r *follower) Read(p []byte) (int, error) {
	left, err := r.wait()
	if err != nil {
		return 0, err
	}
	n, err := r.f.Read(p[:min(int64(len(p)), left)])
	r.at += int64(n)
	return n, err
}

// wait returns how much can be read, waiting until that is something.
func (r *follower) wait() (left int64, err error) {
	b := r.blob
	b.mu.Lock()
	defer b.mu.Unlock()
	for r.at >= b.written && !b.done && !r.closed {
		b.grown.Wait()
	}
	switch {
	case r.closed:
		return 0, os.ErrClosed
	case b.done && b.err != nil:
		return 0, b.err
	case r.at >= b.written:
		return 0, io.EOF
	}
	return b.written - r.at, nil
}

// Close ends a Read that waits: an HTTP client that gives up closes the body and
// then waits for who reads it.
func (r *follower) Close() error {
	r.blob.mu.Lock()
	r.closed = true
	r.blob.mu.Unlock()
	r.blob.grown.Broadcast()
	return r.f.Close()
}

// tarBuffer gathers the archive's 512-byte records for hash and compressor.
const tarBuffer = 256 << 10

// An Encoder compresses and hashes a layer into a new Blob.
type Encoder struct {
	*Writer
	blob   *Blob
	file   *os.File
	packed io.WriteCloser
	tar    *bufio.Writer
	digest hash.Hash
	diffID hash.Hash
	held   time.Duration
}

// EncoderOptions says how layers are written.
type EncoderOptions struct {
	Dir string // where the blob's file is made
	// Workers is how many blocks are compressed at once, at least 1. The result
	// does not depend on it.
	Workers int
	// Clamp brings later times down to it; the zero time leaves all as they are.
	Clamp       time.Time
	Compression Compression
	// Compressors, if not nil, is used by all encoders that share it.
	Compressors *Compressors
}

// NewEncoder starts a layer. It must be ended by Finish or Abort.
func NewEncoder(o EncoderOptions) (*Encoder, error) {
	b, f, err := create(o.Dir, o.Compression)
	if err != nil {
		return nil, err
	}
	e := &Encoder{blob: b, file: f, digest: sha256.New(), diffID: sha256.New()}
	sink := &sink{blob: b, w: io.MultiWriter(f, e.digest)}
	if e.packed, err = o.Compression.writer(sink, o.Workers, o.Dir, o.Compressors); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	e.tar = bufio.NewWriterSize(io.MultiWriter(e.diffID, &timed{e.packed, &e.held}), tarBuffer)
	e.Writer = NewWriter(e.tar, o.Clamp)
	e.Writer.indexed = o.Compression.Algorithm.indexed()
	return e, nil
}

// Blob is the layer being written.
func (e *Encoder) Blob() *Blob { return e.blob }

// Held is how long who writes the layer was held up by the compressor so far: it took
// the bytes over, had no worker free, or, at the end, was not done yet. That is what the
// layer would have been ready sooner without compression, and not the time that
// processors spent on it, of which several may have worked at once.
func (e *Encoder) Held() time.Duration { return e.held }

// Finish ends the layer and returns it.
func (e *Encoder) Finish() (*Blob, error) {
	err := errors.Join(e.Writer.Close(), e.tar.Flush())
	begin := time.Now()
	err = errors.Join(err, e.packed.Close())
	e.held += time.Since(begin)
	err = errors.Join(err, e.file.Close())
	end := ending{digest: sum(e.digest), diffID: sum(e.diffID)}
	if s, ok := e.packed.(described); ok && err == nil {
		end.annotations = s.annotations()
		end.diffID, err = s.diffID()
	}
	if err != nil {
		err = fmt.Errorf("write layer: %w", err)
	}
	e.blob.finish(end, err)
	return e.blob, err
}

// described is a compression that has something to say of the layer once it is closed.
type described interface {
	annotations() map[string]string
	diffID() (v1.Hash, error)
}

// Abort ends the layer with an error that all its readers get, and deletes it.
func (e *Encoder) Abort(err error) {
	e.blob.finish(ending{}, err)
	e.packed.Close()
	e.file.Close()
	os.Remove(e.blob.path)
}

// timed adds up how long writing takes. It is asked once for each tarBuffer, so that
// looking at the clock is nothing beside the work.
type timed struct {
	w    io.Writer
	took *time.Duration
}

func (t *timed) Write(p []byte) (int, error) {
	begin := time.Now()
	n, err := t.w.Write(p)
	*t.took += time.Since(begin)
	return n, err
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", h.Sum(nil))}
}

// sink tells the blob's readers of each piece that is in the file.
type sink struct {
	blob *Blob
	w    io.Writer
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.blob.grow(n)
	return n, err
}
