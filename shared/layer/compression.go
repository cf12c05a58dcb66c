package layer

import (
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Algorithm is how a layer's archive becomes the bytes that a registry has.
type Algorithm uint8

// The algorithms. Of the indexed ones single files can be read without the rest.
const (
	Gzip        Algorithm = iota
	Zstd                  // only OCI has a media type for it
	EStargz               // gzip, indexed
	ZstdChunked           // zstd, indexed
	Plain                 // not compressed
)

// Compression is how a layer's archive is compressed. The zero value is gzip at the
// level that layers have by default.
type Compression struct {
	Algorithm Algorithm
	// Level is 1 to 9 of gzip and eStargz, 1 to 22 of zstd and zstd:chunked; 0 is the
	// default, and the only one of what is not compressed.
	Level int
	// First are the files that lie first in layers of eStargz; of others there are none.
	First Priority
}

const (
	// gzipLevel makes layers about as large as kaniko did, with Go's own gzip at
	// level 1, in half its time. This compressor's level 1 is no faster than its 2.
	gzipLevel = 2
	// gzipBlock is how many bytes are compressed as one unit. The output depends
	// on it, and on nothing else of how the work was shared out.
	gzipBlock = 1 << 20
	// zstdLevel is that of zstd's own program.
	zstdLevel = 3

	maxGzipLevel, maxZstdLevel = 9, 22
)

// ParseCompression reads an algorithm, gzip, zstd, estargz, zstd:chunked or none, and
// a level, of which -1 is the algorithm's default. An empty algorithm is gzip.
func ParseCompression(algorithm string, level int) (Compression, error) {
	c := Compression{}
	switch algorithm {
	case "", "gzip":
	case "zstd":
		c.Algorithm = Zstd
	case "estargz":
		c.Algorithm = EStargz
	case "zstd:chunked":
		c.Algorithm = ZstdChunked
	case "none":
		c.Algorithm = Plain
	default:
		return c, fmt.Errorf("layers are compressed by gzip, zstd, estargz, zstd:chunked or none, not by %q", algorithm)
	}
	if level == -1 {
		return c, nil
	}
	switch highest := c.highest(); {
	case highest == 0:
		return c, fmt.Errorf("what is not compressed has no level, not %d", level)
	case level < 1 || level > highest:
		return c, fmt.Errorf("the level of %s is 1 to %d, not %d", c.Algorithm, highest, level)
	}
	if c.Level = level; level == c.standard() {
		c.Level = 0
	}
	return c, nil
}

// String is the name that [ParseCompression] reads.
func (a Algorithm) String() string {
	return [...]string{"gzip", "zstd", "estargz", "zstd:chunked", "none"}[a]
}

// OnlyOCI reports whether Docker's manifests have no place for such layers, or none
// for what must be said of them.
func (a Algorithm) OnlyOCI() bool { return a == Zstd || a.indexed() }

func (a Algorithm) indexed() bool { return a == EStargz || a == ZstdChunked }

func (a Algorithm) zstd() bool { return a == Zstd || a == ZstdChunked }

// highest is the highest level, 0 if there are none.
func (c Compression) highest() int {
	switch {
	case c.Algorithm == Plain:
		return 0
	case c.Algorithm.zstd():
		return maxZstdLevel
	}
	return maxGzipLevel
}

func (c Compression) standard() int {
	if c.Algorithm.zstd() {
		return zstdLevel
	}
	return gzipLevel
}

func (c Compression) level() int {
	if c.Level == 0 {
		return c.standard()
	}
	return c.Level
}

// String is the algorithm and the level: "gzip-2", or "none"; and a digest of what comes first.
func (c Compression) String() string {
	if c.Algorithm == Plain {
		return c.Algorithm.String()
	}
	s := fmt.Sprintf("%s-%d", c.Algorithm, c.level())
	if c.First != (Priority{}) {
		s += " first " + c.First.String()
	}
	return s
}

// mediaType is Docker's of a layer that is gzipped or not compressed, which an image
// of OCI types changes for its own; of zstd only OCI has one.
func (c Compression) mediaType() types.MediaType {
	switch {
	case c.Algorithm == Plain:
		return types.DockerUncompressedLayer
	case c.Algorithm.zstd():
		return types.OCILayerZStd
	}
	return types.DockerLayer
}

// suffix ends the name of a compressed archive.
func (c Compression) suffix() string {
	switch {
	case c.Algorithm == Plain:
		return ""
	case c.Algorithm.zstd():
		return ".zst"
	}
	return ".gz"
}

// writer compresses into w, as many blocks at once as there are workers. What comes
// out does not depend on their number. What has to wait does so in a file of dir.
// again, if not nil, may have what was made for another layer.
func (c Compression) writer(w io.Writer, workers int, dir string, again *Compressors) (io.WriteCloser, error) {
	workers = max(1, workers)
	if c.First != (Priority{}) {
		return newPrioritized(newStargz(w, c), c.First, dir)
	}
	switch c.Algorithm {
	case Plain:
		return unclosed{w}, nil
	case EStargz, ZstdChunked:
		return newStargz(w, c), nil
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(c.zstdLevel()), zstd.WithEncoderConcurrency(workers))
	}
	return again.gzip(w, c.level(), workers)
}

func (c Compression) zstdLevel() zstd.EncoderLevel { return zstd.EncoderLevelFromZstd(c.level()) }

// unclosed is a writer with nothing to end.
type unclosed struct{ io.Writer }

// Close implements [io.Closer].
func (unclosed) Close() error { return nil }
