package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// fetched is a remote source of ADD, as long as the build lasts.
type fetched struct {
	once    sync.Once
	files   tree.FS
	from    tree.Path
	release func() error
	err     error
}

// remotes are the remote sources of a build, each fetched at most once.
type remotes struct {
	mu  sync.Mutex
	all map[plan.Remote]*fetched
}

// remote fetches a remote source, unless that was done.
func (b *build) remote(ctx context.Context, r plan.Remote) *fetched {
	b.fetches.mu.Lock()
	f := b.fetches.all[r]
	if f == nil {
		f = &fetched{}
		if b.fetches.all == nil {
			b.fetches.all = map[plan.Remote]*fetched{}
		}
		b.fetches.all[r] = f
	}
	b.fetches.mu.Unlock()
	f.once.Do(func() {
		if b.Remotes == nil {
			f.err = errNoRemotes
			return
		}
		f.files, f.from, f.release, f.err = b.Remotes.Fetch(ctx, r)
	})
	return f
}

// prefetch fetches, all at once, the remote sources that must be looked at before it
// is known what depends on them.
func (b *build) prefetch(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range b.order {
		for _, w := range s.works {
			for _, r := range plan.Reads(w.Op) {
				if r.Remote != nil {
					all.Go(func() { b.remote(ctx, *r.Remote) })
				}
			}
		}
	}
	all.Wait()
}

func (r *remotes) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, f := range r.all {
		if f.release != nil {
			err = errors.Join(err, f.release())
		}
	}
	return err
}
