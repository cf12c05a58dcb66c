package engine

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// capture makes a layer of the changes of one step.
type capture struct {
	stage  *stage
	key    string
	export bool
	index  bool // of what the layer does to files, for the cache

	blob     *layer.Blob
	indexed  string // the file with the index
	exported <-chan struct{}
	files    int
	compress time.Duration
	shown    bool // the stage shows the changes
}

// commit captures what a command changed.
func (c *capture) commit(ctx context.Context) error {
	c.shown = true
	ctx, end := c.stage.build.Observer.Phase(ctx, Capture)
	err := c.encode(ctx, without(c.stage.ignored(), c.stage.box.Commit(ctx, c.key)), drain)
	end(err)
	return err
}

// place captures changes and lets them take effect in the stage, reading each
// content once.
func (c *capture) place(ctx context.Context, changes layer.Changes) error {
	c.shown = c.stage.box != nil || c.stage.known.isLoaded()
	ctx, end := c.stage.build.Observer.Phase(ctx, Copy)
	err := c.encode(ctx, changes, func(changes layer.Changes) error {
		switch {
		case !c.shown:
			return drain(changes)
		case c.stage.box == nil:
			return c.stage.known.put(ctx, changes)
		}
		return c.stage.box.Apply(ctx, sandbox.Layer{
			Key:     c.key,
			Changes: func(context.Context) layer.Changes { return changes },
		})
	})
	end(err)
	return err
}

// encode writes the changes that consume takes into a layer, if anybody will want
// it. Without a change there is no layer, and nothing to consume.
func (c *capture) encode(ctx context.Context, changes layer.Changes, consume func(layer.Changes) error) (err error) {
	first, rest, stop := peek(changes)
	defer stop()
	if first == nil {
		return nil
	}
	if first.err != nil {
		return first.err
	}
	if !c.stage.needsLayers() {
		return consume(c.counted(rest))
	}
	ix, err := c.newIndex()
	if err != nil {
		return err
	}
	_, end := c.stage.build.Observer.Phase(ctx, Encode)
	defer func() { end(err) }()
	enc, err := layer.NewEncoder(layer.EncoderOptions{
		Dir: c.stage.build.Spool, Workers: c.stage.build.Limits.Stages, Clamp: c.stage.build.clamp(),
		Compression: c.stage.build.Compression, Compressors: &c.stage.build.compressors,
	})
	if err != nil {
		return err
	}
	if c.export {
		c.exported = c.stage.build.export(ctx, enc.Blob())
	}
	if err := consume(enc.Tee(ix.tee(rest))); err != nil {
		enc.Abort(err)
		ix.abort()
		return err
	}
	c.files, c.indexed = enc.Count(), ix.path()
	c.blob, err = enc.Finish()
	c.compress = enc.Held()
	return errors.Join(err, ix.close())
}

// counted counts changes that become no layer.
func (c *capture) counted(changes layer.Changes) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for change, err := range changes {
			c.files++
			if !yield(change, err) {
				return
			}
		}
	}
}

// peeked is the first element of a stream.
type peeked struct {
	layer.Change
	err error
}

// peek looks at the first element of a stream, nil if there is none; rest is the
// stream with it. stop must be called in the end.
func peek(changes layer.Changes) (first *peeked, rest layer.Changes, stop func()) {
	next, stop := iter.Pull2(changes)
	c, err, ok := next()
	if !ok {
		return nil, layer.None, stop
	}
	return &peeked{c, err}, func(yield func(layer.Change, error) bool) {
		for ok && yield(c, err) {
			c, err, ok = next()
		}
	}, stop
}

// layer is what was captured, or nil.
func (c *capture) layer() v1.Layer {
	if c.blob == nil {
		return nil
	}
	return c.blob
}

// openIndex opens the index of what was captured; nil without one.
func (c *capture) openIndex() func() (io.ReadCloser, error) {
	path := c.indexed
	if path == "" {
		return nil
	}
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

func (c *capture) newIndex() (*indexFile, error) {
	if !c.index {
		return nil, nil
	}
	return newIndexFile(c.stage.build.Spool)
}
