package exporter

import (
	"context"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/image"
)

// Index brings images for several platforms to one place, and an index that names
// them. Layers and manifests go to registries as they come, without a tag; the tags
// move when all is there.
type Index struct {
	config   Config
	form     image.Form
	registry *Registry // nil if nothing is pushed
	images   []v1.Image
}

// NewIndex begins the export of an index. A tarball has no place for one, and
// c.TarPath is not looked at.
func NewIndex(c Config, f image.Form) *Index {
	x := &Index{config: c, form: f}
	if c.Pushes() {
		x.registry = &Registry{Client: c.Client, Tags: onePerRepository(c.Destinations), Untagged: true}
	}
	return x
}

// onePerRepository leaves out tags of repositories that are there already.
func onePerRepository(tags []name.Tag) []name.Tag {
	var all []name.Tag
	seen := map[string]bool{}
	for _, t := range tags {
		if !seen[t.Context().Name()] {
			seen[t.Context().Name()] = true
			all = append(all, t)
		}
	}
	return all
}

var _ engine.Exporter = (*Index)(nil)

// Layer sends a layer of one of the images.
func (x *Index) Layer(ctx context.Context, l v1.Layer) error {
	if x.registry == nil {
		return nil
	}
	return x.registry.Layer(ctx, l)
}

// Image sends the next of the images.
func (x *Index) Image(ctx context.Context, img v1.Image) error {
	x.images = append(x.images, img)
	if x.registry == nil {
		return nil
	}
	return x.registry.Image(ctx, img)
}

// Finish exports the index of the images that came, and returns it. The layers of all
// of them can be read until then.
func (x *Index) Finish(ctx context.Context) (*image.Index, error) {
	var members []v1.Descriptor
	for _, img := range x.images {
		d, err := image.Describe(img)
		if err != nil {
			return nil, err
		}
		members = append(members, d)
	}
	index, err := image.NewIndex(members, x.form)
	if err != nil {
		return nil, err
	}
	if x.config.LayoutPath != "" {
		layout := &Layout{Path: x.config.LayoutPath}
		if err := layout.Index(ctx, index, x.images); err != nil {
			return nil, err
		}
	}
	if x.registry != nil {
		results, err := x.config.pushIndex(ctx, index)
		if err != nil {
			return nil, err
		}
		if err := attach(ctx, x.config.Attachers, results, x.members(members, index)); err != nil {
			return nil, err
		}
	}
	for _, n := range x.config.Notes {
		if err := n.Write(ctx, index.Digest); err != nil {
			return nil, err
		}
	}
	return index, nil
}

// members are all that was pushed: the images, and the index that names them.
func (x *Index) members(images []v1.Descriptor, index *image.Index) []member {
	var all []member
	for i, d := range images {
		all = append(all, member{d, x.images[i]})
	}
	return append(all, member{descriptor: index.Descriptor()})
}

// pushIndex puts an index, whose images are in every repository, under all tags. The
// error is a [PushError] unless ctx is done.
func (c *Config) pushIndex(ctx context.Context, index *image.Index) ([]Result, error) {
	results := make([]Result, len(c.Destinations))
	var report sync.Mutex
	var g errgroup.Group
	g.SetLimit(questions)
	for i, t := range c.Destinations {
		g.Go(func() error {
			err := c.Client.PushManifest(ctx, t, index.Raw, index.MediaType)
			results[i] = result(t, index.Digest, err, c.IgnoreImmutable)
			if c.Pushed != nil {
				report.Lock()
				defer report.Unlock()
				c.Pushed(results[i])
			}
			return nil
		})
	}
	g.Wait()
	return results, pushError(ctx, results)
}
