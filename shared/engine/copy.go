package engine

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// baggage is the sources of one COPY or ADD, each a request of its own.
type baggage struct {
	stage    *stage
	request  placement.Request // what they have in common
	requests []placement.Request
	releases []func() error
}

// collect opens the sources, and fetches those that are elsewhere.
func (b *baggage) collect(ctx context.Context, op plan.Copy) error {
	if len(op.Sources) > 0 {
		r := b.request
		r.Patterns = op.Sources
		files, release, err := b.stage.open(ctx, op.From, r)
		if err != nil {
			return err
		}
		b.releases = append(b.releases, func() error { release(); return nil })
		r.Source = files
		r.KeepOwner = keepsOwner(op.From)
		b.requests = append(b.requests, r)
	}
	for _, remote := range op.Remotes {
		if err := b.fetch(ctx, remote); err != nil {
			return err
		}
	}
	if len(op.Inline) > 0 {
		r := b.request
		for _, f := range op.Inline {
			r.Inline = append(r.Inline, placement.Inline(f))
		}
		b.requests = append(b.requests, r)
	}
	return nil
}

// errNoRemotes says that a caller did not think of ADD's remote sources.
var errNoRemotes = errors.New("nothing can be fetched here")

// fetch gets one remote source. A repository is copied as a directory is.
func (b *baggage) fetch(ctx context.Context, remote plan.Remote) error {
	f := b.stage.build.remote(ctx, remote)
	if f.err != nil {
		return f.err
	}
	r := b.request
	r.Source, r.Unpack = f.files, remote.Unpack
	r.Patterns = []string{literal(f.from)}
	b.requests = append(b.requests, r)
	return nil
}

// setOwner gives all that is placed the owner that --chown names, by the accounts of
// the files that it is placed on.
func (b *baggage) setOwner(op plan.Copy) error {
	if op.Chown == "" {
		return nil
	}
	names := b.stage.files()
	if op.Link {
		names = nil
	}
	owner, err := placement.ParseOwner(names, op.Chown)
	if err != nil {
		return err
	}
	for i := range b.requests {
		b.requests[i].Owner = &owner
	}
	return nil
}

func (b *baggage) release() {
	for _, release := range b.releases {
		// What stays behind lies in the spool, which the caller removes.
		_ = release()
	}
}
