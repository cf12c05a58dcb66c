// Package cli is the executor's command line: kaniko's flags, and what is made of
// them. It connects the parts; it does none of their work.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/report"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// Clouds are what a slim executor is without: the stores of build contexts, and the
// sources of credentials, that need the libraries of a cloud.
type Clouds struct {
	Stores      func(store.Options) []store.Store
	Credentials keychain.Clouds
}

// Slim has none of them, and refuses addresses that need one.
func Slim() Clouds { return Clouds{Stores: store.None} }

// Program is the executor. grant is what this process may do if it is the copy of
// itself that runs in namespaces of its own, else nil.
func Program(grant *isolated.Grant, clouds Clouds) command.Program {
	return command.Program{
		Name: "executor",
		New:  func(env *command.Env) *cobra.Command { return root(env, grant, clouds) },
	}
}

func root(env *command.Env, grant *isolated.Grant, clouds Clouds) *cobra.Command {
	f := flags{clouds: clouds}
	cmd := &cobra.Command{
		Use:   "executor",
		Short: "Build a container image from a Dockerfile, without a daemon and without privileges",
		Long: `executor builds the image that a Dockerfile describes and pushes it to a
registry. It runs in a container of the default profile as well as on a machine
of one's own: RUN runs in the container's own root file system or, where user
namespaces are allowed, in one of its own.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.check && f.dryrun:
				return command.UsageError(cmd, "--check and --dryrun are two things: give one")
			case f.check:
				return runCheck(cmd, env, f)
			case f.dryrun:
				return runPlan(cmd, env, f)
			case cmd.Flags().Changed("format"):
				return command.UsageError(cmd, "%v", errFormat)
			}
			f.cache.dirGiven = cmd.Flags().Changed("cache-dir")
			if err := f.checkBuild(); err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			if grant == nil { // else the process before this one has told
				f.legacy.tell(env.Log)
			}
			b := &builder{flags: f, env: env, grant: grant}
			return b.run(cmd.Context())
		},
	}
	f.bind(cmd.Flags())
	cmd.Flags().BoolVar(&f.check, "check", false, "lint the Dockerfile only, as executor check does")
	cmd.Flags().BoolVar(&f.dryrun, "dryrun", false, "show what would be done only, as executor plan does")
	f.bindFormat(cmd.Flags(), report.Text, report.JSON, report.SARIF)
	// Whether something is built at all is not for the environment to say.
	command.CommandLineOnly(cmd.Flags(), "check", "dryrun", "format")
	complete(cmd)
	cmd.AddCommand(checkCommand(env, clouds), planCommand(env, clouds), indexCommand(env, clouds), loginCommand(env), logoutCommand(env))
	return cmd
}
