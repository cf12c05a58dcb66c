package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
)

// stored is a layer of an entry. What it is stands in the entry's manifest; only
// reading it asks for it.
type stored struct {
	from   v1.Layer
	key    cachekey.Key
	desc   v1.Descriptor
	diffID v1.Hash
	// lost tells whether an error of from says that it is gone or damaged, and sees to
	// it that it is not taken for there any more.
	lost func(error) bool
}

var _ v1.Layer = (*stored)(nil)

// Unwrap is the layer where it is.
func (s *stored) Unwrap() v1.Layer { return s.from }

// Digest is that of the compressed bytes.
func (s *stored) Digest() (v1.Hash, error) { return s.desc.Digest, nil }

// DiffID is the digest of the tar archive.
func (s *stored) DiffID() (v1.Hash, error) { return s.diffID, nil }

// Size is the number of compressed bytes.
func (s *stored) Size() (int64, error) { return s.desc.Size, nil }

// MediaType is an OCI layer's.
func (s *stored) MediaType() (types.MediaType, error) { return s.desc.MediaType, nil }

// Descriptor is the layer's entry in the manifest, so that an image says of it what it
// said when it was made.
func (s *stored) Descriptor() (*v1.Descriptor, error) { return s.desc.DeepCopy(), nil }

// Compressed reads the layer as it is stored. io.EOF is read only of what has the
// right digest and size; else the error is a [LostError], or that of the context.
func (s *stored) Compressed() (io.ReadCloser, error) {
	r, err := s.from.Compressed()
	if err != nil {
		return nil, s.explain(err)
	}
	return &storedReader{r: r, of: s}, nil
}

func (s *stored) explain(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &LostError{Key: s.key, Err: err, Away: !s.lost(err)}
}

type storedReader struct {
	r  io.ReadCloser
	of *stored
	n  int64
}

func (r *storedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	switch {
	case err == io.EOF && r.n != r.of.desc.Size:
		// The digest is right, so it is the manifest that is wrong.
		return n, &LostError{Key: r.of.key, Err: fmt.Errorf("%s has %d bytes, not %d", r.of.desc.Digest, r.n, r.of.desc.Size)}
	case err != nil && err != io.EOF:
		err = r.of.explain(err)
	}
	return n, err
}

func (r *storedReader) Close() error { return r.r.Close() }

// Uncompressed reads the tar archive. What cannot be decompressed, or is another
// archive than the entry says, is a [LostError] too.
func (s *stored) Uncompressed() (io.ReadCloser, error) {
	r, err := s.Compressed()
	if err != nil {
		return nil, err
	}
	below := &noting{ReadCloser: r}
	tar, err := layer.Decompress(below)
	if err != nil {
		return nil, s.blame(below, err)
	}
	return &archive{ReadCloser: tar, below: below, of: s, hash: sha256.New()}, nil
}

// blame tells whose fault it is that decompressing failed: that of what could not
// be read, or that of what was.
func (s *stored) blame(below *noting, err error) error {
	if read := below.noted(); read != nil {
		return read
	}
	return &LostError{Key: s.key, Err: err}
}

// noting remembers the error that a reader ended with; it may be read by another
// goroutine than the one that asks.
type noting struct {
	io.ReadCloser
	mu  sync.Mutex
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
	}
	return got, err
}

func (n *noting) noted() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// archive checks the digest of what is read through it, at the end of it.
type archive struct {
	io.ReadCloser
	below *noting
	of    *stored
	hash  hash.Hash
}

func (a *archive) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.hash.Write(p[:n])
	switch {
	case err == io.EOF:
		if got := hex.EncodeToString(a.hash.Sum(nil)); got != a.of.diffID.Hex {
			return n, &LostError{Key: a.of.key, Err: fmt.Errorf("%s is the archive sha256:%s, not %s", a.of.desc.Digest, got, a.of.diffID)}
		}
	case err != nil:
		var lost *LostError
		if !errors.As(err, &lost) {
			err = a.of.blame(a.below, err)
		}
	}
	return n, err
}
