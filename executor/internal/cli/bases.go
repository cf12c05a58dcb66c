package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/fetch"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/ocilayout"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// openStore opens the directory of base images that warmer fills; nil if there is
// none, or none is to be used.
func (b *builder) openStore() (*base.Store, error) {
	f := b.flags.cache
	if !f.on {
		if f.dirGiven {
			b.env.Log.Warn("--cache-dir has no effect without --cache")
		}
		return nil, nil
	}
	store, err := base.OpenStore(f.dir)
	switch {
	case err == nil:
		return store, nil
	case f.offline:
		return nil, err
	case f.dirGiven || !errors.Is(err, fs.ErrNotExist):
		b.env.Log.Warn("base images are pulled: " + err.Error())
	}
	return nil, nil
}

func (b *builder) closeStore() error {
	if b.store == nil {
		return nil
	}
	return b.store.Close()
}

// images is where base images come from: an OCI layout that the user named, the
// directory of base images, and then next.
func (b *builder) images(next base.Source) ocilayout.Bases {
	if b.store == nil {
		return ocilayout.Bases{Next: next}
	}
	return ocilayout.Bases{Next: &base.Cached{
		Store: b.store, Next: next, Offline: b.flags.cache.offline, StaleIfError: b.flags.cache.stale,
		Warn: func(text string) { b.env.Log.Warn(text) },
	}}
}

// fetcher gets what instructions name by URL.
func (b *builder) fetcher() engine.Remotes {
	if b.flags.cache.offline {
		return noNetwork{}
	}
	return &fetch.Fetcher{Dir: b.work.Path, Credentials: b.gitCredentials(), Fetched: b.remotes.note}
}

// noNetwork fetches nothing.
type noNetwork struct{}

// Fetch implements [engine.Remotes].
func (noNetwork) Fetch(_ context.Context, r plan.Remote) (tree.FS, tree.Path, func() error, error) {
	return nil, "", nil, offlineError{r.URL}
}

// offlineError says that a build without the network needs it.
type offlineError struct{ address string }

func (e offlineError) Error() string {
	return fmt.Sprintf("fetch %s: nothing is fetched with --offline", remote.Redact(e.address))
}

// ExitCode is that of a source out of reach.
func (offlineError) ExitCode() int { return 69 }

// Hint says how to do without.
func (offlineError) Hint() string {
	return "put the file into the build context, or leave out --offline"
}
