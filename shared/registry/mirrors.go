package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// mirror is another place where a registry's repositories are.
type mirror struct {
	host   string // as references have it
	prefix string // of all its repositories; empty for none
}

// routes are the mirrors of each registry, in the order in which they are asked.
type routes map[string][]mirror

func newRoutes(o *Options) (routes, error) {
	all := routes{}
	for _, text := range o.Maps {
		if err := checkMap(text); err != nil {
			return nil, err
		}
		orig, at, _ := strings.Cut(text, "=")
		all.add(canonical(orig), at)
	}
	for _, text := range o.Mirrors {
		if err := checkMirror(text); err != nil {
			return nil, err
		}
		all.add(name.DefaultRegistry, text)
	}
	return all, nil
}

func (r routes) add(of, at string) {
	host, prefix, _ := strings.Cut(at, "/")
	r[of] = append(r[of], mirror{canonical(host), strings.Trim(prefix, "/")})
}

func checkMirror(text string) error {
	host, prefix, _ := strings.Cut(text, "/")
	switch {
	case strings.Contains(text, "://"):
		return fmt.Errorf("%q has a scheme: a mirror is HOST[/PREFIX], and --insecure-registry allows plain HTTP with it", text)
	case strings.Contains(text, "="):
		return fmt.Errorf("%q is not HOST[/PREFIX]; --registry-map takes ORIG=HOST", text)
	case canonical(host) == "":
		return fmt.Errorf("%q is not HOST[/PREFIX]", text)
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		if _, err := name.NewRepository(host + "/" + prefix + "/a"); err != nil {
			return fmt.Errorf("%q is not HOST[/PREFIX]: %w", text, err)
		}
	}
	return nil
}

func checkMap(text string) error {
	orig, at, ok := strings.Cut(text, "=")
	switch {
	case !ok, orig == "", at == "":
		return fmt.Errorf("%q is not ORIG=HOST[/PREFIX]", text)
	case strings.Contains(orig, "/"), canonical(orig) == "":
		return fmt.Errorf("%q is not a registry, such as docker.io", orig)
	}
	return checkMirror(at)
}

// sources are the repositories that what is wanted of repo is pulled from, in the
// order in which they are asked. The first of them is first, if that is one.
func (c *Client) sources(repo, first name.Repository) ([]name.Repository, error) {
	var all []name.Repository
	mirrors := c.routes[repo.RegistryStr()]
	for _, m := range mirrors {
		at := m.host
		if m.prefix != "" {
			at += "/" + m.prefix
		}
		there, err := c.repository(pull, at+"/"+repo.RepositoryStr())
		if err != nil {
			return nil, err
		}
		if there.Name() != repo.Name() {
			all = append(all, there)
		}
	}
	if len(all) == 0 || !c.cfg.Options.SkipFallback {
		all = append(all, repo)
	}
	for i, s := range all {
		if s.Name() == first.Name() {
			copy(all[1:i+1], all[:i])
			all[0] = s
		}
	}
	return all, nil
}

// only tells whether nothing but the registry itself is asked.
func only(repo name.Repository, sources []name.Repository) bool {
	return len(sources) == 1 && sources[0].Name() == repo.Name()
}

// in is what a reference names, in another repository.
func in(ref name.Reference, at name.Repository) name.Reference {
	if d, ok := ref.(name.Digest); ok {
		return at.Digest(d.DigestStr())
	}
	return at.Tag(ref.Identifier())
}

// fromAny asks sources one after the other until one has an answer.
// Where there is but the registry itself, the error is what that said.
func fromAny[T any](ctx context.Context, c *Client, repo name.Repository, sources []name.Repository, ask func(context.Context, name.Repository) (T, error)) (T, error) {
	failed := &mirrorsError{}
	for i, at := range sources {
		var value T
		err := c.passedOver(sources, i)
		if err == nil {
			value, err = ask(c.hurried(ctx, sources, i), at)
		}
		if err == nil || ctx.Err() != nil || only(repo, sources) {
			return value, err
		}
		failed.add(c, at, err)
		c.passOver(sources, i, failed)
	}
	var none T
	return none, failed
}

// hurried is how patiently the nth of several sources is asked: where there is
// another to ask, waiting long for this one is worth nothing.
func (c *Client) hurried(ctx context.Context, sources []name.Repository, n int) context.Context {
	if n == len(sources)-1 || c.cfg.Options.PullRetries != (Retries{}) {
		return ctx
	}
	r := c.cfg.Retry.under(ctx)
	r.Tries = min(r.Tries, 2)
	if r.Longest == 0 || r.Longest > 5*time.Second {
		r.Longest = 5 * time.Second
	}
	return WithRetry(ctx, r)
}

// passedOver is why a source is not asked again: it could not be reached before, and
// there are others.
func (c *Client) passedOver(sources []name.Repository, n int) error {
	if n == len(sources)-1 {
		return nil
	}
	c.mirrors.Lock()
	defer c.mirrors.Unlock()
	if err, ok := c.unreachable[sources[n].RegistryStr()]; ok {
		return err
	}
	return nil
}

// passOver says, once for each host, that another source is asked than the nth.
func (c *Client) passOver(sources []name.Repository, n int, failed *mirrorsError) {
	if n == len(sources)-1 {
		return
	}
	err, host := failed.last(), sources[n].RegistryStr()
	c.mirrors.Lock()
	if Unreachable(err) && err.Status == 0 {
		c.unreachable[host] = err
	}
	warned := c.warned[host]
	c.warned[host] = true
	c.mirrors.Unlock()
	if !warned {
		c.cfg.Warn(fmt.Sprintf("pull from a mirror: %v; asking %s instead", err, sources[n+1].RegistryStr()))
	}
}

// mirrorsError is that no place had what was wanted.
type mirrorsError struct{ tried []*Error }

func (e *mirrorsError) add(c *Client, at name.Repository, err error) {
	var before *Error
	if errors.As(err, &before) && before.Host == at.RegistryStr() && before.Attempt == at.Name() {
		e.tried = append(e.tried, before)
		return
	}
	var one *Error
	if errors.As(c.failed(at.Name(), pull, at, err), &one) {
		e.tried = append(e.tried, one)
		return
	}
	e.tried = append(e.tried, &Error{Attempt: at.Name(), Host: at.RegistryStr(), Repository: at.RepositoryStr(), Err: err})
}

func (e *mirrorsError) last() *Error { return e.tried[len(e.tried)-1] }

func (e *mirrorsError) Error() string {
	all := make([]string, len(e.tried))
	for i, one := range e.tried {
		all[i] = one.Error()
	}
	return strings.Join(all, "; ")
}

// Unwrap is what the last one said: that is the registry itself, or the mirror on
// which it all hung.
func (e *mirrorsError) Unwrap() error { return e.last() }
