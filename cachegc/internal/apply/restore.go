package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// What became of entries to be put back.
const (
	Restored   Status = "restored"
	There      Status = "there"      // something is under its tag already
	Incomplete Status = "incomplete" // its blobs are gone
	Unsaved    Status = "unsaved"    // the plan does not have its manifest
)

// LostError is what could not be put back.
type LostError struct {
	Place string
	Lost  int
	Of    int
}

func (e *LostError) Error() string {
	return fmt.Sprintf("restore %s: %d of %d cannot be put back, for their blobs are gone or the plan does not have them", e.Place, e.Lost, e.Of)
}

// Restore puts back what a plan has deleted. What is under its tag already stays as it is.
// The error is a [LostError] if only something was not there any more.
func Restore(ctx context.Context, p place.Place, c *plan.Cache, report func(*plan.Entry, Status)) (Result, error) {
	r := Result{Counts: map[Status]int{}}
	for n, e := range c.Victims() {
		status, err := restore(ctx, p, e)
		if err != nil {
			r.Left = c.Totals.Delete - n
			return r, fmt.Errorf("restore %s in %s: %w", e.Digest, p, err)
		}
		r.Counts[status]++
		if status == Restored {
			r.Bytes += e.Freed
		}
		report(e, status)
	}
	if lost := r.Counts[Incomplete] + r.Counts[Unsaved]; lost > 0 {
		return r, &LostError{p.String(), lost, c.Totals.Delete}
	}
	return r, nil
}

func restore(ctx context.Context, p place.Place, e *plan.Entry) (Status, error) {
	status := There
	for _, tag := range e.Tags {
		_, err := p.Current(ctx, tag)
		if err == nil {
			continue
		}
		if !place.Missing(err) {
			return "", err
		}
		if len(e.Manifest) == 0 {
			return Unsaved, nil
		}
		err = p.Put(ctx, tag, e.Manifest, e.MediaType)
		if errors.Is(err, registry.ErrIncomplete) {
			return Incomplete, nil
		}
		if err != nil {
			return "", err
		}
		status = Restored
	}
	return status, nil
}
