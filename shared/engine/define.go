package engine

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// work is a step at work: what it depends on, and what the cache has of it.
type work struct {
	*plan.Step
	// readings are what it reads; nil with known unset if that cannot be said.
	readings []listed
	known    bool
	below    state // before it, as planned is
	leaves   state // after it, likewise
	// planned is how the step is known before anything was done, found how it is
	// known by the content of what it copies from stages.
	planned definition
	found   definition

	entry  *cache.Entry
	why    string         // of a miss, as the store says it
	gone   cachekey.Cause // of the same, in few words
	missed []string
	cause  cachekey.Cause // of the first of missed
	use    cache.Use
	size   int64
}

// definition is a text with its key; the zero value is none.
type definition struct {
	text cachekey.Definition
	key  cachekey.Key
}

func defined(d cachekey.Definition) definition {
	if d == "" {
		return definition{}
	}
	return definition{d, d.Key()}
}

// state names the files of a stage as it goes on; unknown if a step before could not
// be named.
type state struct {
	plan.Identity
	unknown bool
}

// define names what every step depends on, from the stages below upward.
func (b *build) define(ctx context.Context) {
	b.prefetch(ctx)
	b.shareDigests()
	for _, s := range b.order {
		s.define(ctx)
	}
}

func (s *stage) define(ctx context.Context) {
	at := s.below()
	for _, w := range s.works {
		if _, ok := w.Op.(plan.Meta); ok {
			continue
		}
		w.readings, w.known = s.build.readings(ctx, w.Op)
		w.below = at
		w.planned, at = s.name(w, at, w.readings)
		w.leaves = at
	}
	s.planned = at
}

// below is the state that the stage begins with.
func (s *stage) below() state {
	switch from := s.plan.Base; {
	case from.Stage != nil:
		return s.build.stages[from.Stage].planned
	case from.Image != nil:
		return state{Identity: plan.Identity{Image: from.Image.Digest}}
	}
	return state{}
}

// name is the definition of a step with these readings in this state, and the state
// that it leaves.
func (s *stage) name(w *work, at state, readings []listed) (definition, state) {
	unknown := state{unknown: true}
	if !w.known || at.unknown && !linked(w.Op) {
		return definition{}, unknown
	}
	texts := make([]*plan.Listing, len(readings))
	for i, r := range readings {
		texts[i] = r.Listing
	}
	d := plan.DefinitionOf(w.Op, plan.Inputs{Below: at.Identity, Platform: s.plan.Platform, Clamp: s.build.clamp(), Compression: s.build.compression(), Ignored: s.ignoredText()}, texts)
	if at.unknown {
		return defined(d), unknown
	}
	return defined(d), state{Identity: plan.After(w.Op, at.Identity, d)}
}

// compression is what definitions say of the compression of layers: nothing of the
// usual one, so that it changes no key.
func (b *build) compression() string {
	if b.Compression == (layer.Compression{}) {
		return ""
	}
	return b.Compression.String()
}

// linked reports whether what an op makes is the same on any files.
func linked(op plan.Op) bool {
	c, ok := op.(plan.Copy)
	return ok && c.Link
}

// readings are what an op reads. That of a stage is named by how the stage is made.
// If something cannot be read, the step itself will say so, better.
func (b *build) readings(ctx context.Context, op plan.Op) ([]listed, bool) {
	var all []listed
	for _, r := range plan.Reads(op) {
		reading, err := b.reading(ctx, op, r)
		if err != nil {
			return nil, false
		}
		all = append(all, reading)
	}
	return all, true
}

func (b *build) reading(ctx context.Context, op plan.Op, r plan.Read) (listed, error) {
	switch {
	case r.Remote != nil:
		f := b.remote(ctx, *r.Remote)
		if f.err != nil {
			return listed{}, f.err
		}
		return b.list(ctx, "", f.files, placement.Request{Patterns: []string{literal(f.from)}}, false)
	case r.From != nil && r.From.Stage != nil:
		at := b.stages[r.From.Stage].planned
		if at.unknown {
			return listed{}, errUnnamed
		}
		return listed{Listing: plan.Made(at.Identity)}, nil
	case r.From != nil && r.From.Image != nil:
		return listed{Listing: plan.Made(plan.Identity{Image: r.From.Image.Digest})}, nil
	}
	files := b.Context
	if r.From != nil {
		files = b.Contexts[r.From.Context]
	}
	if files == nil {
		return listed{}, errUnnamed
	}
	return b.list(ctx, r.From.Key(), files, requested(r), keepsOwners(op, r.From))
}

var errUnnamed = errors.New("the files that it reads cannot be named")

// requested is what a step reads, in the words of package placement.
func requested(r plan.Read) placement.Request {
	if r.Exact {
		return placement.Request{Patterns: []string{literal(tree.Clean(r.Path))}}
	}
	return placement.Request{Patterns: r.Patterns, Parents: r.Parents, Exclude: r.Exclude}
}

// keepsOwners reports whether the owners of what an op reads matter to it.
func keepsOwners(op plan.Op, from *plan.Source) bool {
	c, ok := op.(plan.Copy)
	return !ok || c.Chown == "" && keepsOwner(from)
}

// keepsOwner reports whether COPY keeps the owners of what it takes from there.
func keepsOwner(from *plan.Source) bool { return from != nil && from.Context == "" }
