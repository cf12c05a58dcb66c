package cli

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/host"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/report"
	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func planCommand(env *command.Env, clouds Clouds) *cobra.Command {
	f := flags{clouds: clouds}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a build would do and need, without building",
		Long: `plan prints the stages and steps of a build, and what each will need: images,
the network, mounts and secrets, a sandbox and its privileges. It asks registries
what the bases are, and tries what this machine allows, as a build does; it runs
nothing and leaves nothing behind. It takes the flags of a build.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd, env, f) },
	}
	f.bind(cmd.Flags())
	f.bindFormat(cmd.Flags(), report.Text, report.JSON)
	complete(cmd)
	return cmd
}

// runPlan is executor plan, and executor --dryrun.
func runPlan(cmd *cobra.Command, env *command.Env, f flags) error {
	f.cache.dirGiven = cmd.Flags().Changed("cache-dir")
	if err := f.cache.check(len(f.out.destinations) > 0); err != nil {
		return command.UsageError(cmd, "%v", err)
	}
	if err := f.checkValues(); err != nil {
		return command.UsageError(cmd, "%v", err)
	}
	format, err := report.ParseFormat(f.format, report.Text, report.JSON)
	if err != nil {
		return command.UsageError(cmd, "%v", err)
	}
	b := &builder{flags: f, env: env}
	return b.plan(cmd.Context(), format)
}

// plan prints the plan of a build.
func (b *builder) plan(ctx context.Context, format report.Format) (err error) {
	defer forget(isolated.StateDirs(b.flags.kanikoDir))()
	defer func() { err = errors.Join(err, b.leave()) }()
	file, err := b.read(ctx)
	if err != nil {
		return err
	}
	known, err := host.Open(host.Options{Secrets: b.flags.secrets, Agents: b.flags.agents, LookupEnv: b.env.LookupEnv})
	if err != nil {
		return err
	}
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := b.flags.registry.Check(); err != nil {
		return err
	}
	client := registry.New(registry.Config{
		Options: b.flags.registryOptions(), Keychain: keychain.New(b.flags.keychain.From(b.env.Getenv), b.flags.clouds.Credentials), UserAgent: userAgent(b.env.Getenv),
		Warn: func(text string) { b.env.Log.Warn(text) },
	})
	b.client, b.tracing = client, &trace.Provider{} // what would be done is no build
	if b.store, err = b.openStore(); err != nil {
		return err
	}
	defer b.closeStore() //nolint:errcheck // it was only read
	bases := b.images(base.Remote{Client: client})
	all, err := b.variants(ctx, file, bases)
	if err != nil {
		return err
	}
	for _, v := range all {
		cached, err := b.forecast(ctx, v, bases)
		if err != nil {
			return err
		}
		var box report.Sandbox
		if runs(v.plan, cached) {
			if box, err = b.sandbox(ctx, v.plan, cached); err != nil {
				return err
			}
		}
		err = report.Build{
			File: file, Path: fromHere(b.dockerfile), Plan: v.plan, Destinations: b.pushes(), Sandbox: box,
			Secret: func(id string) bool { _, ok, err := known.Secret(id); return ok && err == nil },
			Agent:  func(id string) bool { _, ok := known.Agent(id); return ok },
			Cache:  cached,
		}.Write(b.env.Stdout, format)
		if err != nil {
			return err
		}
	}
	return nil
}

// forecast asks the layer cache what a build would find there; nil without --cache.
func (b *builder) forecast(ctx context.Context, v variant, bases engine.Bases) (map[*plan.Step]engine.Forecast, error) {
	b.flags.cache.noPush = true
	caching, err := b.caching(v.name())
	if err != nil || caching == nil {
		return nil, err
	}
	created, prescribed, err := b.created(b.flags.args(b.env.LookupEnv))
	if err != nil {
		return nil, err
	}
	b.context.Without = b.ownPaths()
	files, err := b.context.Open(b.dockerfile)
	if err != nil {
		return nil, err
	}
	contexts := map[string]tree.FS{}
	for name, n := range b.contexts {
		if n.location != nil {
			n.location.Without = b.ownPaths()
			if contexts[name], err = n.location.Open(buildcontext.Dockerfile{}); err != nil {
				return nil, err
			}
		}
	}
	compression, err := b.flags.out.layers()
	if err != nil {
		return nil, err
	}
	return engine.Probe(ctx, engine.Config{
		Plan: v.plan, Context: files, Contexts: contexts, Bases: bases, Cache: caching, Created: created, Clamp: prescribed,
		Squash: b.flags.singleSnapshot, Compression: compression, Ignored: b.flags.ignored(),
	}), nil
}

// pushes are the references that a build would push to.
func (b *builder) pushes() []string {
	if !b.flags.out.pushes() {
		return nil
	}
	return b.flags.out.destinations
}

// sandbox finds out where commands would run.
func (b *builder) sandbox(ctx context.Context, p *plan.Plan, known map[*plan.Step]engine.Forecast) (report.Sandbox, error) {
	box := report.Sandbox{Needed: true}
	dirs := isolated.StateDirs(b.flags.kanikoDir)
	defer forget(dirs)()
	choice, err := isolated.Choose(ctx, isolated.Mode(b.flags.isolation), dirs)
	if cause := ctx.Err(); cause != nil {
		return box, cause
	}
	switch {
	case err != nil:
		box.Reason = err.Error()
		box.Obstacles = []string{"there are no namespaces, and --isolation does not allow to do without"}
	case choice.Grant != nil:
		box.Driver, box.How = string(isolated.Namespaces), choice.Grant.String()
		if !choice.Grant.Method.User {
			box.Capabilities = report.Mounting(p)
		}
	default:
		box.Driver, box.Capabilities = string(isolated.InPlace), report.InPlace(p)
		if choice.Reason != nil {
			box.Reason = choice.Reason.Error()
		}
		box.Obstacles = inPlaceObstacles(p)
	}
	foreign, err := foreignObstacles(ctx, p, known)
	box.Obstacles = append(box.Obstacles, foreign...)
	return box, err
}

// foreignObstacles are the platforms whose commands this machine does not run. Where
// there is no directory for temporary files it is not tried.
func foreignObstacles(ctx context.Context, p *plan.Plan, known map[*plan.Step]engine.Forecast) ([]string, error) {
	dir := os.TempDir()
	if _, err := os.Stat(dir); err != nil {
		return nil, nil
	}
	var found []string
	for _, stage := range p.Stages {
		if !slices.ContainsFunc(stage.Steps, func(s *plan.Step) bool { _, ok := s.Op.(plan.Run); return ok && !known[s].Cached() }) {
			continue
		}
		var foreign *host.ForeignError
		switch err := host.Runs(ctx, dir, stage.Platform); {
		case errors.As(err, &foreign):
			if !slices.Contains(found, foreign.Error()) {
				found = append(found, foreign.Error())
			}
		case err != nil:
			return nil, err
		}
	}
	return found, nil
}

// inPlaceObstacles are what is known to keep commands from running in place.
// Whether the root may be lost is not looked at.
func inPlaceObstacles(p *plan.Plan) []string {
	var found []string
	if os.Geteuid() != 0 {
		found = append(found, "in place, only root can run commands as images have them")
	}
	if report.Offline(p) {
		found = append(found, "in place, a command cannot be kept from the network: --network=none needs namespaces")
	}
	return found
}

// forget notes which of the directories that a try may make are not there yet;
// what it returns removes them again if they are empty.
func forget(dirs []isolated.StateDir) func() {
	var missing []string
	for _, d := range dirs {
		if _, err := os.Lstat(d.Path); d.Make && os.IsNotExist(err) {
			missing = append(missing, d.Path)
		}
	}
	return func() {
		for _, path := range missing {
			os.Remove(path) //nolint:errcheck // somebody else may use it by now
		}
	}
}
