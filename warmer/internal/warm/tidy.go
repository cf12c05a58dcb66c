package warm

import (
	"context"
	"errors"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/base"
)

const (
	// superseded is for how long after its last use an image stays that no tag leads to
	// any more.
	superseded = 14 * 24 * time.Hour
	// grace protects what another warmer, on a file system without locks, has put and
	// not yet named.
	grace = time.Hour
	// patience is how long the others are waited for, who are adding images.
	patience = time.Minute
)

// ErrBusy says that the directory was not tidied, since others are adding to it.
var ErrBusy = errors.New("others are adding images")

// Tidy removes images until all take no more than so many bytes, if maxBytes is not 0: those
// that were used least recently first, but none of the results. It removes what
// nobody needs any more in any case, and lists the rest for other tools.
func Tidy(ctx context.Context, store *base.Store, maxBytes int64, results []Result, now time.Time) (base.Evicted, error) {
	keep := map[v1.Hash]bool{}
	for _, r := range results {
		if r.Err == nil {
			keep[r.Digest] = true
		}
	}
	waiting, cancel := context.WithTimeoutCause(ctx, patience, ErrBusy)
	defer cancel()
	evicted, err := store.Evict(waiting, base.Retention{MaxBytes: maxBytes, Superseded: superseded, Keep: keep, Grace: grace}, now)
	if err != nil {
		return evicted, err
	}
	return evicted, store.Export(ctx)
}
