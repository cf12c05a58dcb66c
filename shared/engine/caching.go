package engine

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Caching is how a build uses a cache. Whatever goes wrong with the cache, the build
// goes on without.
type Caching struct {
	Store    cache.Store
	Journals cache.Journals // may be nil
	// Runs is for steps that run a command, or copy from a stage, an image or a
	// place that the plan fixes; Copies for those that copy what is here anyway.
	Runs, Copies bool
	ReadOnly     bool   // nothing is put there
	Lineage      string // see [cache.Journal]
	Tool         string // name and version of this program
	// Warn is told, in words, of what the user should know. Calls may come from
	// several goroutines.
	Warn func(string)
}

// credentials are what stands before the host in an address.
var credentials = regexp.MustCompile(`(://)[^/@\s]+@`)

// public is the text of a step as the cache may have it.
func public(text string) string { return credentials.ReplaceAllString(text, "${1}…@") }

// takes reports whether the result of an op is looked for in the cache.
func (c *Caching) takes(op plan.Op) bool {
	switch op := op.(type) {
	case plan.Run, plan.Dir:
		return c.Runs
	case plan.Copy:
		if isLocal(op) {
			return c.Copies
		}
		return c.Runs
	}
	return false
}

// isLocal reports whether all that a COPY or ADD places is at hand before anything
// of a build was done, so that doing it costs little.
func isLocal(op plan.Copy) bool {
	for _, r := range plan.Reads(op) {
		if r.From != nil && r.From.Context == "" {
			return false
		}
	}
	return len(op.Sources)+len(op.Inline) > 0 || len(plan.Reads(op)) > 0
}

// get asks the store for one entry; nil is a miss, and why says the reason if the
// store has one.
func (b *build) get(ctx context.Context, w *work, d definition) {
	if b.lost[d.key] {
		w.why, w.gone = "its entry was damaged", cachekey.Damaged
		return
	}
	if b.cacheless.Load() {
		return
	}
	entry, err := b.Cache.Store.Get(ctx, d.key)
	switch {
	case err == nil:
		w.entry = entry
	case errors.Is(err, cache.ErrMiss):
		if err != cache.ErrMiss {
			w.why = strings.TrimPrefix(err.Error(), cache.ErrMiss.Error()+": ")
			w.gone = cache.Why(err)
		}
	case ctx.Err() == nil:
		b.cacheFailed(err)
	}
}

// cacheFailed tells of the first failure of the cache, and ends its use: what is
// asked of a cache that does not answer costs time, and would fail as well.
func (b *build) cacheFailed(err error) {
	if b.cacheless.Swap(true) {
		return
	}
	b.warn("the layer cache cannot be used, the build goes on without: " + explained(err))
}

// explained is an error with its hint, if it has one.
func explained(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		return err.Error() + " (" + hinted.Hint() + ")"
	}
	return err.Error()
}

func (b *build) warn(text string) {
	if b.Cache != nil && b.Cache.Warn != nil {
		b.Cache.Warn(text)
	}
}
