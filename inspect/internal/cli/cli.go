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
		Long: `inspect shows what is in images and what is attached to them, tells whether two are
the same, and why a step of a build was done or was found in the layer cache. It
reads as little as it may, and changes nothing.`,
	}
	cmd.AddCommand(
		newShow(env), newDigest(env), newLayers(env), newLs(env), newCat(env), newExtract(env), newTree(env), newBase(env),
		diffCommand(env), explainCommand(env), verifyImages(env),
	)
	return cmd
}
