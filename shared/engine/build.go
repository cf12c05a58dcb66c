package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/semaphore"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// defaultPushes is how many layers are uploaded at the same time.
const defaultPushes = 4

// build is one run of a plan.
type build struct {
	Config
	stages  map[*plan.Stage]*stage
	order   []*stage
	target  *stage
	working *semaphore.Weighted // stages at work
	images  images
	secrets [][]byte                // that no output may show
	cancel  context.CancelCauseFunc // ends the build with its first failure

	exports sync.WaitGroup
	pushing *semaphore.Weighted
}

// Build runs the plan and returns the image it exported. Whatever fails, what
// the build holds is freed and no manifest was exported. The first failure ends
// all that goes on, and is what is returned.
func Build(ctx context.Context, c Config) (_ v1.Image, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := newBuild(c, cancel)
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.preflight(); err != nil {
		return nil, err
	}

	if b.Sandboxes != nil && b.Sandboxes.Limit() == 1 {
		b.sequential(ctx)
	} else {
		b.parallel(ctx)
	}
	b.exports.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	img, err := b.assemble(b.target)
	if err != nil {
		return nil, err
	}
	return img, b.Exporter.Image(ctx, img)
}

func newBuild(c Config, cancel context.CancelCauseFunc) *build {
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Host == nil {
		c.Host = nobody{}
	}
	if c.Limits.Stages <= 0 {
		c.Limits.Stages = runtime.NumCPU()
	}
	if c.Limits.Pushes <= 0 {
		c.Limits.Pushes = defaultPushes
	}
	b := &build{
		Config:  c,
		cancel:  cancel,
		stages:  map[*plan.Stage]*stage{},
		working: semaphore.NewWeighted(int64(c.Limits.Stages)),
		pushing: semaphore.NewWeighted(int64(c.Limits.Pushes)),
		images:  images{bases: c.Bases, byDigest: map[v1.Hash]*baseImage{}},
	}
	for _, s := range c.Plan.Stages {
		st := newStage(b, s)
		b.stages[s] = st
		b.order = append(b.order, st)
	}
	b.target = b.stages[c.Plan.Target]
	b.connect()
	return b
}

// connect counts who will read from which stage, and marks the stages whose
// layers end up in the target.
func (b *build) connect() {
	for _, s := range b.order {
		for _, d := range s.dependencies() {
			d.readers = append(d.readers, s)
			d.pending++
		}
	}
	for s := b.target; s != nil; s = b.stages[s.plan.Base.Stage] {
		s.exported = true
	}
}

// parallel runs every stage as soon as what it needs is there.
func (b *build) parallel(ctx context.Context) {
	var running sync.WaitGroup
	for _, s := range b.order {
		running.Go(func() {
			if b.working.Acquire(ctx, 1) != nil {
				return
			}
			defer b.working.Release(1)
			s.run(ctx)
		})
	}
	running.Wait()
}

// sequential runs stages where only one root exists. Stages that need none go
// first, while what they copy from is still there; what later stages will copy
// from a root is put aside before the next stage takes the root over.
func (b *build) sequential(ctx context.Context) {
	left := append([]*stage(nil), b.order...)
	var open *stage
	for len(left) > 0 {
		i := next(left)
		s := left[i]
		left = append(left[:i], left[i+1:]...)
		if s.needsSandbox() && open != nil {
			if err := open.park(append(left, s)); err != nil {
				b.cancel(err)
				return
			}
			open = nil
		}
		if s.run(ctx); s.err != nil {
			return
		}
		if s.needsSandbox() {
			open = s
		}
	}
}

// next picks, of the stages whose dependencies are done, one that needs no
// sandbox, or else the first.
func next(left []*stage) int {
	first := -1
	for i, s := range left {
		if !s.ready() {
			continue
		}
		if !s.needsSandbox() {
			return i
		}
		if first < 0 {
			first = i
		}
	}
	return first
}

// export hands a layer of the target out while the build goes on.
func (b *build) export(ctx context.Context, l v1.Layer) {
	b.exports.Go(func() {
		if b.pushing.Acquire(ctx, 1) != nil {
			return
		}
		defer b.pushing.Release(1)
		if blob, ok := l.(*layer.Blob); ok {
			blob.WaitFor(streamAfter)
		}
		if err := b.Exporter.Layer(ctx, l); err != nil {
			b.cancel(err)
		}
	})
}

// streamAfter is how many compressed bytes a layer must have before its upload
// begins unfinished. A smaller one is uploaded when its digest is known, because
// then it may turn out that the registry has it.
const streamAfter = 4 << 20

func (b *build) close() error {
	var err error
	for _, s := range b.order {
		err = errors.Join(err, s.close())
	}
	return err
}

// images are the base images of a build, each opened and indexed at most once.
type images struct {
	bases    Bases
	mu       sync.Mutex
	byDigest map[v1.Hash]*baseImage
}

type baseImage struct {
	opened  sync.Once
	openErr error
	img     v1.Image
	layers  []v1.Layer

	indexed  sync.Once
	indexErr error
	index    *layered
}

func (i *images) get(ctx context.Context, p *plan.Image) (*baseImage, error) {
	i.mu.Lock()
	img := i.byDigest[p.Digest]
	if img == nil {
		img = &baseImage{}
		i.byDigest[p.Digest] = img
	}
	i.mu.Unlock()
	img.opened.Do(func() {
		if img.img, img.openErr = i.bases.Image(ctx, p); img.openErr == nil {
			img.layers, img.openErr = img.img.Layers()
		}
	})
	return img, img.openErr
}

// files is the image's file system, without its contents.
func (i *images) files(ctx context.Context, p *plan.Image) (*layered, error) {
	img, err := i.get(ctx, p)
	if err != nil {
		return nil, err
	}
	img.indexed.Do(func() { img.index, img.indexErr = index(ctx, img.layers) })
	return img.index, img.indexErr
}
