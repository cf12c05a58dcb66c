package exporter

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// DigestFile writes the image's digest, such as sha256:9c…, without a newline.
type DigestFile struct{ Path string }

var _ engine.Exporter = (*DigestFile)(nil)

// Layer does nothing.
func (d *DigestFile) Layer(context.Context, v1.Layer) error { return nil }

// Image writes the file. Errors are an [OutputError].
func (d *DigestFile) Image(_ context.Context, img v1.Image) error {
	h, err := img.Digest()
	if err == nil {
		err = writeFile(d.Path, func(w io.Writer) error {
			_, err := io.WriteString(w, h.String())
			return err
		})
	}
	if err != nil {
		return &OutputError{"digest file", d.Path, err}
	}
	return nil
}
