package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// openDir makes an image of the files below a directory. They are read twice: the
// image has to have a digest before it can be compared.
func openDir(ctx context.Context, dir string) (compare.Subject, error) {
	l := &dirLayer{ctx: ctx, dir: dir}
	if err := l.sum(); err != nil {
		return compare.Subject{}, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	return compare.Subject{Image: img, Bare: true}, err
}

// dirLayer is a directory as a layer, made anew each time that it is read.
type dirLayer struct {
	ctx    context.Context // of all that is read of it, as the interface has none
	dir    string
	digest v1.Hash
	size   int64
}

var _ v1.Layer = (*dirLayer)(nil)

func (l *dirLayer) sum() error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if l.size, err = io.Copy(sum, r); err != nil {
		return err
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}
	return nil
}

// Digest implements [v1.Layer].
func (l *dirLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements [v1.Layer].
func (l *dirLayer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size implements [v1.Layer].
func (l *dirLayer) Size() (int64, error) { return l.size, nil }

// MediaType implements [v1.Layer].
func (l *dirLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed implements [v1.Layer].
func (l *dirLayer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed implements [v1.Layer].
func (l *dirLayer) Uncompressed() (io.ReadCloser, error) {
	d, err := disk.Open(l.dir, disk.Options{Xattrs: true})
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	a := &written{PipeReader: r, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		err := l.write(w, d)
		w.CloseWithError(errors.Join(err, d.Close())) // nil is the end
	}()
	return a, nil
}

// written is an archive while it is written.
type written struct {
	*io.PipeReader
	ended chan struct{}
}

// Close ends the writing.
func (w *written) Close() error {
	err := w.PipeReader.Close()
	<-w.ended
	return err
}

// write writes an archive of the directory; it ends when nobody reads on.
func (l *dirLayer) write(to io.Writer, d *disk.Dir) error {
	w := layer.NewWriter(to, time.Time{})
	for e, err := range d.Walk(tree.Root) {
		if err == nil {
			err = l.ctx.Err()
		}
		if err != nil {
			return err
		}
		c := layer.Change{Path: e.Path, Kind: layer.Put, Node: e.Node, Hard: e.Hard}
		if e.Node.Type == tree.File && e.Hard == "" {
			c.Open = func() (io.ReadCloser, error) { return d.Open(e.Path) }
		}
		if err := w.Add(c); err != nil {
			return err
		}
	}
	return w.Close()
}
