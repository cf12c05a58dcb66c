package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Options are what a [Place] depends on; the zero value will do.
type Options struct {
	// Tool is name and version of who writes entries and journals.
	Tool string
	// Keep, if set, is how layers in a registry are read, such as base.Dir's Layer,
	// which fetches once what several read. Without it each reader fetches.
	Keep func(context.Context, *registry.Layer) v1.Layer
	// ReadOnly says that nothing will be put. A directory then is not made, and need
	// not be one that can be written to.
	ReadOnly bool
}

// Place is a [Store], and [Journals], in a repository or an OCI layout. It is safe for
// use by several goroutines at once, and by any number of processes.
type Place struct {
	back backend
	tool string
}

var (
	_ Store    = (*Place)(nil)
	_ Journals = (*Place)(nil)
)

// InRepository is a cache in a repository of a registry. Nothing is asked yet.
func InRepository(c *registry.Client, repo name.Repository, o Options) *Place {
	return &Place{back: &repository{client: c, repo: repo, keep: o.Keep}, tool: o.Tool}
}

// String is where it is, for people.
func (p *Place) String() string { return p.back.String() }

// Get implements [Store]. It asks one question. What is not reachable is not an
// [ErrMiss].
func (p *Place) Get(ctx context.Context, key cachekey.Key) (*Entry, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	raw, mt, err := p.manifest(ctx, string(key))
	if err != nil {
		return nil, err
	}
	rec, err := decodeEntry(key, raw, mt)
	if err != nil {
		return nil, p.miss(string(key), err)
	}
	return p.entry(ctx, key, rec), nil
}

// checkKey keeps what is not a key from being asked for as a tag.
func checkKey(key cachekey.Key) error {
	if parsed, err := cachekey.ParseKey(string(key)); err != nil || parsed != key {
		return fmt.Errorf("look into the cache: %q is not a key", key)
	}
	return nil
}

// manifest is what is under a tag; an ErrMiss if that is nothing.
func (p *Place) manifest(ctx context.Context, tag string) ([]byte, types.MediaType, error) {
	raw, mt, err := p.back.manifest(ctx, tag)
	switch {
	case err == nil:
		return raw, mt, nil
	case p.back.absent(err):
		return nil, "", ErrMiss
	case p.back.damaged(err):
		return nil, "", p.miss(tag, fmt.Errorf("damaged: %w", err))
	}
	return nil, "", fmt.Errorf("look into the cache: %w", err)
}

// miss is an ErrMiss for what is there and cannot be used.
func (p *Place) miss(tag string, why error) error {
	return fmt.Errorf("%w: what %s has as %s is %w", ErrMiss, p.back, tag, why)
}

func (p *Place) entry(ctx context.Context, key cachekey.Key, rec *record) *Entry {
	e := &Entry{Key: key, Created: rec.created, After: rec.after, From: p.back.String()}
	var index *stored
	if rec.index != nil {
		index = p.stored(ctx, key, *rec.index, v1.Hash{})
		e.Index = index.Compressed
	}
	switch {
	case rec.layer == nil:
	case index == nil:
		e.Layer = p.stored(ctx, key, *rec.layer, rec.diffID)
	default:
		e.Layer = &indexed{p.stored(ctx, key, *rec.layer, rec.diffID), index}
	}
	return e
}

func (p *Place) stored(ctx context.Context, key cachekey.Key, d v1.Descriptor, diffID v1.Hash) *stored {
	return &stored{
		from: p.back.layer(ctx, d, diffID), key: key, desc: d, diffID: diffID,
		lost: func(err error) bool {
			damaged := p.back.damaged(err)
			if damaged {
				p.back.distrust(d.Digest)
			}
			return damaged || p.back.absent(err)
		},
	}
}

// Definition implements [Store].
func (p *Place) Definition(ctx context.Context, key cachekey.Key) (cachekey.Definition, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	raw, err := p.blob(ctx, v1.Hash{Algorithm: "sha256", Hex: string(key)}, maxDefinition)
	return cachekey.Definition(raw), err
}

// blob is a blob of at most limit bytes; an ErrMiss if there is none, or a larger
// or damaged one.
func (p *Place) blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error) {
	raw, err := p.back.blob(ctx, h, limit)
	switch {
	case err == nil:
		return raw, nil
	case p.back.absent(err):
		return nil, ErrMiss
	case p.back.damaged(err):
		return nil, p.miss(h.String(), fmt.Errorf("damaged: %w", err))
	}
	return nil, fmt.Errorf("look into the cache: %w", err)
}

// Put implements [Store]. A layer that is in another repository of the same registry
// is not sent.
func (p *Place) Put(ctx context.Context, r Result) error {
	key := r.Definition.Key()
	d, err := p.draft(key, r)
	if err == nil {
		err = p.put(ctx, d, string(key))
	}
	if err != nil {
		return fmt.Errorf("put %s into the cache: %w", key, err)
	}
	return nil
}

// draft makes the manifest of an entry.
func (p *Place) draft(key cachekey.Key, r Result) (*draft, error) {
	if r.Created.IsZero() {
		return nil, errors.New("the result has no time of creation")
	}
	if len(r.Definition) > maxDefinition {
		return nil, fmt.Errorf("the definition has %d bytes, more than %d", len(r.Definition), maxDefinition)
	}
	d := newDraft(KindEntry, p.tool, r.Created)
	d.annotate(AnnotationKey, string(key))
	d.annotate(AnnotationParent, string(r.Parent))
	d.annotate(AnnotationAfter, r.After)
	d.annotate(AnnotationLineage, r.Lineage)
	d.annotate(AnnotationText, excerpt(r.Text))
	var err error
	if d.Config, err = d.addBytes([]byte(r.Definition), DefinitionType); err != nil {
		return nil, err
	}
	return d, errors.Join(d.addLayer(r.Layer), d.addIndex(r.Index))
}

func (d *draft) addLayer(l v1.Layer) error {
	if l == nil {
		desc, err := d.addBytes([]byte(emptyBlob), types.OCIEmptyJSON)
		d.Layers = append(d.Layers, desc)
		return err
	}
	mt, err := l.MediaType()
	if err != nil {
		return err
	}
	if mt, err = layerType(mt); err != nil {
		return err
	}
	diffID, err := l.DiffID()
	if err != nil {
		return err
	}
	d.annotate(AnnotationDiffID, diffID.String())
	desc, err := d.add(l, mt)
	if err == nil {
		desc.Annotations, err = layer.Annotations(l)
	}
	d.Layers = append(d.Layers, desc)
	return err
}

func (d *draft) addIndex(open func() (io.ReadCloser, error)) error {
	if open == nil {
		return nil
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	if len(raw) > maxIndex {
		return nil
	}
	desc, err := d.addBytes(raw, IndexType)
	if id := d.Annotations[AnnotationDiffID]; id != "" {
		desc.Annotations = map[string]string{AnnotationDiffID: id}
	}
	d.Layers = append(d.Layers, desc)
	return err
}

// put pushes a manifest's blobs and then the manifest, so that nobody finds one
// that lacks something.
func (p *Place) put(ctx context.Context, d *draft, tag string) error {
	raw, err := d.encode()
	if err != nil {
		return err
	}
	release, err := p.back.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	for tried := 1; ; tried++ {
		err := p.attempt(ctx, d, raw, tag)
		if !p.back.incomplete(err) || tried == attempts {
			return err
		}
		// What was there when this build looked has been deleted since; or another
		// build is pushing the same, and the registry (Docker's of 2.8) writes the note
		// that it is there anew.
		select {
		case <-time.After(time.Duration(tried) * 100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// attempts is how often a manifest is put of which the registry says that it lacks
// something.
const attempts = 3

func (p *Place) attempt(ctx context.Context, d *draft, raw []byte, tag string) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, b := range d.blobs {
		g.Go(func() error { return p.back.push(gctx, b) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return p.back.tag(ctx, tag, raw)
}
