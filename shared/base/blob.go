package base

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// baseLayer is a registry's layer that is read from the directory.
type baseLayer struct {
	*registry.Layer
	ctx context.Context
	dir *Dir
}

// Compressed reads the layer behind whoever fetches it. io.EOF is read only of
// content whose digest and size are right.
func (l *baseLayer) Compressed() (io.ReadCloser, error) {
	b, err := l.dir.blob(l.Layer)
	if err != nil {
		return nil, err
	}
	return b.open(l.ctx, l.Layer), nil
}

// Uncompressed is the layer's tar archive; see Compressed.
func (l *baseLayer) Uncompressed() (io.ReadCloser, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return layer.Decompress(r)
}

// blob is the bytes of a layer: a file that grows as long as somebody reads.
type blob struct {
	dir  *Dir
	from *registry.Layer
	desc v1.Descriptor
	file *os.File

	mu      sync.Mutex
	changed *sync.Cond
	n       int64 // bytes in the file
	hash    hash.Hash
	done    bool  // all of them are there, and right
	err     error // what ended the last attempt to fetch
	readers int
	running bool               // somebody fetches
	pause   context.CancelFunc // makes them stop
}

func newBlob(d *Dir, l *registry.Layer, desc v1.Descriptor) (*blob, error) {
	h, err := v1.Hasher(desc.Digest.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("open layer %s: %w", desc.Digest, err)
	}
	f, err := d.root.OpenFile(desc.Digest.Algorithm+"-"+desc.Digest.Hex, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make room for layer %s: %w", desc.Digest, err)
	}
	b := &blob{dir: d, from: l, desc: desc, file: f, hash: h}
	b.changed = sync.NewCond(&b.mu)
	return b, nil
}

// open makes a reader, and has the blob fetched if nobody does: from where the
// reader's layer is, for it may be gone from where it was when it was first opened.
func (b *blob) open(ctx context.Context, from *registry.Layer) *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers++
	if !b.done && !b.running {
		b.from = from
		var corrupt *registry.CorruptError
		if errors.As(b.err, &corrupt) {
			b.n = 0
			b.hash.Reset()
		}
		b.err = nil
		b.running = true
		b.dir.work.Go(func() { b.run(context.WithoutCancel(ctx)) })
	}
	r := &reader{b: b, ctx: ctx}
	r.unbind = context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})
	return r
}

// run fetches until there is all, or it fails, or nobody reads any more. ctx has
// the values of who opened the blob first, for traces; its end is the
// directory's.
func (b *blob) run(ctx context.Context) {
	for {
		paused, cancel := context.WithCancel(ctx)
		unbind := context.AfterFunc(b.dir.ctx, cancel)
		b.mu.Lock()
		b.pause = cancel
		if b.readers == 0 {
			cancel()
		}
		b.mu.Unlock()

		err := b.fetch(paused)
		unbind()
		idle := paused.Err() != nil && b.dir.ctx.Err() == nil
		cancel()

		b.mu.Lock()
		if err != nil && idle && b.readers > 0 {
			b.mu.Unlock() // somebody came back
			continue
		}
		b.done = err == nil
		if err != nil && !idle {
			b.err = err
		}
		b.running = false
		b.changed.Broadcast()
		b.mu.Unlock()
		return
	}
}

// fetch goes on where the file ends.
func (b *blob) fetch(ctx context.Context) error {
	select {
	case b.dir.pulls <- struct{}{}:
		defer func() { <-b.dir.pulls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := b.from.OpenAt(ctx, b.n)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := b.file.WriteAt(buf[:n], b.n); err != nil {
				return fmt.Errorf("keep layer %s: %w", b.desc.Digest, err)
			}
			b.hash.Write(buf[:n])
			b.mu.Lock()
			b.n += int64(n)
			b.changed.Broadcast()
			b.mu.Unlock()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	got := v1.Hash{Algorithm: b.desc.Digest.Algorithm, Hex: fmt.Sprintf("%x", b.hash.Sum(nil))}
	if got != b.desc.Digest || b.n != b.desc.Size {
		at := b.from.Ref()
		return &registry.Error{
			Attempt: "pull layer " + at.Name(), Host: at.RegistryStr(), Repository: at.RepositoryStr(),
			Err: &registry.CorruptError{Want: b.desc.Digest, Got: got, WantSize: b.desc.Size, GotSize: b.n},
		}
	}
	return nil
}

func (b *blob) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done && b.err == nil {
		b.err = os.ErrClosed
	}
	b.changed.Broadcast()
	return b.file.Close()
}

// reader reads a blob from its beginning, at its own pace.
type reader struct {
	b      *blob
	ctx    context.Context
	unbind func() bool
	off    int64
	closed bool // under b.mu
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := r.b
	b.mu.Lock()
	for {
		var err error
		switch {
		case r.closed:
			err = os.ErrClosed
		case r.off < b.n:
		case b.done:
			err = io.EOF
		case b.err != nil:
			err = b.err
		case r.ctx.Err() != nil:
			err = context.Cause(r.ctx)
		default:
			b.changed.Wait()
			continue
		}
		if err != nil {
			b.mu.Unlock()
			return 0, err
		}
		break
	}
	have := b.n - r.off
	b.mu.Unlock()
	n, err := b.file.ReadAt(p[:min(int64(len(p)), have)], r.off)
	r.off += int64(n)
	if err != nil && n == 0 {
		return 0, fmt.Errorf("read layer %s: %w", b.desc.Digest, err)
	}
	return n, nil
}

// Close lets go of the blob. Nothing more of it is fetched if nobody else reads.
func (r *reader) Close() error {
	r.unbind()
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	b.changed.Broadcast()
	if b.readers--; b.readers == 0 && b.pause != nil {
		b.pause()
	}
	return nil
}
