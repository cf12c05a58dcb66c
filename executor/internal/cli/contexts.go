package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/ocilayout"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// imageScheme begins the value of a --build-context that is an image.
const imageScheme = "docker-image://"

// named is a --build-context: an image, or files of this machine or another.
type named struct {
	plan.Context
	location buildcontext.Location
	remote   string // the address of a repository or an archive
}

// local reports whether n is files of this machine.
func (n named) local() bool { return n.Image == "" && n.remote == "" }

// namedContexts reads the values of --build-context, NAME=VALUE.
func namedContexts(values []string) (map[string]named, error) {
	all := map[string]named{}
	for _, text := range values {
		name, value, _ := strings.Cut(text, "=")
		fail := func(err error) error { return &contextError{text, err} }
		switch {
		case name == "" || value == "":
			return nil, fail(errors.New("it is not NAME=VALUE"))
		case all[name] != named{}:
			return nil, fail(fmt.Errorf("there are two named %s", name))
		}
		n, err := namedContext(value)
		if err != nil {
			return nil, fail(err)
		}
		all[name] = n
	}
	return all, nil
}

func namedContext(value string) (n named, err error) {
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
	if dockerfile.Remote(value) != "" {
		n.remote = value
		return n, nil
	}
	n.location, err = buildcontext.Locate(value)
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
func (b *builder) openContexts(ctx context.Context, fetcher remotes) (map[string]tree.FS, error) {
	out := map[string]tree.FS{}
	for name, n := range b.contexts {
		if n.Image != "" {
			continue
		}
		if n.remote != "" {
			dir, err := fetcher.Directory(ctx, n.remote)
			if err != nil {
				return nil, fmt.Errorf("fetch build context %s: %w", name, err)
			}
			n.location = buildcontext.Location{Dir: dir}
		}
		n.location.Without = b.work.Path
		files, err := n.location.Open(buildcontext.Dockerfile{})
		if err != nil {
			return nil, err
		}
		out[name] = files
	}
	return out, nil
}

// contextError is a --build-context that cannot be used.
type contextError struct {
	text string
	err  error
}

func (e *contextError) Error() string {
	return fmt.Sprintf("read --build-context %s: %v", e.text, e.err)
}

func (e *contextError) Unwrap() error { return e.err }

// ExitCode is that of a wrong command line.
func (e *contextError) ExitCode() int { return int(command.Usage) }
