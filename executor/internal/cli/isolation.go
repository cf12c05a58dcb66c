package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/ocilayout"
	"github.com/kaniko-suite/kaniko/executor/internal/inplace"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// enter continues the build in namespaces where the user wants that and the
// machine allows it; then it calls leave, and does not return. Otherwise the build
// goes on in place.
func (b *builder) enter(ctx context.Context, leave func() error) error {
	if b.grant != nil {
		return nil
	}
	choice, err := isolated.Choose(ctx, isolated.Mode(b.flags.isolation), isolated.StateDirs(b.flags.kanikoDir))
	if err != nil && b.flags.cache.on && ctx.Err() == nil {
		// It may turn out that there is no command to run.
		b.noNamespaces = err
		return nil
	}
	if err != nil {
		return err
	}
	if choice.Grant == nil {
		if choice.Reason != nil {
			b.env.Log.Debug("namespaces are not to be had here, so RUN runs in place", "reason", choice.Reason)
		}
		return nil
	}
	if err := errors.Join(leave(), b.tracing.Abandon(), b.profile.Abandon()); err != nil {
		return err
	}
	if choice.Grant.Carry, err = b.handOver(); err != nil {
		return err
	}
	exit, err := isolated.Enter(ctx, choice.Grant)
	if err != nil {
		return err
	}
	if err := b.leave(); err != nil {
		b.env.Log.Warn(err.Error()) // how the build ended is what counts
	}
	exit.Leave()
	return nil
}

// inPlace is the driver on this container's own root.
func (b *builder) inPlace(ctx context.Context, cleanup bool) (sandbox.Driver, error) {
	keep := b.keep()
	if slices.Contains(keep, "/") {
		return nil, &rootContextError{}
	}
	modes := map[string]inplace.Mode{"full": inplace.Full, "redo": inplace.Redo, "time": inplace.Time}
	driver, err := inplace.New(ctx, inplace.Options{
		Dir:           filepath.Dir(b.work.Path),
		Work:          b.work.Path,
		Keep:          keep,
		Ignored:       b.flags.ignored(),
		CaptureVarRun: !b.flags.whitelistVarRun,
		Mode:          modes[b.flags.snapshotMode],
		Cleanup:       cleanup,
		Force:         b.flags.force,
		Warn:          func(text string) { b.env.Log.Warn(text) },
		Debug:         func(text string) { b.env.Log.Debug(text) },
	})
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// rootContextError is a build in place that would copy from the root that it changes.
type rootContextError struct{}

func (*rootContextError) Error() string {
	return "build in place: the build context is /, which the build itself changes"
}

// ExitCode is that of a wrong command line.
func (*rootContextError) ExitCode() int { return int(command.Usage) }

// Hint says what to do instead.
func (*rootContextError) Hint() string {
	return "name a directory with --context, or build with --isolation=namespaces"
}

// keep are the paths that the build must find where they are.
func (b *builder) keep() []string {
	paths := append(b.host.Keep(), b.flags.ownFiles()...)
	if b.context.Dir != "" && !b.context.Fetched {
		paths = append(paths, b.context.Dir)
	}
	if b.store != nil {
		paths = append(paths, b.store.Path())
	}
	for _, repo := range b.flags.cacheRepos() {
		if dir, ok := layoutDir(repo); ok {
			paths = append(paths, dir)
		}
	}
	for _, n := range b.contexts {
		if n.location != nil {
			paths = append(paths, n.location.Dir)
		} else if dir, ok := ocilayout.Dir(n.Image); ok {
			paths = append(paths, dir)
		}
	}
	return paths
}

// workDir makes the directory that holds what this build has under way.
func (b *builder) workDir() (*disk.Temp, error) {
	dirs := isolated.StateDirs(b.flags.kanikoDir)
	if b.grant != nil {
		dirs = []isolated.StateDir{{Path: b.grant.Dir}}
	}
	var failed error
	for _, d := range dirs {
		if d.Make {
			if err := os.MkdirAll(d.Path, 0o700); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		dir, err := disk.MakeTemp(d.Path, "kaniko-build-")
		if err == nil {
			return dir, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, &workDirError{failed}
}

// workDirError is a build without a place for its own files.
type workDirError struct{ err error }

func (e *workDirError) Error() string {
	return fmt.Sprintf("make a directory for the build's own files: %v", e.err)
}

func (e *workDirError) Unwrap() error { return e.err }

// ExitCode is that of what cannot be written, unless the disk is at fault.
func (e *workDirError) ExitCode() int {
	if errors.Is(e.err, syscall.ENOSPC) || errors.Is(e.err, syscall.EIO) {
		return int(command.DiskFull)
	}
	return int(command.CannotCreate)
}

// Hint says how to give it one.
func (*workDirError) Hint() string {
	return "name a directory that can be written to, with --kaniko-dir"
}
