// Package warm puts images into a store of base images, ahead of the builds that will
// want them. What is there is not fetched again, and of what has changed only the
// layers that are new. It decides what to fetch; how a store is written is package
// base's.
package warm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

const (
	imagesAtOnce = 4 // images that are looked up or fetched at the same time
	layersAtOnce = 6 // of all images together
)

// Image is what is to be warmed.
type Image struct {
	Ref      string // as users write it
	Platform v1.Platform
}

func (i Image) String() string { return i.Ref + " for " + i.Platform.String() }

// Outcome is what became of an image.
type Outcome string

// The outcomes of images that are in the store now.
const (
	Fetched   Outcome = "fetched"             // what was missing, or all
	Unchanged Outcome = "unchanged"           // the registry says that it is the same
	Fresh     Outcome = "asked for lately"    // the registry was not asked
	Pinned    Outcome = "there by its digest" // nor has it to be
)

// Result is what became of one image.
type Result struct {
	Image
	Outcome Outcome
	Digest  v1.Hash
	// Actual is the platform that an image is for which is not for the one asked
	// for, and was taken because there is no choice of several; empty otherwise.
	Actual string
	Err    error
}

// Config is what to do it with.
type Config struct {
	Store  *base.Store
	Client *registry.Client
	// Force fetches images that are there as well.
	Force bool
	// TTL is for how long what a tag names is not asked for again.
	TTL time.Duration
	// Now tells the time.
	Now func() time.Time
	// Report, if set, is told of each image when it is done with, one at a time.
	Report func(Result)
}

// Error is some images that could not be warmed.
type Error struct {
	Of     int // images there were in all
	Failed []Result
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d images could not be warmed:", len(e.Failed), e.Of)
	for _, f := range e.Failed {
		fmt.Fprintf(&b, "\n%s: %v", f.Image, f.Err)
	}
	return b.String()
}

// Unwrap are the errors in the order of the images.
func (e *Error) Unwrap() []error {
	var all []error
	for _, f := range e.Failed {
		all = append(all, f.Err)
	}
	return all
}

// Run warms images, several at a time. One that fails does not keep the others from
// being warmed; the error is an [Error] then. The results are in the images' order.
func Run(ctx context.Context, c Config, images []Image) ([]Result, error) {
	w := &warmer{Config: c, layers: semaphore.NewWeighted(layersAtOnce), fetched: map[v1.Hash]*flight{}}
	results := make([]Result, len(images))
	var reporting sync.Mutex
	var g errgroup.Group
	g.SetLimit(imagesAtOnce)
	for n, i := range images {
		g.Go(func() error {
			results[n] = w.image(ctx, i)
			reporting.Lock()
			defer reporting.Unlock()
			if c.Report != nil {
				c.Report(results[n])
			}
			return nil
		})
	}
	g.Wait()
	if err := context.Cause(ctx); err != nil {
		return results, fmt.Errorf("warm %d images: %w", len(images), errors.Join(ctx.Err(), err))
	}
	failed := &Error{Of: len(images)}
	for _, r := range results {
		if r.Err != nil {
			failed.Failed = append(failed.Failed, r)
		}
	}
	if len(failed.Failed) > 0 {
		return results, failed
	}
	return results, nil
}

type warmer struct {
	Config
	layers *semaphore.Weighted

	mu      sync.Mutex
	fetched map[v1.Hash]*flight
}

// flight is a layer that is fetched once, although several images have it.
type flight struct {
	mu   sync.Mutex
	done bool
}

func (w *warmer) image(ctx context.Context, i Image) Result {
	r := Result{Image: i}
	if r.Err = context.Cause(ctx); r.Err != nil {
		return r
	}
	ref, err := w.Client.Reference(i.Ref)
	if err != nil {
		r.Err = err
		return r
	}
	// From here on nothing that the image needs is swept.
	release, err := w.Store.Hold(ctx)
	if err != nil {
		r.Err = err
		return r
	}
	defer release()
	if !w.Force {
		if r.Outcome, r.Digest, r.Err = w.known(ctx, ref, i); r.Outcome != "" || r.Err != nil {
			return r
		}
	}
	r.Err = w.fetch(ctx, ref, &r)
	return r
}

// known is the outcome of an image that need not be fetched, empty for others.
func (w *warmer) known(ctx context.Context, ref name.Reference, i Image) (Outcome, v1.Hash, error) {
	rec, err := w.Store.Record(ref, i.Platform)
	if err != nil || !w.Store.Complete(ctx, ref, rec) {
		return "", v1.Hash{}, nil // what is wrong with it does not matter: it is made anew
	}
	if _, ok := ref.(name.Digest); ok {
		return Pinned, rec.Digest, nil
	}
	if age := w.Now().Sub(rec.Resolved); age >= 0 && age < w.TTL {
		return Fresh, rec.Digest, nil
	}
	root, err := w.Client.Head(ctx, i.Ref)
	if err != nil || root != rec.Root {
		return "", v1.Hash{}, err
	}
	return Unchanged, rec.Digest, w.Store.Refresh(ctx, ref, rec, w.Now())
}

func (w *warmer) fetch(ctx context.Context, ref name.Reference, r *Result) error {
	now := w.Now()
	img, err := w.Client.Resolve(ctx, r.Ref, r.Platform)
	if err != nil {
		return err
	}
	actual, err := img.Platform()
	if err != nil {
		return err
	}
	if registry.Choose(r.Platform, []v1.Platform{actual}) < 0 {
		r.Actual = actual.String()
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range img.Blobs() {
		g.Go(func() error { return w.layer(gctx, l) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := w.Store.AddImage(ctx, ref, r.Platform, img, now); err != nil {
		return err
	}
	r.Outcome = Fetched
	r.Digest, err = img.Digest()
	return err
}

func (w *warmer) layer(ctx context.Context, l *registry.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	w.mu.Lock()
	f := w.fetched[digest]
	if f == nil {
		f = &flight{}
		w.fetched[digest] = f
	}
	w.mu.Unlock()
	// Who waits for another's fetch takes no place of those who fetch.
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return nil
	}
	if err := w.layers.Acquire(ctx, 1); err != nil {
		return err
	}
	defer w.layers.Release(1)
	if err := w.Store.AddLayer(ctx, l, w.Force); err != nil {
		return err
	}
	f.done = true
	return nil
}
