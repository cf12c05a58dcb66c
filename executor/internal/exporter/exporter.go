// Package exporter brings what the engine builds to where the user wants it: to
// registries, into an OCI layout, a tarball for docker load, a file with the
// digest, or nowhere. Whatever it writes is there whole or as it was before.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Config is where a build's image goes, in the words of the command line.
type Config struct {
	// Destinations are the tags that the image gets, in registries and in the
	// tarball. They are made by the client's Tag.
	Destinations []name.Tag
	// NoPush keeps the image away from the registries.
	NoPush bool
	// SkipCheck has Check ask nothing.
	SkipCheck bool
	// IgnoreImmutable takes a tag that a registry refuses to move for a success.
	IgnoreImmutable bool
	// LayoutPath is the directory of an OCI layout; empty for none.
	LayoutPath string
	// TarPath is a file for docker load; empty for none.
	TarPath string
	// Attachers attach, one after the other, to what was pushed.
	Attachers []Attacher
	// Notes are written when all else is done.
	Notes []*Note

	Client *registry.Client // may be nil if nothing is pushed
	// Pushed, if set, is told of each destination, what came of it, as soon as
	// that is known. Calls come one at a time.
	Pushed func(Result)
}

// Pushes tells whether the image goes to registries.
func (c *Config) Pushes() bool { return !c.NoPush && len(c.Destinations) > 0 }

// Check asks, before anything is built, whether the destinations may be pushed
// to, each repository once. It asks nothing if nothing is pushed.
func (c *Config) Check(ctx context.Context) error {
	if !c.Pushes() || c.SkipCheck {
		return nil
	}
	var g errgroup.Group
	errs := make([]error, len(c.Destinations))
	for i, d := range c.Destinations {
		g.Go(func() error {
			errs[i] = c.Client.CheckPush(ctx, d.Context())
			return nil
		})
	}
	g.Wait()
	// One repository's error is one, whatever the number of tags.
	seen := make(map[string]bool)
	var distinct []error
	for i, err := range errs {
		if repo := c.Destinations[i].Context().Name(); err != nil && !seen[repo] {
			seen[repo] = true
			distinct = append(distinct, err)
		}
	}
	return joined(distinct)
}

// New makes the exporter of a configuration.
func New(c Config) engine.Exporter {
	var all All
	if c.Pushes() {
		r := &Registry{Client: c.Client, Tags: c.Destinations, IgnoreImmutable: c.IgnoreImmutable, Pushed: c.Pushed}
		if len(c.Attachers) > 0 {
			all = append(all, &attached{r, c.Attachers})
		} else {
			all = append(all, r)
		}
	}
	if c.LayoutPath != "" {
		all = append(all, &Layout{Path: c.LayoutPath})
	}
	if c.TarPath != "" {
		all = append(all, &Tarball{Path: c.TarPath, Tags: c.Destinations})
	}
	var last All
	for _, n := range c.Notes {
		last = append(last, n)
	}
	if len(last) == 0 {
		return all
	}
	return &then{all, last}
}

// All exports to several places at once; to none if it is empty. What fails in
// one place stops no other.
type All []engine.Exporter

var _ engine.Exporter = All{}

// Layer hands l to every exporter.
func (a All) Layer(ctx context.Context, l v1.Layer) error {
	return a.each(func(e engine.Exporter) error { return e.Layer(ctx, l) })
}

// Image hands img to every exporter.
func (a All) Image(ctx context.Context, img v1.Image) error {
	return a.each(func(e engine.Exporter) error { return e.Image(ctx, img) })
}

func (a All) each(f func(engine.Exporter) error) error {
	var g errgroup.Group
	errs := make([]error, len(a))
	for i, e := range a {
		g.Go(func() error {
			errs[i] = f(e)
			return nil
		})
	}
	g.Wait()
	return joined(errs)
}

// joined is [errors.Join] without the wrapping of a single error.
func joined(errs []error) error {
	var some []error
	for _, err := range errs {
		if err != nil {
			some = append(some, err)
		}
	}
	if len(some) == 1 {
		return some[0]
	}
	return errors.Join(some...)
}

// then exports to the second place when the first has the image.
type then struct{ first, second engine.Exporter }

func (t *then) Layer(ctx context.Context, l v1.Layer) error { return t.first.Layer(ctx, l) }

func (t *then) Image(ctx context.Context, img v1.Image) error {
	if err := t.first.Image(ctx, img); err != nil {
		return err
	}
	return t.second.Image(ctx, img)
}

// exitOutput is the exit code of what cannot be written, after sysexits.
const exitOutput = 73

// exitFull is the one of a disk that is full or fails.
const exitFull = 74

// OutputError is a file or directory that could not be written.
type OutputError struct {
	What string // such as "OCI layout"
	Path string
	Err  error
}

func (e *OutputError) Error() string {
	err := e.Err
	var p *os.PathError
	if errors.As(err, &p) && p.Path == e.Path {
		err = p.Err // it would say the path twice
	}
	return fmt.Sprintf("write %s %s: %v", e.What, e.Path, err)
}

func (e *OutputError) Unwrap() error { return e.Err }

// ExitCode is that of what caused the failure, if that has one: a base layer that
// could not be pulled, say, or a disk that is full.
func (e *OutputError) ExitCode() int {
	var inner *registry.Error
	switch {
	case errors.As(e.Err, &inner):
		return inner.ExitCode()
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT), errors.Is(e.Err, syscall.EIO):
		return exitFull
	}
	return exitOutput
}
