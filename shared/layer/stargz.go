package layer

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// stargzChunk is how many bytes of a file are compressed as one unit. Blobs depend on it.
const stargzChunk = 4 << 20

// ErrIndexName says that a file cannot be in an indexed layer, because its name there
// means the index.
var ErrIndexName = errors.New("in layers of estargz and zstd:chunked the name is that of a part of the index")

// isStargzPart reports whether p is the name of what the format of eStargz adds to an
// archive (stargz-snapshotter, docs/estargz.md): the index, and marks of what is to be
// fetched first. They are no files of the image.
func isStargzPart(p tree.Path) bool {
	return p == estargz.TOCTarName || p == estargz.PrefetchLandmark || p == estargz.NoPrefetchLandmark
}

// A stargz compresses an archive file by file, and writes an index of them. The archive
// stays what it is, byte for byte; the index of eStargz lies in the uncompressed stream
// behind its end.
//
// The library's writer takes the archive from a reader, so a goroutine reads what is
// written here. It is one whatever the number of workers: units share no state, but
// the library makes one after the other.
type stargz struct {
	*io.PipeWriter
	w     *estargz.Writer
	codec *stargzCodec
	sink  *firstError
	taken chan error // has one value once all is taken, or no more can be
	toc   digest.Digest
}

func newStargz(w io.Writer, c Compression) *stargz {
	codec := newStargzCodec(c)
	sink := &firstError{w: w}
	r, pw := io.Pipe()
	s := &stargz{PipeWriter: pw, w: estargz.NewWriterWithCompressor(sink, codec), codec: codec, sink: sink, taken: make(chan error, 1)}
	s.w.ChunkSize = stargzChunk
	go func() {
		err := s.w.AppendTarLossLess(r)
		r.CloseWithError(sink.or(err))
		s.taken <- err
	}()
	return s
}

// Close ends the archive and writes the index.
func (s *stargz) Close() error {
	s.PipeWriter.Close() // it has no error
	if err := <-s.taken; err != nil {
		return s.sink.or(err)
	}
	var err error
	s.toc, err = s.w.Close()
	return s.sink.or(err)
}

// diffID is the digest of the uncompressed stream, once it has ended.
func (s *stargz) diffID() (v1.Hash, error) { return v1.NewHash(s.w.DiffID()) }

// annotations are what a reader of single files must be told of the layer.
func (s *stargz) annotations() map[string]string {
	all := map[string]string{estargz.TOCJSONDigestAnnotation: s.toc.String()}
	for key, value := range s.codec.metadata() {
		all[key] = value
	}
	return all
}

// firstError keeps the first error of a writer: the library tells of errors in words only.
type firstError struct {
	w   io.Writer
	err error
}

func (f *firstError) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

// or is the writer's error rather than what was made of it.
func (f *firstError) or(err error) error {
	if f.err != nil {
		return f.err
	}
	return err
}

// stargzCodec is how a [stargz] compresses its units: by this repository's choice of
// compressor and one unit at a time, so that nothing depends on the number of CPUs.
type stargzCodec struct {
	estargz.Compressor // writes the index
	open               func(io.Writer) (estargz.WriteFlushCloser, error)
	chunked            *zstdchunked.Compressor // nil of eStargz
	size               int64                   // bytes of the uncompressed stream
}

func newStargzCodec(c Compression) *stargzCodec {
	if c.Algorithm == ZstdChunked {
		chunked := &zstdchunked.Compressor{CompressionLevel: c.zstdLevel(), Metadata: map[string]string{}}
		return &stargzCodec{Compressor: chunked, chunked: chunked, open: zstdUnits(c.zstdLevel())}
	}
	return &stargzCodec{Compressor: estargz.NewGzipCompressorWithLevel(c.level()), open: gzipUnits(c.level())}
}

// gzipUnits opens gzip streams, one after the other, with the memory of one.
func gzipUnits(level int) func(io.Writer) (estargz.WriteFlushCloser, error) {
	var z *gzip.Writer
	return func(w io.Writer) (estargz.WriteFlushCloser, error) {
		if z != nil {
			z.Reset(w)
			return z, nil
		}
		var err error
		z, err = gzip.NewWriterLevel(w, level)
		return z, err
	}
}

// zstdUnits opens zstd streams, one after the other, with the memory of one.
func zstdUnits(level zstd.EncoderLevel) func(io.Writer) (estargz.WriteFlushCloser, error) {
	var z *zstd.Encoder
	return func(w io.Writer) (estargz.WriteFlushCloser, error) {
		if z != nil {
			z.Reset(w)
			return z, nil
		}
		var err error
		z, err = zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		return z, err
	}
}

// Writer implements [estargz.Compressor].
func (c *stargzCodec) Writer(w io.Writer) (estargz.WriteFlushCloser, error) {
	z, err := c.open(w)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return &countedUnit{z, &c.size}, nil
}

// WriteTOCAndFooter implements [estargz.Compressor].
func (c *stargzCodec) WriteTOCAndFooter(w io.Writer, at int64, toc *estargz.JTOC, diffID hash.Hash) (digest.Digest, error) {
	return c.Compressor.WriteTOCAndFooter(w, at, toc, &countedHash{diffID, &c.size})
}

// metadata are the annotations that differ between the formats.
func (c *stargzCodec) metadata() map[string]string {
	if c.chunked != nil {
		return c.chunked.Metadata
	}
	return map[string]string{estargz.StoreUncompressedSizeAnnotation: strconv.FormatInt(c.size, 10)}
}

type countedUnit struct {
	estargz.WriteFlushCloser
	size *int64
}

func (u *countedUnit) Write(p []byte) (int, error) {
	n, err := u.WriteFlushCloser.Write(p)
	*u.size += int64(n)
	return n, err
}

type countedHash struct {
	hash.Hash
	size *int64
}

func (h *countedHash) Write(p []byte) (int, error) {
	*h.size += int64(len(p))
	return h.Hash.Write(p)
}
