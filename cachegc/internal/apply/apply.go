// Package apply does what a plan says: it deletes, and puts back. Before it deletes
// something it looks whether that is still what the plan means, and whether a build has
// used it since. It can be stopped at any time and begun again.
package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Status is what became of an entry.
type Status string

// What became of entries.
const (
	Deleted  Status = "deleted"
	Gone     Status = "gone"     // it was not there any more
	Replaced Status = "replaced" // its tag stands for something else now
	Used     Status = "used"     // by a build, since the plan was made
	Referred Status = "referred" // something refers to it
	Locked   Status = "locked"   // the registry was told to keep it
	Failed   Status = "failed"
)

// Options are what [Run] goes by.
type Options struct {
	// Grace is how young a blob in a directory is that is left alone.
	Grace time.Duration
	// Again is how long what is known of new journals is good for; default one minute.
	Again time.Duration
	// AtATime is how many are deleted at a time; default 4.
	AtATime int
	Now     func() time.Time
	// Referrers asks of each whether something refers to it.
	Referrers bool
	// Report, if set, is told of each, never of two at once.
	Report func(*plan.Entry, Status, error)
}

// Result is what was done.
type Result struct {
	Counts map[Status]int
	// Bytes is what is no more needed, by the plan.
	Bytes int64
	// Left is how many were not come to.
	Left int
}

// running is a plan that is being done.
type running struct {
	place place.Place
	cache *plan.Cache
	o     Options
	known map[string]bool // journals that the plan knows

	mu     sync.Mutex
	result Result
	errs   []error

	looking sync.Mutex // held by who looks for journals
	looked  time.Time
	used    map[string]bool // keys of new journals
	last    map[string]bool // digests of the last journals of lineages
	listed  map[string]bool // all tags
	// subjects are the digests that a tag says it has referrers or a signature of.
	subjects map[string]bool
}

// UnsupportedError is a place that does not delete.
type UnsupportedError struct {
	Place string
	Err   error
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("clean %s: %v", e.Place, e.Err) }
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *UnsupportedError) Hint() string {
	var inner interface{ Hint() string }
	if errors.As(e.Err, &inner) && inner.Hint() != "" {
		return inner.Hint()
	}
	return "allow deletion in the registry's configuration, or choose its kind with --registry-kind; see docs/cachegc-registries.md"
}

// ExitCode is that of a registry that does not delete, or not for us.
func (e *UnsupportedError) ExitCode() int { return 4 }

// Probe finds out whether a place deletes. The error is an [UnsupportedError] if it says
// that it does not, and otherwise that of a place that could not be asked.
func Probe(ctx context.Context, p place.Place) error {
	can, err := p.Probe(ctx)
	if err == nil && can.Delete == kind.No {
		err = &UnsupportedError{p.String(), can.Why}
	}
	return err
}

// Run deletes what a plan says. An error does not keep it from going on with the others,
// unless the place does not delete at all.
func Run(ctx context.Context, p place.Place, c *plan.Cache, o Options) (Result, error) {
	if o.Again <= 0 {
		o.Again = time.Minute
	}
	if o.AtATime < 1 {
		o.AtATime = 4
	}
	r := &running{place: p, cache: c, o: o, known: map[string]bool{}, result: Result{Counts: map[Status]int{}}}
	for _, e := range c.Entries {
		for _, tag := range e.Tags {
			if e.Kind == inventory.Journal && strings.HasPrefix(tag, cache.JournalPrefix) {
				r.known[tag] = true
			}
		}
	}
	postponed, err := r.pass(ctx, c.Victims())
	if err == nil && len(postponed) > 0 {
		// What referred to them may be gone by now.
		postponed, err = r.pass(ctx, postponed)
	}
	if err == nil {
		for _, e := range postponed {
			r.note(e, Referred, nil)
		}
	}
	for _, tag := range c.Dangling {
		if err == nil {
			err = r.untag(ctx, tag)
		}
	}
	if err == nil { // also if nothing was deleted: one that was killed may have left this undone
		_, err = p.Settle(ctx, o.Now(), o.Grace)
	}
	done := 0
	for _, n := range r.result.Counts {
		done += n
	}
	r.result.Left = len(c.Victims()) - done
	return r.result, errors.Join(append(r.errs, err)...)
}

// pass goes through entries once. It returns those that something refers to.
func (r *running) pass(ctx context.Context, victims []*plan.Entry) ([]*plan.Entry, error) {
	var mu sync.Mutex
	var postponed []*plan.Entry
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.AtATime)
	for _, e := range victims {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			status, err := r.remove(gctx, e)
			switch {
			case gctx.Err() != nil && status == Failed:
				return context.Cause(gctx) // not come to
			case errors.Is(err, registry.ErrReferenced):
				mu.Lock()
				postponed = append(postponed, e)
				mu.Unlock()
				return nil
			case hopeless(err):
				return err
			}
			r.note(e, status, err)
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return postponed, err
}

// hopeless tells whether nothing else will be deleted either.
func hopeless(err error) bool {
	var unsupported *UnsupportedError
	var rest *registry.RestError
	return errors.As(err, &unsupported) || errors.As(err, &rest)
}

func (r *running) note(e *plan.Entry, s Status, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Counts[s]++
	if s == Deleted {
		r.result.Bytes += e.Freed
	}
	if s == Failed {
		r.errs = append(r.errs, err)
	}
	if r.o.Report != nil {
		r.o.Report(e, s, err)
	}
}

// remove deletes one entry, if it may go.
func (r *running) remove(ctx context.Context, e *plan.Entry) (Status, error) {
	if err := r.look(ctx); err != nil {
		return Failed, err
	}
	digest, err := v1.NewHash(e.Digest)
	if err != nil {
		return Failed, err
	}
	if status, err := r.still(ctx, e, digest); status != "" {
		return status, err
	}
	if r.o.Referrers {
		referred, err := r.place.Referred(ctx, digest)
		if err != nil {
			return Failed, err
		}
		if referred {
			return Referred, nil
		}
	}
	// What is begun is finished: a registry that is stopped while it deletes may leave tags
	// that stand for nothing.
	deleting, stop := outlasting(ctx, finish)
	defer stop()
	err = r.place.Delete(deleting, kind.Victim{Digest: digest, Tags: e.Tags, Used: e.Used})
	var answer *registry.Error
	switch {
	case err == nil:
		return Deleted, nil
	case errors.Is(err, place.ErrUsed):
		return Used, nil
	case errors.Is(err, registry.ErrLocked):
		return Locked, nil
	case errors.Is(err, registry.ErrUnsupported),
		errors.As(err, &answer) && (answer.Status == 401 || answer.Status == 403) && !errors.Is(err, registry.ErrReferenced):
		return Failed, &UnsupportedError{r.place.String(), err}
	}
	return Failed, err
}

// finish bounds how long a deletion that was begun is waited for when the time is over.
const finish = 20 * time.Second

// outlasting is a context that is done some time after another.
func outlasting(ctx context.Context, by time.Duration) (context.Context, func()) {
	longer, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	over := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		t := time.NewTimer(by)
		defer t.Stop()
		select {
		case <-t.C:
			stop(context.Cause(ctx))
		case <-over:
		}
	})
	return longer, func() {
		unwatch()
		close(over)
		stop(nil)
	}
}

// untag removes a tag that stands for nothing, if it still does.
func (r *running) untag(ctx context.Context, tag string) error {
	if _, err := r.place.Current(ctx, tag); !place.Missing(err) {
		return err
	}
	return r.place.Untag(ctx, tag)
}

// still tells whether an entry is still what the plan means; the status is empty if so.
func (r *running) still(ctx context.Context, e *plan.Entry, digest v1.Hash) (Status, error) {
	r.looking.Lock()
	used, last, referred := r.used[e.Key] && e.Key != "", r.last[e.Digest], r.subjects[e.Digest]
	r.looking.Unlock()
	switch {
	case used || last:
		return Used, nil
	case referred:
		return Referred, nil
	}
	there := false
	for _, tag := range e.Tags {
		now, err := r.place.Current(ctx, tag)
		switch {
		case place.Missing(err):
			if err := r.dangling(ctx, tag); err != nil {
				return Failed, err
			}
		case err != nil:
			return Failed, err
		case now != digest:
			return Replaced, nil
		default:
			there = true
		}
	}
	if !there && len(e.Tags) > 0 {
		return Gone, nil
	}
	return "", nil
}

// dangling removes a tag that is listed and was found to stand for nothing.
func (r *running) dangling(ctx context.Context, tag string) error {
	r.looking.Lock()
	listed := r.listed[tag]
	r.looking.Unlock()
	if !listed {
		return nil
	}
	return r.place.Untag(ctx, tag)
}

// look reads the journals that builds have left since the plan was made, if that was not
// done of late.
func (r *running) look(ctx context.Context) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	if r.used != nil && r.o.Now().Sub(r.looked) < r.o.Again {
		return nil
	}
	if r.used == nil {
		r.used = map[string]bool{}
	}
	var fresh, last []string
	r.listed, r.subjects = map[string]bool{}, map[string]bool{}
	err := r.place.Tags(ctx, func(tag kind.Tag) error {
		r.listed[tag.Name] = true
		if digest, ok := inventory.Subject(tag.Name); ok {
			r.subjects[digest] = true
		}
		switch {
		case strings.HasPrefix(tag.Name, cache.JournalPrefix) && !r.known[tag.Name]:
			fresh = append(fresh, tag.Name)
		case strings.HasPrefix(tag.Name, cache.LastPrefix):
			last = append(last, tag.Name)
		}
		return nil
	})
	if err != nil && !place.Missing(err) {
		return err
	}
	for _, tag := range fresh {
		if err := r.read(ctx, tag); err != nil {
			return err
		}
		r.known[tag] = true
	}
	r.last = map[string]bool{}
	if r.journals() {
		for _, tag := range last {
			h, err := r.place.Current(ctx, tag)
			if err != nil && !place.Missing(err) {
				return err
			}
			r.last[h.String()] = true
		}
	}
	r.looked = r.o.Now()
	return nil
}

// journals tells whether the plan deletes any.
func (r *running) journals() bool {
	for _, e := range r.cache.Victims() {
		if e.Kind == inventory.Journal {
			return true
		}
	}
	return false
}

const (
	maxManifest = 4 << 20
	maxJournal  = 8 << 20 // what shared/cache lets a journal have, in bytes
)

// read notes what keys a journal has. One that is gone, or damaged, says nothing.
func (r *running) read(ctx context.Context, tag string) error {
	m, err := r.place.Manifest(ctx, tag, maxManifest)
	if place.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var said v1.Manifest
	if json.Unmarshal(m.Raw, &said) != nil || said.Config.MediaType != cache.JournalType {
		return nil
	}
	raw, err := r.place.Blob(ctx, said.Config.Digest, maxJournal)
	if place.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var j cache.Journal
	if json.Unmarshal(raw, &j) != nil {
		return nil
	}
	for _, s := range j.Steps {
		r.used[string(s.Key)] = true
	}
	return nil
}
