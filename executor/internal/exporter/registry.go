package exporter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Registry pushes to registries: layers as they come, then the manifest under
// every tag. Several repositories of one registry are sent a layer once; the
// others mount it. A repository that fails stops no other.
type Registry struct {
	Client *registry.Client
	Tags   []name.Tag
	// IgnoreImmutable takes a tag that the registry refuses to move for a success.
	IgnoreImmutable bool
	// Untagged leaves the tags as they are: the image is only known by its digest.
	Untagged bool
	Pushed   func(Result) // may be nil; called by Image, one call at a time

	mu     sync.Mutex
	failed map[string]error // by repository
	lost   error            // a layer that a cache does not have after all; the build will make it
}

var _ engine.Exporter = (*Registry)(nil)

// questions is how many layers a registry is asked about at the same time.
const questions = 16

// Result is what came of one destination.
type Result struct {
	Tag    name.Tag
	Digest v1.Hash
	Err    error // nil if the image is there
	// Kept is set, and Err is not, if another image keeps the tag, which the registry
	// does not move: its refusal.
	Kept error
}

// result is what came of a destination with this error; ignore is for a tag that
// cannot be moved.
func result(t name.Tag, digest v1.Hash, err error, ignore bool) Result {
	if ignore && errors.Is(err, registry.ErrImmutable) {
		return Result{Tag: t, Digest: digest, Kept: err}
	}
	return Result{Tag: t, Digest: digest, Err: err}
}

// PushError is a push that did not reach all destinations.
type PushError struct {
	Results []Result // of every destination, in their order
}

func (e *PushError) Error() string {
	var there, not []string
	for _, r := range e.Results {
		if r.Kept != nil {
			continue
		}
		if r.Err == nil {
			there = append(there, r.Tag.Name()+"@"+r.Digest.String())
		} else {
			not = append(not, r.Err.Error())
		}
	}
	s := strings.Join(not, "; ")
	if len(e.Results) > 1 {
		s = fmt.Sprintf("push to %d of %d destinations: %s", len(not), len(e.Results), s)
	}
	if len(there) > 0 {
		s += "; pushed " + strings.Join(there, ", ")
	}
	return s
}

// Unwrap gives the errors of those destinations that failed.
func (e *PushError) Unwrap() []error {
	var errs []error
	for _, r := range e.Results {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}

// Layer sends a layer to every repository. It fails when no repository is left
// that can get the image; what fails before that is for Image to report.
func (r *Registry) Layer(ctx context.Context, l v1.Layer) error {
	repos := r.repositories()
	var g errgroup.Group
	for _, of := range repos {
		g.Go(func() error {
			r.layer(ctx, of, l)
			return nil
		})
	}
	g.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.lost; err != nil {
		r.lost = nil
		return err
	}
	var errs []error
	for _, of := range repos {
		for _, repo := range of {
			err := r.failed[repo.Name()]
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	return joined(errs)
}

// layer sends a layer to the repositories of one registry: to the first that
// takes it, from which the others mount it.
func (r *Registry) layer(ctx context.Context, of []name.Repository, l v1.Layer) {
	var has name.Repository
	rest := of
	for len(rest) > 0 {
		repo := rest[0]
		rest = rest[1:]
		if r.push(ctx, repo, l) {
			has = repo
			break
		}
	}
	if len(rest) == 0 {
		return
	}
	digest, err := l.Digest()
	if err != nil {
		return // of a layer that could be pushed nowhere
	}
	from := &registry.Placed{Layer: l, At: has.Digest(digest.String())}
	var g errgroup.Group
	for _, repo := range rest {
		g.Go(func() error {
			r.push(ctx, repo, from)
			return nil
		})
	}
	g.Wait()
}

// push sends a layer to one repository, unless that has failed before.
func (r *Registry) push(ctx context.Context, repo name.Repository, l v1.Layer) bool {
	r.mu.Lock()
	failed := r.failed[repo.Name()] != nil
	r.mu.Unlock()
	if failed {
		return false
	}
	err := r.Client.PushLayer(ctx, repo, l)
	var lost *cache.LostError
	switch {
	case errors.As(err, &lost):
		r.mu.Lock()
		r.lost = err
		r.mu.Unlock()
	case err != nil && ctx.Err() == nil:
		r.mu.Lock()
		if r.failed == nil {
			r.failed = make(map[string]error)
		}
		r.failed[repo.Name()] = err
		r.mu.Unlock()
	}
	return err == nil
}

// repositories are those of the tags, each once, by registry.
func (r *Registry) repositories() [][]name.Repository {
	var all [][]name.Repository
	at := make(map[string]int)
	seen := make(map[string]bool)
	for _, t := range r.Tags {
		repo := t.Context()
		if seen[repo.Name()] {
			continue
		}
		seen[repo.Name()] = true
		i, ok := at[repo.RegistryStr()]
		if !ok {
			i = len(all)
			at[repo.RegistryStr()] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], repo)
	}
	return all
}

// Image pushes what layers are not there yet, and the manifest under every tag.
// The error is a [PushError] unless ctx is done.
func (r *Registry) Image(ctx context.Context, img v1.Image) error {
	_, err := r.deliver(ctx, img)
	return err
}

// deliver is Image, and tells what came of each destination.
func (r *Registry) deliver(ctx context.Context, img v1.Image) ([]Result, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	var g errgroup.Group
	g.SetLimit(questions)
	for _, l := range layers {
		g.Go(func() error {
			r.Layer(ctx, l) // what fails is kept for its destinations
			return nil
		})
	}
	g.Wait()
	results := make([]Result, len(r.Tags))
	var report sync.Mutex
	for i, t := range r.Tags {
		g.Go(func() error {
			r.mu.Lock()
			err := r.failed[t.Context().Name()]
			r.mu.Unlock()
			if err == nil {
				err = r.Client.PushImage(ctx, r.reference(t, digest), img)
			}
			results[i] = result(t, digest, err, r.IgnoreImmutable)
			if r.Pushed != nil {
				report.Lock()
				defer report.Unlock()
				r.Pushed(results[i])
			}
			return nil
		})
	}
	g.Wait()
	return results, pushError(ctx, results)
}

// reference is what an image with this digest is pushed under.
func (r *Registry) reference(t name.Tag, digest v1.Hash) name.Reference {
	if r.Untagged {
		return t.Context().Digest(digest.String())
	}
	return t
}

// pushError is what to say of results, nil if all are good.
func pushError(ctx context.Context, results []Result) error {
	for _, res := range results {
		if res.Err == nil {
			continue
		}
		if cause := context.Cause(ctx); cause != nil && errors.Is(res.Err, cause) {
			return res.Err
		}
		return &PushError{results}
	}
	return nil
}
