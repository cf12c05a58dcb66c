package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
)

// kanikoDir is where the executor's image has its own files.
const kanikoDir = "/kaniko"

// The values of --isolation.
const (
	isolationAuto       = "auto"
	isolationInPlace    = "in-place"
	isolationNamespaces = "namespaces"
)

// enter continues the build in namespaces where the user wants that and the
// machine allows it; then it does not return. Otherwise the build goes on in place.
func (b *builder) enter(ctx context.Context) error {
	if b.grant != nil || b.flags.isolation == isolationInPlace {
		return nil
	}
	grant, err := isolated.Probe(ctx, b.stateDirs())
	var refused *isolated.Refused
	switch {
	case errors.As(err, &refused) && b.flags.isolation == isolationAuto:
		b.env.Log.Debug("namespaces are not to be had here, building in place", "reason", err)
		return nil
	case err != nil:
		return err
	}
	exit, err := isolated.Enter(ctx, grant)
	if err != nil {
		return err
	}
	exit.Leave()
	return nil
}

// stateDirs are the directories where layers may be kept, the best first.
func (b *builder) stateDirs() []isolated.StateDir {
	if dir := b.flags.kanikoDir; dir != "" {
		return []isolated.StateDir{{Path: dir, Make: true, Memory: true}}
	}
	dirs := []isolated.StateDir{{Path: kanikoDir}}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, isolated.StateDir{Path: filepath.Join(cache, "kaniko"), Make: true})
	}
	return append(dirs, isolated.StateDir{Path: filepath.Join(os.TempDir(), fmt.Sprintf("kaniko-%d", os.Getuid())), Make: true})
}

// stateDir is where this build keeps what it has under way.
func (b *builder) stateDir() (string, error) {
	if b.grant != nil {
		return b.grant.Dir, nil
	}
	var first error
	for _, d := range b.stateDirs() {
		if d.Make {
			if err := os.MkdirAll(d.Path, 0o700); err != nil {
				first = errors.Join(first, err)
				continue
			}
		}
		if info, err := os.Stat(d.Path); err == nil && info.IsDir() {
			return d.Path, nil
		} else if err != nil {
			first = errors.Join(first, err)
		}
	}
	return "", fmt.Errorf("find a directory for the build's own files: %w", first)
}
