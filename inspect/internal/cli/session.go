package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/progress"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// access is how registries are talked to, and who watches: flags of every command.
type access struct {
	registry registry.Options
	keychain keychain.Options
	trace    trace.Flags
	quiet    bool
}

func (a *access) bind(fs *pflag.FlagSet) {
	fs.BoolVar(&a.quiet, "quiet", false, "say nothing of what is fetched; by default a terminal shows it, and the log has what is large")
	a.registry.Bind(fs)
	a.keychain.Bind(fs)
	a.trace.Bind(fs)
}

// session is what a command works with.
type session struct {
	env     *command.Env
	client  *registry.Client
	tracing *trace.Provider
	shown   *progress.Progress // nil if nothing is to be shown
}

// within runs a command under its span, and with a client whose transfers people see.
func (a *access) within(ctx context.Context, env *command.Env, name string, do func(context.Context, *session) error) (err error) {
	ctx, tracing, end, err := trace.Begin(ctx, trace.Options{
		Service: "kaniko-inspect", Version: command.Release, Files: a.trace, LookupEnv: env.LookupEnv,
		Warn: func(err error) { env.Log.Warn(err.Error()) },
	}, name)
	if err != nil {
		return err
	}
	env.Page.Trace = tracing.ID(ctx)
	defer func() { err = end(err) }()
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := a.registry.Check(); err != nil {
		return err
	}
	s := &session{env: env, tracing: tracing, shown: a.progress(env)}
	defer s.unveil()
	s.client = registry.New(registry.Config{
		Options: a.registry, Keychain: keychain.New(a.keychain.From(env.Getenv)), UserAgent: "kaniko/" + command.Release,
		Warn: func(text string) { env.Log.Warn(text) }, Wrap: tracing.Transport, Observe: s.transfers(),
	})
	return do(ctx, s)
}

// transfers tells those who watch of what is fetched; nil if nobody does.
func (s *session) transfers() func(context.Context, string, string, int64) (context.Context, func(int64), func(error)) {
	watching := s.tracing.Observer()
	if s.shown != nil {
		watching = engine.Observers(watching, s.shown)
	}
	if watching == nil {
		return nil
	}
	return func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
		return watching.Transfer(ctx, engine.Transfer{Kind: kind, Name: name, Size: size})
	}
}

// progress begins to show what is fetched, above which the log goes on; nil if nobody
// wants to see it.
func (a *access) progress(env *command.Env) *progress.Progress {
	if a.quiet {
		return nil
	}
	screen := env.Terminal()
	shown := progress.New(progress.Options{Log: env.Log, Output: env.Stderr, Screen: screen})
	if screen != nil {
		env.LogTo(shown.Writer())
	}
	return shown
}

// unveil takes what shows progress off the terminal: before an answer is written, and
// at the end.
func (s *session) unveil() {
	if s.shown != nil {
		s.shown.Close()
		s.env.LogTo(s.env.Stderr)
	}
}
