package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/ocilayout"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// imageScheme begins the value of a --build-context that is an image.
const imageScheme = "docker-image://"

// named is a --build-context: an image, or files of this machine or another.
type named struct {
	plan.Context
	location *buildcontext.Location // of a directory; nil until it is opened for others
	address  string                 // of what is opened only when the build begins
}

// namedContexts reads the values of --build-context, NAME=VALUE.
func (b *builder) namedContexts(ctx context.Context) (map[string]named, error) {
	all := map[string]named{}
	stdin := b.readsStdin()
	for _, text := range b.flags.contexts {
		name, value, _ := strings.Cut(text, "=")
		fail := func(err error) error { return &contextError{remote.Redact(value), name, err} }
		_, twice := all[name]
		switch {
		case name == "" || value == "":
			return nil, &contextError{text, "", errors.New("it is not NAME=VALUE")}
		case twice:
			return nil, fail(fmt.Errorf("there are two named %s", name))
		}
		n, err := b.namedContext(ctx, value, &stdin)
		if err != nil {
			return nil, fail(err)
		}
		all[name] = n
	}
	return all, nil
}

// namedContext reads one value; stdin says whether standard input is spoken for.
func (b *builder) namedContext(ctx context.Context, value string, stdin *bool) (n named, err error) {
	if image, ok := strings.CutPrefix(value, imageScheme); ok {
		n.Image = image
		return n, nil
	}
	if dir, ok := strings.CutPrefix(value, ocilayout.Scheme); ok {
		// Not filepath.Abs: a tag or digest may follow.
		if !filepath.IsAbs(dir) {
			if dir, err = filepath.Abs(dir); err != nil {
				return n, err
			}
		}
		n.Image = ocilayout.Scheme + dir
		return n, ocilayout.Check(n.Image)
	}
	finder, err := b.finder(true)
	if err != nil {
		return n, err
	}
	switch kind, err := finder.Kind(value); {
	case err != nil:
		return n, err
	case kind == buildcontext.Stdin && *stdin:
		return n, errors.New("standard input is read for something else, and can be read once only")
	case kind != buildcontext.Directory:
		*stdin = *stdin || kind == buildcontext.Stdin
		n.address = value
		return n, nil
	}
	n.location, err = finder.Find(ctx, value)
	return n, err
}

// planned are the contexts as the plan wants them.
func planned(all map[string]named) map[string]plan.Context {
	out := map[string]plan.Context{}
	for name, n := range all {
		out[name] = n.Context
	}
	return out
}

// openContexts opens those that are files, less what their ignore files leave out.
// Those of other machines are fetched.
func (b *builder) openContexts(ctx context.Context) (map[string]tree.FS, error) {
	out := map[string]tree.FS{}
	b.fetched = map[string]*buildcontext.Location{}
	for _, name := range slices.Sorted(maps.Keys(b.contexts)) {
		n := b.contexts[name]
		if n.Image != "" {
			continue
		}
		at := n.location
		if at == nil {
			var err error
			if at, err = b.fetchContext(ctx, n.address, true); err != nil {
				return nil, fmt.Errorf("fetch build context %s: %w", name, err)
			}
			b.opened = append(b.opened, at)
			b.fetched[name] = at
		}
		at.Without = b.ownPaths()
		files, err := at.Open(buildcontext.Dockerfile{})
		if err != nil {
			return nil, err
		}
		out[name] = files
	}
	return out, nil
}

// contextError is a --build-context that cannot be used.
type contextError struct {
	value string // without secrets
	name  string
	err   error
}

func (e *contextError) Error() string {
	text := e.value
	if e.name != "" {
		text = e.name + "=" + e.value
	}
	return fmt.Sprintf("read --build-context %s: %v", text, e.err)
}

func (e *contextError) Unwrap() error { return e.err }

// ExitCode is that of a wrong command line.
func (e *contextError) ExitCode() int { return int(command.Usage) }
