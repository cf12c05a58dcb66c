// Package cli is the command line of inspect: its flags and sub-commands, and what
// they call.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// Program is inspect.
func Program() command.Program {
	return command.Program{
		Name:    "inspect",
		New:     root,
		Usage:   exitTool,
		Failure: exitTool,
	}
}

func root(env *command.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "The suite's viewer of images and caches",
		Long: `inspect explain tells why a step of a build was done or was found in the layer
cache. inspect is also where the suite will show and compare images; nothing of
that is in this release.`,
	}
	cmd.AddCommand(explainCommand(env), diffCommand(env))
	return cmd
}
