package source

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// openArchive opens the only image of an archive for docker load, which may be
// compressed as a whole.
func openArchive(file string) (*Source, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return openPlain(file) }, nil)
	if err != nil {
		return nil, fmt.Errorf("it is no archive of one image for docker load: %w", err)
	}
	return &Source{Image: img}, nil
}

// openPlain opens a file, decompressed if need be. One that is not compressed is handed
// out as a file, which can be skipped in.
func openPlain(file string) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	head, err := bufio.NewReader(io.NewSectionReader(f, 0, 4)).Peek(4)
	if err == nil && (bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd})) {
		return layer.Decompress(f)
	}
	return f, nil
}
