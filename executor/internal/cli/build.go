package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/host"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/profile"
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
	"github.com/kaniko-suite/kaniko/shared/timeline"
	"github.com/kaniko-suite/kaniko/shared/timeline/page"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// builder is one invocation of the executor.
type builder struct {
	flags flags
	env   *command.Env
	grant *isolated.Grant

	carried    carried    // from the process before this one
	past       trace.Past // what was done before the trace begins
	context    *buildcontext.Location
	contexts   map[string]named
	opened     []*buildcontext.Location          // of contexts
	fetched    map[string]*buildcontext.Location // of contexts that are elsewhere, by name
	host       *host.Host
	dockerfile buildcontext.Dockerfile
	tracing    *trace.Provider
	profile    *profile.Profile
	progress   *progress.Progress
	recorder   *timeline.Recorder // nil if nobody asks for what it records
	observer   engine.Observer
	client     *registry.Client
	bases      *base.Dir
	store      *base.Store // the directory of base images; nil without
	work       *disk.Temp  // holds what is under way
	remotes    remotes     // what ADD has fetched
	// noNamespaces is why a build that must run commands in namespaces cannot.
	noNamespaces error
	// What came of it, for --report: the plans, the images, and the digest of the image
	// or of the index of them.
	plans   []*plan.Plan
	results []page.Image
	digest  v1.Hash
}

// run builds. What is wrong with the input is found before anything is asked of a
// registry, and what is wrong with the plan before anything runs.
func (b *builder) run(ctx context.Context) (err error) {
	if b.profile, err = profile.Start(b.flags.profile); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.profile.Stop()) }()
	if err := b.trace(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.tell(err)) }()
	if err := b.record(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.leave()) }()
	file, failed := b.begin(ctx)
	ctx, end := b.observe(ctx)
	defer func() { err = errors.Join(err, end(err)) }()
	if failed != nil {
		return failed
	}
	closeAll, err := b.open(ctx)
	if err != nil {
		return err
	}
	closeAll = sync.OnceValue(closeAll)
	defer func() { err = errors.Join(err, closeAll()) }()
	all, err := b.planned(ctx, file)
	if err != nil {
		return err
	}
	if anyRuns(all) && !mayRun(file) {
		// Only a base's triggers run commands, which the base alone could tell.
		if err := b.enter(ctx, closeAll); err != nil {
			return err
		}
	}
	b.tracing.Release()
	return b.build(ctx, all)
}

// begin reads what is to be built, and goes where it is built. Another process may go on
// with it there, which tells of it from the start.
func (b *builder) begin(ctx context.Context) (*dockerfile.File, error) {
	file, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	if mayRun(file) {
		err = b.enter(ctx, func() error { return nil })
	}
	return file, err
}

// planned makes the plans. Until it is known whether another process goes on, nothing is
// told of that.
func (b *builder) planned(ctx context.Context, file *dockerfile.File) ([]variant, error) {
	if !mayRun(file) {
		b.tracing.Hold()
	}
	ctx, end := b.tracing.Part(ctx, "plan")
	told := b.spent(ctx, timeline.Resolve)
	all, err := b.variants(ctx, file, b.tracing.Bases(b.images(b.bases)))
	told(err)
	end(err)
	for _, v := range all {
		b.plans = append(b.plans, v.plan)
	}
	return all, err
}

// read finds and parses the Dockerfile.
func (b *builder) read(ctx context.Context) (*dockerfile.File, error) {
	if err := b.find(ctx, false); err != nil {
		return nil, err
	}
	var file *dockerfile.File
	err := b.past.Do("parse", nil, func() (err error) {
		file, err = b.parse()
		return err
	})
	return file, err
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

// trace opens what is told of the build.
func (b *builder) trace(ctx context.Context) (err error) {
	if b.carried, err = carriedBy(b.grant); err != nil {
		return err
	}
	b.past = b.carried.Past
	if b.past.Started.IsZero() {
		b.past.Started = time.Now()
	}
	b.tracing, err = trace.Open(ctx, trace.Options{
		Service: "kaniko-executor", Version: command.Release, Files: b.flags.trace, LookupEnv: b.env.LookupEnv,
		Warn: func(err error) { b.env.Log.Warn(err.Error()) },
	})
	return err
}

// observe opens what looks at the build. The function that it returns ends that; its
// error is of files that were to be written.
func (b *builder) observe(ctx context.Context) (context.Context, func(error) error) {
	b.progress = progress.New(progress.Options{Log: b.env.Log, Output: b.env.Stdout, Screen: b.env.Terminal()})
	if b.env.Terminal() != nil {
		b.env.LogTo(b.progress.Writer())
	}
	b.observer = engine.Observers(b.tracing.Observer(), b.progress, b.recording())
	ctx, endSpan := b.tracing.Start(ctx, "build", b.past)
	b.env.Page.Trace = b.tracing.ID(ctx)
	b.env.Page.Output = b.progress.Tail
	return ctx, func(err error) error {
		b.progress.Close()
		b.env.LogTo(b.env.Stderr)
		endSpan(err)
		return b.tracing.Close()
	}
}

// open makes ready what the build works with: a directory of its own, which stays
// until leave, and the registries.
func (b *builder) open(ctx context.Context) (closeAll func() error, err error) {
	if err = registry.TrustRoots(); err != nil {
		return nil, err
	}
	if err = b.flags.registry.Check(); err != nil {
		return nil, err
	}
	if err = b.makeWork(); err != nil {
		return nil, err
	}
	b.client = registry.New(registry.Config{
		Options:   b.flags.registryOptions(),
		Keychain:  keychain.New(b.flags.keychain.From(b.env.Getenv), b.flags.clouds.Credentials),
		Wrap:      b.tracing.Transport,
		UserAgent: userAgent(b.env.Getenv),
		Warn:      func(text string) { b.env.Log.Warn(text) },
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

// userAgent is what registries are told of this program. Who started it may add a
// word, as kaniko allows.
func userAgent(getenv func(string) string) string {
	agent := "kaniko/" + command.Release
	if upstream := getenv("UPSTREAM_CLIENT_TYPE"); upstream != "" {
		agent += "," + upstream
	}
	return agent
}

// compile makes the plan for a platform.
func (b *builder) compile(ctx context.Context, file *dockerfile.File, bases plan.Bases, platform v1.Platform) (*plan.Plan, error) {
	o := b.options()
	o.Bases, o.TargetPlatform = bases, platform
	var err error
	if o.Ignore, err = b.context.Ignore(b.dockerfile); err != nil {
		return nil, err
	}
	return plan.Compile(ctx, file, o)
}

// options are what the plan depends on beside the Dockerfile, as the flags say it; of
// several platforms it is for the first.
func (b *builder) options() plan.Options {
	return plan.Options{
		BuildArgs:      b.flags.args(b.env.LookupEnv),
		Target:         b.flags.target(),
		Also:           b.flags.also(),
		TargetPlatform: b.flags.targetPlatforms()[0],
		BuildPlatform:  v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Labels:         b.flags.labelMap(),
		Contexts:       planned(b.contexts),
	}
}

// build makes the images, one after the other.
func (b *builder) build(ctx context.Context, all []variant) error {
	told, err := b.testimony(all)
	if err != nil {
		return err
	}
	out, config, err := b.prepare(ctx, len(all), told)
	if err != nil {
		return err
	}
	if err := b.checkForeign(ctx, all, config); err != nil {
		return err
	}
	var img v1.Image
	for i, v := range all {
		if len(all) > 1 {
			b.env.Log.Info("building for " + v.name())
		}
		told.of(v, config)
		if img, err = b.runVariant(ctx, v, config, i == len(all)-1); err != nil {
			return err
		}
		b.made(v, img)
	}
	digest, err := out.finish(ctx, img)
	if err != nil {
		return err
	}
	b.digest = digest
	if err := told.index(ctx, digest); err != nil {
		return err
	}
	b.env.Log.Info("built " + digest.String())
	return nil
}

// prepare makes ready what the builds of n images have in common.
func (b *builder) prepare(ctx context.Context, n int, told *testimony) (_ *output, config engine.Config, err error) {
	ctx, end := b.observer.Phase(ctx, timeline.Prepare)
	defer func() { end(err) }()
	out, err := b.output(ctx, n, told)
	if err != nil {
		return nil, config, err
	}
	config, err = b.config(ctx)
	config.Exporter = told.witness(out)
	return out, config, err
}

// config is what the builds have in common.
func (b *builder) config(ctx context.Context) (engine.Config, error) {
	c := engine.Config{
		Bases: b.images(b.bases), Spool: b.work.Path, Observer: b.observer, Squash: b.flags.singleSnapshot,
		Ignored: b.flags.ignored(), Runs: b.runsHere, Limits: limits(b.flags.jobs),
	}
	var err error
	if c.Created, c.Clamp, err = b.created(b.flags.args(b.env.LookupEnv)); err != nil {
		return c, err
	}
	if c.Compression, err = b.flags.out.layers(); err != nil {
		return c, err
	}
	if c.Form, err = b.flags.out.form(); err != nil {
		return c, err
	}
	b.context.Without = b.ownPaths()
	if c.Context, err = b.context.Open(b.dockerfile); err != nil {
		return c, err
	}
	c.Remotes = b.fetcher()
	if c.Contexts, err = b.openContexts(ctx); err != nil {
		return c, err
	}
	b.host, err = b.openHost()
	c.Host = b.host
	return c, err
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

// driver is the sandbox driver; cleanup empties this container's root in the end, if
// that is where commands run.
func (b *builder) driver(ctx context.Context, cleanup bool) (sandbox.Driver, error) {
	switch {
	case b.noNamespaces != nil:
		return nil, b.noNamespaces
	case b.grant != nil:
		return isolated.New(ctx, b.grant)
	}
	return b.inPlace(ctx, cleanup)
}
