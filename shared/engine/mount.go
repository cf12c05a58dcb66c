package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// outfit is what one command gets beside its root.
type outfit struct {
	stage   *stage
	mounts  []sandbox.Mount
	env     []string // secrets as variables
	release []func() error
}

// outfit gets ready what a command mounts. It must be closed, also after an error.
func (s *stage) outfit(ctx context.Context, op plan.Run) (*outfit, error) {
	o := &outfit{stage: s}
	for _, m := range op.Mounts {
		if err := o.add(ctx, m); err != nil {
			return o, fmt.Errorf("mount %s at %s: %w", m.Type, m.Target, err)
		}
	}
	// What lies within another mount is to be seen there, in whatever order they
	// are written.
	slices.SortStableFunc(o.mounts, func(a, b sandbox.Mount) int { return depth(a.Target) - depth(b.Target) })
	return o, nil
}

func depth(p tree.Path) int { return len(p.Components()) }

// close gives back what was lent, last of all first.
func (o *outfit) close() error {
	var err error
	for i := len(o.release) - 1; i >= 0; i-- {
		err = errors.Join(err, o.release[i]())
	}
	o.release = nil
	return err
}

func (o *outfit) add(ctx context.Context, m plan.Mount) error {
	out := sandbox.Mount{Target: tree.Clean(m.Target), ReadOnly: m.ReadOnly}
	var err error
	switch m.Type {
	case dockerfile.MountBind:
		out.Files, err = o.bind(ctx, m)
	case dockerfile.MountCache:
		out.Dir, err = o.cache(ctx, m)
	case dockerfile.MountTmpfs:
		out.Tmpfs = &sandbox.Tmpfs{Size: m.Size}
	case dockerfile.MountSecret:
		return o.secret(m, out)
	case dockerfile.MountSSH:
		serve, ok := o.stage.build.Host.Agent(m.ID)
		if !ok {
			return nil
		}
		out.Socket = &sandbox.Socket{Mode: m.Mode, UID: m.UID, GID: m.GID, Serve: serve}
	}
	if err != nil {
		return err
	}
	o.mounts = append(o.mounts, out)
	return nil
}

func (o *outfit) bind(ctx context.Context, m plan.Mount) (*sandbox.Bind, error) {
	from := tree.Clean(m.Source)
	files, release, err := o.stage.open(ctx, m.From, placement.Request{Patterns: []string{literal(from)}})
	if err != nil {
		return nil, err
	}
	o.release = append(o.release, func() error { release(); return nil })
	if real, err := tree.Resolve(files, from); err != nil {
		return nil, err
	} else if _, err := tree.Stat(files, real); errors.Is(err, fs.ErrNotExist) {
		return nil, &placement.NotFoundError{Pattern: m.Source}
	}
	return &sandbox.Bind{FS: files, From: from, Key: m.From.Key()}, nil
}

func (o *outfit) cache(ctx context.Context, m plan.Mount) (*sandbox.Directory, error) {
	c := Cache{ID: m.ID, Sharing: m.Sharing, Mode: m.Mode, UID: m.UID, GID: m.GID}
	if m.From != nil {
		var err error
		if c.Initial, err = o.bind(ctx, m); err != nil {
			return nil, err
		}
	} else {
		c.Source = tree.Clean(m.Source)
	}
	var dir string
	// Whoever has it locked may need this stage's place to give it back.
	err := o.stage.build.turns.aside(ctx, func() (err error) {
		var release func() error
		if dir, release, err = o.stage.build.Host.Cache(ctx, c); err == nil {
			o.release = append(o.release, release)
		}
		return err
	})
	return &sandbox.Directory{Path: dir}, err
}

// secret shows a secret as a file, as a variable, or as both. One that was not
// given, and is not required, is no file, and an empty variable.
func (o *outfit) secret(m plan.Mount, out sandbox.Mount) error {
	value, ok, err := o.stage.build.Host.Secret(m.ID)
	if err != nil {
		return err
	}
	if m.Env != "" {
		o.env = append(o.env, m.Env+"="+string(value))
	}
	if !ok || m.Target == "" {
		return nil
	}
	out.File = &sandbox.Secret{Data: value, Mode: m.Mode, UID: m.UID, GID: m.GID}
	o.mounts = append(o.mounts, out)
	return nil
}

// literal is the pattern that matches exactly p.
func literal(p tree.Path) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(string(p))
}
