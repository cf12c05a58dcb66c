// Package cli is the command line of warmer: its flags and sub-commands, and what
// they call.
package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/progress"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain/clouds"
	"github.com/kaniko-suite/kaniko/shared/timeline"
	"github.com/kaniko-suite/kaniko/shared/trace"
	"github.com/kaniko-suite/kaniko/warmer/internal/warm"
)

// Program is warmer.
func Program() command.Program {
	return command.Program{
		Name: "warmer",
		New:  root,
	}
}

func root(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "warmer",
		Short: "Fetches base images into a directory, ahead of the builds that want them",
		Long: `warmer fetches images into a directory from which executor --cache-dir takes its
base images. What is there already is not fetched again. Several may work on the
same directory at once, and builds may read it meanwhile.`,
		Example: `  warmer --cache-dir /cache --image debian:12 --image golang:1.26
  warmer --cache-dir /cache --dockerfile app/Dockerfile --build-arg VERSION=3 --platform linux/amd64,linux/arm64`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := r.flags.check(); err != nil {
				return command.UsageError(c, "%w", err)
			}
			return r.run(c)
		},
	}
	r.flags.bind(c.Flags())
	return c
}

// runner is one invocation of the warmer.
type runner struct {
	flags    flags
	env      *command.Env
	progress *progress.Progress
	tracing  *trace.Provider
	observer engine.Observer
	client   *registry.Client
	store    *base.Store
}

func (r *runner) run(c *cobra.Command) (err error) {
	ctx, tracing, end, err := trace.Begin(c.Context(), trace.Options{
		Service: "kaniko-warmer", Version: command.Release, Files: r.flags.trace, LookupEnv: r.env.LookupEnv,
		Warn: func(err error) { r.env.Log.Warn(err.Error()) },
	}, "warm")
	if err != nil {
		return err
	}
	r.tracing = tracing
	r.env.Page.Trace = tracing.ID(ctx)
	defer func() { err = end(err) }()
	defer r.show()()
	if err := r.connect(); err != nil {
		return err
	}
	for _, i := range r.flags.images {
		if _, err := r.client.Reference(i); err != nil {
			return command.UsageError(c, "--image: %w", err)
		}
	}
	images, err := r.images(ctx)
	if err != nil {
		return err
	}
	if len(images) == 0 {
		r.env.Log.Warn("the Dockerfiles name no image: there is nothing to warm")
		return nil
	}
	if r.store, err = base.CreateStore(r.flags.cacheDir); err != nil {
		return &directoryError{err}
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	return r.warm(ctx, images)
}

// directoryError is a directory for images that cannot be made.
type directoryError struct{ error }

func (e *directoryError) Unwrap() error { return e.error }

// Hint names the way to another directory.
func (e *directoryError) Hint() string {
	return "give a directory that can be written to, with --cache-dir"
}

// ExitCode is that of an output which cannot be written.
func (e *directoryError) ExitCode() int { return int(command.CannotCreate) }

// show begins to show how it goes.
func (r *runner) show() (end func()) {
	screen := r.env.Terminal()
	r.progress = progress.New(progress.Options{Log: r.env.Log, Output: r.env.Stderr, Screen: screen})
	if screen != nil {
		r.env.LogTo(r.progress.Writer())
	}
	r.observer = engine.Observers(r.tracing.Observer(), r.progress)
	tell := func() {}
	if r.flags.timing {
		recorder := timeline.New(time.Now())
		r.observer = engine.Observers(r.observer, recorder)
		tell = func() {
			recorder.Close()
			recorder.Timeline().Print(r.env.Stderr, r.env.Log, r.env.LogsJSON())
		}
	}
	return func() {
		r.progress.Close()
		r.env.LogTo(r.env.Stderr)
		tell()
	}
}

func (r *runner) connect() error {
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := r.flags.registry.Check(); err != nil {
		return err
	}
	r.client = registry.New(registry.Config{
		Options:   r.flags.registry,
		Keychain:  keychain.New(r.flags.keychain.From(r.env.Getenv), clouds.All()),
		Wrap:      r.tracing.Transport,
		UserAgent: "kaniko-warmer/" + command.Release,
		Warn:      func(text string) { r.env.Log.Warn(text) },
		Observe: func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
			return r.observer.Transfer(ctx, engine.Transfer{Kind: kind, Name: name, Size: size})
		},
	})
	return nil
}

// images are those that the flags name, and those of the Dockerfiles.
func (r *runner) images(ctx context.Context) ([]warm.Image, error) {
	platforms, err := r.flags.targets()
	if err != nil {
		return nil, err
	}
	var all []warm.Image
	for _, ref := range r.flags.images {
		for _, p := range platforms {
			all = append(all, warm.Image{Ref: ref, Platform: p})
		}
	}
	found, err := r.discover(ctx, platforms)
	return warm.Distinct(append(all, found...)), err
}

// discover finds the images of the Dockerfiles. Those that are warm already are asked
// for their triggers in the directory.
func (r *runner) discover(ctx context.Context, platforms []v1.Platform) ([]warm.Image, error) {
	var bases base.Source = base.Remote{Client: r.client}
	if store, err := base.OpenStore(r.flags.cacheDir); err == nil {
		defer store.Close()
		bases = &base.Cached{Store: store, Next: bases, MaxAge: r.flags.cacheTTL}
	}
	return warm.Discover(ctx, r.flags.dockerfiles, r.flags.args(r.env.LookupEnv), platforms, bases)
}

func (r *runner) warm(ctx context.Context, images []warm.Image) error {
	results, err := warm.Run(ctx, warm.Config{
		Store: r.store, Client: r.client, Force: r.flags.force, TTL: r.flags.cacheTTL, Now: time.Now, Report: r.report,
	}, images)
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(err, r.tidy(ctx, results))
}

func (r *runner) report(one warm.Result) {
	if one.Err != nil {
		return // the error page has it
	}
	if one.Actual != "" {
		r.env.Log.Warn(fmt.Sprintf("%s is an image for %s", one.Image, one.Actual))
	}
	r.env.Log.Info(fmt.Sprintf("%s: %s", one.Image, one.Outcome), slog.String("digest", one.Digest.String()))
}

// tidy makes room.
func (r *runner) tidy(ctx context.Context, results []warm.Result) error {
	evicted, err := warm.Tidy(ctx, r.store, int64(r.flags.maxBytes), results, time.Now())
	for _, digest := range evicted.Images {
		r.env.Log.Info("removed image " + digest.String())
	}
	if evicted.Blobs > 0 {
		r.env.Log.Info("removed what no image needs", slog.Int("blobs", evicted.Blobs), slog.Int64("bytes", evicted.Bytes))
	}
	if evicted.Over > 0 {
		r.env.Log.Warn("the images just warmed take more room than --max-bytes allows", slog.Int64("over", evicted.Over))
	}
	if errors.Is(err, warm.ErrBusy) {
		r.env.Log.Warn("nothing was removed from " + r.flags.cacheDir + ": " + err.Error())
		return nil
	}
	return err
}
