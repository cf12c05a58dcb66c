// Package cli is the command line of cachegc: its flags and sub-commands, and what
// they call.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// Program is cachegc.
func Program() command.Program {
	return command.Program{
		Name:    "cachegc",
		New:     root,
		Usage:   2,
		Failure: 1,
	}
}

func root(*command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "cachegc",
		Short: "The suite's collector of unused cache entries; so far it only tells its version",
		Long: `cachegc is where the suite will delete cached build steps that are no longer needed.
Nothing of that is in this release: it tells its version, and that is all.`,
	}
}
