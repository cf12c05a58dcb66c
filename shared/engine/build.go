package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/semaphore"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// defaultPushes is how many layers are on their way at the same time: asked about, mostly,
// or waited for. How many are sent is the business of who sends them.
const defaultPushes = 16

// build is one run of a plan.
type build struct {
	Config
	outer   context.Context // the caller's: what is kept does not end with a failure
	stages  map[*plan.Stage]*stage
	order   []*stage
	target  *stage
	driver  sandbox.Driver // nil if no command runs
	turns   turns
	images  images
	fetches remotes
	digests digests
	secrets [][]byte                // that no output may show
	cancel  context.CancelCauseFunc // ends the build with its first failure

	compressors layer.Compressors // of all its layers

	exports sync.WaitGroup
	pushing *semaphore.Weighted

	lost        map[cachekey.Key]bool // entries that are not to be used
	before      *cache.Journal        // of the last build of the lineage; nil if there is none
	started     time.Time
	cacheless   atomic.Bool  // the cache is not asked any more
	readOnly    atomic.Bool  // nothing is put there any more
	refused     atomic.Int32 // results, one after the other
	warnedOfPut atomic.Bool
	keeping     sync.WaitGroup
}

// Build runs the plan and returns the image it exported. Whatever fails, what
// the build holds is freed and no manifest was exported. The first failure ends
// all that goes on, and is what is returned. A layer that the cache has, and then
// turns out not to have or not to be able to give, is made after all.
func Build(ctx context.Context, c Config) (v1.Image, error) {
	lost := map[cachekey.Key]bool{}
	for {
		img, err := attempt(ctx, c, lost)
		var gone *cache.LostError
		if !errors.As(err, &gone) || lost[gone.Key] || ctx.Err() != nil {
			return img, err
		}
		lost[gone.Key] = true
		without := "that entry"
		if gone.Away {
			without = "the layer cache"
		}
		if c.Cache.Warn != nil {
			c.Cache.Warn(gone.Error() + ": the build begins anew without " + without)
		}
		if gone.Away {
			c.Cache = nil
		}
	}
}

func attempt(ctx context.Context, c Config, lost map[cachekey.Key]bool) (_ v1.Image, err error) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := newBuild(outer, c, cancel, lost)
	defer func() { err = errors.Join(err, b.close()) }()
	b.reckon(ctx)
	if err := b.preflight(ctx); err != nil {
		return nil, err
	}
	img, err := b.work(ctx)
	b.keeping.Wait()
	if lost := new(cache.LostError); !errors.As(err, &lost) {
		b.leaveJournal(img, err) // else the build begins anew
	}
	return img, err
}

// reckon finds out what is to be done.
func (b *build) reckon(ctx context.Context) {
	if b.Cache != nil {
		ctx, end := b.Observer.Phase(ctx, Ask)
		b.define(ctx)
		b.probe(ctx)
		end(nil)
	}
	b.need()
	b.connect()
	b.wantIndexes()
	if b.Cache != nil {
		b.compare(ctx)
	}
}

// work does what is to be done.
func (b *build) work(ctx context.Context) (v1.Image, error) {
	if b.driver != nil && b.driver.Limit() == 1 {
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
	ctx, end := b.Observer.Phase(ctx, Deliver)
	err = b.Exporter.Image(ctx, img)
	end(err)
	return img, err
}

func newBuild(outer context.Context, c Config, cancel context.CancelCauseFunc, lost map[cachekey.Key]bool) *build {
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	if c.Host == nil {
		c.Host = nobody{}
	}
	if c.Limits.Stages <= 0 {
		c.Limits.Stages = runtime.GOMAXPROCS(0)
	}
	if c.Limits.Commands <= 0 {
		c.Limits.Commands = c.Limits.Stages
	}
	if c.Limits.Pushes <= 0 {
		c.Limits.Pushes = defaultPushes
	}
	b := &build{
		Config:  c,
		outer:   outer,
		cancel:  cancel,
		lost:    lost,
		started: time.Now(),
		stages:  map[*plan.Stage]*stage{},
		turns:   newTurns(c.Limits),
		pushing: semaphore.NewWeighted(int64(c.Limits.Pushes)),
	}
	b.images = images{build: b, byDigest: map[v1.Hash]*baseImage{}}
	for _, s := range c.Plan.Stages {
		st := newStage(b, s)
		b.stages[s] = st
		b.order = append(b.order, st)
	}
	b.target = b.stages[c.Plan.Target]
	for s := b.target; s != nil; s = b.stages[s.plan.Base.Stage] {
		s.exported = true
	}
	return b
}

// connect counts who will read from which stage.
func (b *build) connect() {
	for _, s := range b.order {
		for _, d := range s.dependencies() {
			d.readers = append(d.readers, s)
			d.pending++
		}
	}
}

// parallel runs every stage as soon as what it needs is there.
func (b *build) parallel(ctx context.Context) {
	var running sync.WaitGroup
	for _, s := range b.order {
		running.Go(func() { b.turns.work(ctx, func() { s.run(ctx) }) })
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
		if b.turns.work(ctx, func() { s.run(ctx) }); s.err != nil {
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

// export hands a layer of the target out while the build goes on; done is closed
// when that is over.
func (b *build) export(ctx context.Context, l v1.Layer) (done <-chan struct{}) {
	over := make(chan struct{})
	b.exports.Go(func() {
		defer close(over)
		if b.pushing.Acquire(ctx, 1) != nil {
			return
		}
		defer b.pushing.Release(1)
		if blob, ok := l.(*layer.Blob); ok {
			blob.WaitFor(streamAfter)
		}
		// Of a layer that its step gave up the step tells, and why.
		if err := b.Exporter.Layer(ctx, l); err != nil && !isGivenUp(l) {
			b.cancel(err)
		}
	})
	return over
}

// isGivenUp reports whether a layer was begun and will never be finished.
func isGivenUp(l v1.Layer) bool {
	blob, ok := l.(*layer.Blob)
	if !ok {
		return false
	}
	_, err := blob.Size()
	return err != nil && !errors.Is(err, layer.ErrUnfinished)
}

// streamAfter is how many compressed bytes a layer must have before its upload
// begins unfinished. A smaller one is uploaded when its digest is known, because
// then it may turn out that the registry has it.
const streamAfter = 4 << 20

func (b *build) close() error {
	b.keeping.Wait()
	err := b.fetches.close()
	for _, s := range b.order {
		err = errors.Join(err, s.close())
	}
	return err
}
