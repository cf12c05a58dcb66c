package cli

import (
	"context"
	"errors"
	"net/http"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/executor/internal/host"
	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/timeline"
)

// variant is the build for one platform.
type variant struct {
	platform v1.Platform // zero if the user named none
	plan     *plan.Plan
}

// name is what the image is for, in words.
func (v variant) name() string {
	if v.platform.OS == "" {
		return "linux/" + runtime.GOARCH
	}
	return v.platform.String()
}

// variants makes the plan for each platform. What the linter says of one it says of
// all, mostly, and is told once.
func (b *builder) variants(ctx context.Context, file *dockerfile.File, bases plan.Bases) ([]variant, error) {
	var all []variant
	told := map[string]bool{}
	for _, platform := range b.flags.targetPlatforms() {
		p, err := b.compile(ctx, file, bases, platform)
		if err != nil {
			return nil, err
		}
		for _, w := range p.Warnings {
			if !told[w.String()] {
				b.env.Log.Warn(w.String())
			}
			told[w.String()] = true
		}
		all = append(all, variant{platform, p})
	}
	return all, nil
}

// anyRuns reports whether a command is to be run for one of them.
func anyRuns(all []variant) bool {
	for _, v := range all {
		if runs(v.plan, nil) {
			return true
		}
	}
	return false
}

// checkForeign finds a command that cannot be run here, before the first is: what one
// of several builds did would be for nothing.
func (b *builder) checkForeign(ctx context.Context, all []variant, config engine.Config) error {
	if len(all) == 1 {
		return nil // the engine finds it before it begins
	}
	for _, v := range all {
		found := foreign(ctx, v.plan, nil, config.Runs)
		if found != nil && config.Cache != nil && ctx.Err() == nil {
			// Only now does it matter whether the cache has what the command makes.
			config.Plan = v.plan
			found = foreign(ctx, v.plan, engine.Probe(ctx, config), config.Runs)
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// foreign is the first command of a plan that cannot be run here, as an error; those
// that are known to be cached need not be.
func foreign(ctx context.Context, p *plan.Plan, known map[*plan.Step]engine.Forecast, can func(context.Context, v1.Platform) error) error {
	for _, stage := range p.Stages {
		for _, step := range stage.Steps {
			if _, ok := step.Op.(plan.Run); !ok || known[step].Cached() {
				continue
			}
			if err := can(ctx, stage.Platform); err != nil {
				return &engine.StepError{Stage: stage, Step: step, Err: err}
			}
			break // the others of the stage are for the same platform
		}
	}
	return nil
}

// runsHere is [host.Runs] with what it writes among the executor's own files.
func (b *builder) runsHere(ctx context.Context, p v1.Platform) error {
	return host.Runs(ctx, b.work.Path, p)
}

// output is where the images of a build go, and what comes of them together.
type output struct {
	engine.Exporter
	finish func(ctx context.Context, last v1.Image) (v1.Hash, error)
}

// output opens the exporter of a build of n images: of several an index is made.
func (b *builder) output(ctx context.Context, n int, told *testimony) (*output, error) {
	c, err := outlet{b.flags.out, b.flags.signing, b.env, b.client, b.tracing.Transport(http.DefaultTransport)}.config(ctx)
	if err != nil {
		return nil, err
	}
	c.Attachers = b.observed(told.attach(c.Attachers))
	if n == 1 {
		return &output{exporter.New(c), func(_ context.Context, last v1.Image) (v1.Hash, error) { return last.Digest() }}, nil
	}
	form, err := b.flags.out.form()
	if err != nil {
		return nil, err
	}
	index := exporter.NewIndex(c, form)
	return &output{index, func(ctx context.Context, _ v1.Image) (v1.Hash, error) {
		ctx, end := b.observer.Phase(ctx, engine.Deliver)
		made, err := index.Finish(ctx)
		end(err)
		if err != nil {
			return v1.Hash{}, err
		}
		return made.Digest, nil
	}}, nil
}

// observed are attachers of whose work the observer is told.
func (b *builder) observed(all []exporter.Attacher) []exporter.Attacher {
	var out []exporter.Attacher
	for _, a := range all {
		kind := timeline.Attest
		if _, ok := a.(*sign.Signer); ok {
			kind = timeline.Sign
		}
		out = append(out, observed{a, b.observer, kind})
	}
	return out
}

type observed struct {
	exporter.Attacher
	observer engine.Observer
	kind     engine.Phase
}

// Attach implements [exporter.Attacher].
func (o observed) Attach(ctx context.Context, s exporter.Subject) error {
	ctx, end := o.observer.Phase(ctx, o.kind)
	err := o.Attacher.Attach(ctx, s)
	end(err)
	return err
}

// runVariant builds one image. A driver serves one build only: the next begins with
// an empty root.
func (b *builder) runVariant(ctx context.Context, v variant, config engine.Config, last bool) (_ v1.Image, err error) {
	config.Plan = v.plan
	if config.Cache, err = b.caching(v.name()); err != nil {
		return nil, err
	}
	box := &sandboxes{builder: b, cleanup: b.flags.cleanup || !last}
	defer func() { err = errors.Join(err, box.close()) }()
	config.Sandboxes = box.open
	return engine.Build(ctx, config)
}

// sandboxes opens the driver when a command is to be run: a build of which the cache
// has all needs no privileges.
type sandboxes struct {
	builder *builder
	cleanup bool // empties the root in the end
	driver  sandbox.Driver
}

func (s *sandboxes) open(ctx context.Context) (sandbox.Driver, error) {
	if s.driver != nil {
		return s.driver, nil
	}
	_, end := s.builder.tracing.Part(ctx, "sandbox")
	d, err := s.builder.driver(ctx, s.cleanup)
	end(err)
	if err != nil {
		return nil, err
	}
	s.driver = s.builder.tracing.Driver(d)
	return s.driver, nil
}

func (s *sandboxes) close() error {
	if s.driver == nil {
		return nil
	}
	return s.driver.Close()
}
