package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/host"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/progress"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// builder is one invocation of the executor.
type builder struct {
	flags flags
	env   *command.Env
	grant *isolated.Grant

	context    *buildcontext.Location
	contexts   map[string]named
	opened     []*buildcontext.Location // of contexts
	host       *host.Host
	dockerfile buildcontext.Dockerfile
	tracing    *trace.Provider
	progress   *progress.Progress
	observer   engine.Observer
	client     *registry.Client
	bases      *base.Dir
	store      *base.Store // the directory of base images; nil without
	work       *disk.Temp  // holds what is under way
	// noNamespaces is why a build that must run commands in namespaces cannot.
	noNamespaces error
}

// run builds. What is wrong with the input is found before anything is asked of a
// registry, and what is wrong with the plan before anything runs.
func (b *builder) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, b.leave()) }()
	file, err := b.read(ctx)
	if err != nil {
		return err
	}
	if mayRun(file) {
		if err := b.enter(ctx, func() error { return nil }); err != nil {
			return err
		}
	}
	ctx, end := b.observe(ctx)
	defer func() { end(err) }()
	closeAll, err := b.open(ctx)
	if err != nil {
		return err
	}
	closeAll = sync.OnceValue(closeAll)
	defer func() { err = errors.Join(err, closeAll()) }()
	p, err := b.compile(ctx, file, b.images(b.bases))
	if err != nil {
		return err
	}
	if runs(p, nil) && !mayRun(file) {
		// Only a base's triggers run commands, which the base alone could tell.
		if err := b.enter(ctx, closeAll); err != nil {
			return err
		}
	}
	return b.build(ctx, p)
}

// read finds and parses the Dockerfile.
func (b *builder) read(ctx context.Context) (*dockerfile.File, error) {
	if err := b.find(ctx, false); err != nil {
		return nil, err
	}
	return b.parse()
}

// mayRun reports whether a RUN stands in the file. A build of one without can
// still come to run commands, by the triggers of a base.
func mayRun(f *dockerfile.File) bool {
	for _, s := range f.Stages {
		for _, i := range s.Instructions {
			if _, ok := i.(*dockerfile.Run); ok {
				return true
			}
		}
	}
	return false
}

// observe opens what looks at the build.
func (b *builder) observe(ctx context.Context) (context.Context, func(error)) {
	tracing, err := trace.Open(ctx, trace.Options{
		Service: "kaniko-executor", Version: command.Release, LookupEnv: b.env.LookupEnv,
		Warn: func(err error) { b.env.Log.Warn(err.Error()) },
	})
	if err != nil {
		b.env.Log.Warn(err.Error())
	}
	b.tracing = tracing
	b.progress = progress.New(progress.Options{Log: b.env.Log, Output: b.env.Stdout, Screen: b.env.Terminal()})
	if b.env.Terminal() != nil {
		b.env.LogTo(b.progress.Writer())
	}
	b.observer = engine.Observers(tracing.Observer(), b.progress)
	ctx, endSpan := tracing.Start(ctx, "build")
	b.env.Page.Trace = tracing.ID(ctx)
	b.env.Page.Output = b.progress.Tail
	return ctx, func(err error) {
		b.progress.Close()
		b.env.LogTo(b.env.Stderr)
		endSpan(err)
		if err := tracing.Close(); err != nil {
			b.env.Log.Warn(err.Error())
		}
	}
}

// open makes ready what the build works with: a directory of its own, which stays
// until leave, and the registries.
func (b *builder) open(ctx context.Context) (closeAll func() error, err error) {
	if err = registry.TrustRoots(); err != nil {
		return nil, err
	}
	if err = b.makeWork(); err != nil {
		return nil, err
	}
	b.client = registry.New(registry.Config{
		Options:   b.flags.registryOptions(),
		Keychain:  keychain.FromEnvironment(b.env.Getenv),
		Wrap:      b.tracing.Transport,
		UserAgent: "kaniko/" + command.Release,
		Observe: func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
			return b.observer.Transfer(ctx, engine.Transfer{Kind: kind, Name: name, Size: size})
		},
	})
	pulled := filepath.Join(b.work.Path, "bases")
	if err = os.Mkdir(pulled, 0o700); err == nil {
		b.bases, err = base.Open(ctx, pulled, b.client, 0)
	}
	if err != nil {
		return nil, err
	}
	if b.store, err = b.openStore(); err != nil {
		return nil, errors.Join(err, b.bases.Close())
	}
	return func() error { return errors.Join(b.closeStore(), b.bases.Close()) }, nil
}

// compile makes the plan.
func (b *builder) compile(ctx context.Context, file *dockerfile.File, bases plan.Bases) (*plan.Plan, error) {
	o := b.options()
	o.Bases = bases
	var err error
	if o.Ignore, err = b.context.Ignore(b.dockerfile); err != nil {
		return nil, err
	}
	p, err := plan.Compile(ctx, file, o)
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings {
		b.env.Log.Warn(w.String())
	}
	return p, nil
}

// options are what the plan depends on beside the Dockerfile, as the flags say it.
func (b *builder) options() plan.Options {
	return plan.Options{
		BuildArgs:      b.flags.args(b.env.LookupEnv),
		Target:         b.flags.target,
		TargetPlatform: b.flags.targetPlatform(),
		BuildPlatform:  v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Labels:         b.flags.labelMap(),
		Contexts:       planned(b.contexts),
	}
}

// build runs the plan.
func (b *builder) build(ctx context.Context, p *plan.Plan) (err error) {
	created, prescribed, err := b.created(b.flags.args(b.env.LookupEnv))
	if err != nil {
		return err
	}
	out, err := b.exporter(ctx)
	if err != nil {
		return err
	}
	b.context.Without = b.ownDirs()
	files, err := b.context.Open(b.dockerfile)
	if err != nil {
		return err
	}
	fetcher := b.fetcher()
	contexts, err := b.openContexts(ctx)
	if err != nil {
		return err
	}
	if b.host, err = b.openHost(); err != nil {
		return err
	}
	caching, err := b.caching()
	if err != nil {
		return err
	}
	compression, err := b.flags.out.layers()
	if err != nil {
		return err
	}
	form, err := b.flags.out.form()
	if err != nil {
		return err
	}
	var drivers []sandbox.Driver
	defer func() {
		for _, d := range drivers {
			err = errors.Join(err, d.Close())
		}
	}()
	open := func(ctx context.Context) (sandbox.Driver, error) {
		if len(drivers) == 0 {
			d, err := b.driver(ctx)
			if err != nil {
				return nil, err
			}
			drivers = append(drivers, b.tracing.Driver(d))
		}
		return drivers[0], nil
	}
	img, err := engine.Build(ctx, engine.Config{
		Plan: p, Context: files, Contexts: contexts, Host: b.host,
		Remotes: fetcher,
		Bases:   b.images(b.bases), Sandboxes: open, Exporter: out, Cache: caching,
		Spool: b.work.Path, Observer: b.observer, Created: created, Clamp: prescribed, Squash: b.flags.singleSnapshot,
		Compression: compression, Form: form, Ignored: b.flags.ignored(),
	})
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	b.env.Log.Info("built " + digest.String())
	return err
}

// openHost reads what commands may have of this machine, before a build in place
// could take it away. The directory of caches outlives the build: beside the one
// that does not, unless the user named one.
func (b *builder) openHost() (*host.Host, error) {
	caches := b.flags.cacheMounts
	if caches == "" {
		caches = filepath.Join(filepath.Dir(b.work.Path), "cache-mounts")
	}
	caches, err := filepath.Abs(caches)
	if err != nil {
		return nil, err
	}
	return host.Open(host.Options{
		Secrets: b.flags.secrets, Agents: b.flags.agents, Caches: caches, LookupEnv: b.env.LookupEnv,
	})
}

// runs reports whether the plan runs a command that is not known to be cached.
func runs(p *plan.Plan, known map[*plan.Step]engine.Forecast) bool {
	for _, stage := range p.Stages {
		for _, step := range stage.Steps {
			if _, ok := step.Op.(plan.Run); ok && !known[step].Cached() {
				return true
			}
		}
	}
	return false
}

// driver is the sandbox driver. It is made when a command is to be run: a build of
// which the cache has all needs no privileges.
func (b *builder) driver(ctx context.Context) (sandbox.Driver, error) {
	switch {
	case b.noNamespaces != nil:
		return nil, b.noNamespaces
	case b.grant != nil:
		return isolated.New(ctx, b.grant)
	}
	return b.inPlace(ctx)
}
