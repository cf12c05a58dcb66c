package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// readAhead is how many blocks of gzipBlock bytes are decompressed before they
// are asked for.
const readAhead = 4

// maxZstdWindow bounds the memory that a zstd layer can demand, in bytes.
const maxZstdWindow = 128 << 20

// Open reads the changes of any layer. Its bytes are read to the end, so that a
// source which verifies them has the last word.
func Open(l v1.Layer) Changes {
	return func(yield func(Change, error) bool) {
		r, err := l.Uncompressed()
		if err != nil {
			yield(Change{}, err)
			return
		}
		defer r.Close()
		indexed, err := isIndexed(l)
		if err != nil {
			yield(Change{}, err)
			return
		}
		for c, err := range read(r, indexed) {
			if err != nil {
				// If it is no archive because it is not what it should be, that is the reason.
				if _, verdict := io.Copy(io.Discard, r); verdict != nil {
					err = fmt.Errorf("read layer: %w", verdict)
				}
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			yield(Change{}, fmt.Errorf("read layer: %w", err))
		}
	}
}

// Decompress reads gzip, zstd or plain data, told apart by its first bytes.
// Closing the result closes r.
func Decompress(r io.ReadCloser) (io.ReadCloser, error) {
	source := &source{Reader: r}
	b := bufio.NewReaderSize(source, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := pgzip.NewReaderN(b, gzipBlock, readAhead)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("decompress: %w", err), r.Close())
		}
		return &decompressed{Reader: z, closers: []func() error{z.Close, r.Close}, below: b, source: source}, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("decompress: %w", err), r.Close())
		}
		end := func() error { z.Close(); return nil }
		return &decompressed{Reader: z, closers: []func() error{end, r.Close}, below: b, source: source}, nil
	}
	return &decompressed{Reader: b, closers: []func() error{r.Close}, below: b, source: source}, nil
}

// DamagedError is data that cannot be decompressed, although its source has nothing to
// say against it.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return "decompress: " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// ExitCode is that of wrong data.
func (e *DamagedError) ExitCode() int { return exitData }

// Hint says what would help.
func (e *DamagedError) Hint() string {
	return "it was damaged before it came here: make the archive, or the image, anew"
}

// exitData is EX_DATAERR of sysexits.h.
const exitData = 65

// source remembers whether it has failed, so that a decompressor's error can be told from
// what it was handed.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// decompressed reads what lies below to its end once the data has ended: a
// source that verifies its bytes does so only there.
type decompressed struct {
	io.Reader
	below   io.Reader
	source  *source
	closers []func() error
	damaged error
}

func (d *decompressed) Read(p []byte) (int, error) {
	if d.damaged != nil {
		return 0, d.damaged
	}
	n, err := d.Reader.Read(p)
	if err == nil {
		return n, nil
	}
	// What has failed below is not asked again.
	if d.source.err == nil {
		_, d.source.err = io.Copy(io.Discard, d.below)
	}
	switch {
	case err == io.EOF && d.source.err == nil:
		return n, io.EOF
	case d.source.err != nil:
		d.damaged = d.source.err
	default:
		d.damaged = &DamagedError{err}
	}
	return n, d.damaged
}

func (d *decompressed) Close() error {
	var err error
	for _, c := range d.closers {
		err = errors.Join(err, c())
	}
	return err
}
