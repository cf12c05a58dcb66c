// Package cli is the command line of warmer: its flags and sub-commands, and what
// they call.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// Program is warmer.
func Program() command.Program {
	return command.Program{
		Name: "warmer",
		New:  root,
	}
}

func root(*command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "warmer",
		Short: "The suite's warmer of base image caches; so far it only tells its version",
		Long: `warmer is where the suite will fill a directory of base images ahead of builds.
Nothing of that is in this release: it tells its version, and that is all.`,
	}
}
