package layer

import (
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// Compression is how a layer's archive is compressed. The zero value is gzip at the
// level that layers have by default.
type Compression struct {
	Zstd bool
	// Level is 1 to 9 of gzip, 1 to 22 of zstd; 0 is the default.
	Level int
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

// ParseCompression reads an algorithm, gzip or zstd, and a level, of which -1 is the
// algorithm's default. An empty algorithm is gzip.
func ParseCompression(algorithm string, level int) (Compression, error) {
	c, highest := Compression{}, maxGzipLevel
	switch algorithm {
	case "", "gzip":
	case "zstd":
		c.Zstd, highest = true, maxZstdLevel
	default:
		return c, fmt.Errorf("layers are compressed by gzip or zstd, not by %q", algorithm)
	}
	if level == -1 {
		return c, nil
	}
	if level < 1 || level > highest {
		return c, fmt.Errorf("the level of %s is 1 to %d, not %d", c.algorithm(), highest, level)
	}
	if c.Level = level; level == c.standard() {
		c.Level = 0
	}
	return c, nil
}

func (c Compression) algorithm() string {
	if c.Zstd {
		return "zstd"
	}
	return "gzip"
}

func (c Compression) standard() int {
	if c.Zstd {
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

// String is the algorithm and the level: "gzip-2".
func (c Compression) String() string { return fmt.Sprintf("%s-%d", c.algorithm(), c.level()) }

// mediaType is Docker's of a gzipped layer, which an image of OCI types changes for
// its own; of zstd only OCI has one.
func (c Compression) mediaType() types.MediaType {
	if c.Zstd {
		return types.OCILayerZStd
	}
	return types.DockerLayer
}

// suffix ends the name of a compressed archive.
func (c Compression) suffix() string {
	if c.Zstd {
		return ".zst"
	}
	return ".gz"
}

// writer compresses into w, as many blocks at once as there are workers. What comes
// out does not depend on their number.
func (c Compression) writer(w io.Writer, workers int) (io.WriteCloser, error) {
	workers = max(1, workers)
	if c.Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.level())), zstd.WithEncoderConcurrency(workers))
	}
	z, err := pgzip.NewWriterLevel(w, c.level())
	if err != nil {
		return nil, err
	}
	return z, z.SetConcurrency(gzipBlock, workers+1)
}
