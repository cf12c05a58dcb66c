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
		Usage:   2,
		Failure: 2,
	}
}

func root(*command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect",
		Short: "The suite's viewer of images; so far it only tells its version",
		Long: `inspect is where the suite will show and compare images and explain cache misses.
Nothing of that is in this release: it tells its version, and that is all.`,
	}
}
