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

// Decompress reads gzip, zstd or plain data, told apart by its first bytes. What
// cannot be decompressed is a [DamagedError]; errors of r are what they were.
// Closing the result closes r.
func Decompress(r io.ReadCloser) (io.ReadCloser, error) {
	source := &noting{Reader: r}
	b := bufio.NewReaderSize(source, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := pgzip.NewReaderN(b, gzipBlock, readAhead)
		if err != nil {
			return nil, errors.Join(source.or(err), r.Close())
		}
		return &decompressed{Reader: z, closers: []func() error{z.Close, r.Close}, below: b, source: source}, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, errors.Join(source.or(err), r.Close())
		}
		end := func() error { z.Close(); return nil }
		return &decompressed{Reader: z, closers: []func() error{end, r.Close}, below: b, source: source}, nil
	}
	return &decompressed{Reader: b, closers: []func() error{r.Close}, below: b, source: source}, nil
}

// decompressed reads what lies below to its end once the data has ended: a
// source that verifies its bytes does so only there.
type decompressed struct {
	io.Reader
	below   io.Reader
	source  *noting
	closers []func() error
	ended   error
}

func (d *decompressed) Read(p []byte) (int, error) {
	if d.ended != nil {
		return 0, d.ended
	}
	n, err := d.Reader.Read(p)
	if err != nil {
		d.ended = d.verdict(err)
		err = d.ended
	}
	return n, err
}

// verdict lets the source have the last word on data that ended with an error or, by
// io.EOF, without. A source that has failed is not asked again.
func (d *decompressed) verdict(err error) error {
	if d.source.failed() == nil {
		_, _ = io.Copy(io.Discard, d.below) // what it says, the source notes
	}
	return d.source.or(err)
}

func (d *decompressed) Close() error {
	var err error
	for _, c := range d.closers {
		err = errors.Join(err, c())
	}
	return err
}
