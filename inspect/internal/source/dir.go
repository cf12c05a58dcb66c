package source

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// openDir makes an image of the files below a directory. They are read twice: the
// image has to have a digest before it can be looked at.
func openDir(ctx context.Context, dir string) (*Source, error) {
	return bare(func() (io.ReadCloser, error) { return archiveOf(ctx, dir) })
}

// archiveOf writes an archive of a directory as it is read.
func archiveOf(ctx context.Context, dir string) (io.ReadCloser, error) {
	d, err := disk.Open(dir, disk.Options{Xattrs: true})
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	a := &written{PipeReader: r, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		err := write(ctx, w, d)
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
func write(ctx context.Context, to io.Writer, d *disk.Dir) error {
	w := layer.NewWriter(to, time.Time{})
	for e, err := range d.Walk(tree.Root) {
		if err == nil {
			err = ctx.Err()
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
