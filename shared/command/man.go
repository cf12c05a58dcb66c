package command

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manualSection is that of commands which users run.
const manualSection = "1"

// manCommand prints the program's manual, from what its commands say of themselves.
func manCommand(program string) *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIRECTORY]",
		Short: "Print the manual page of " + program + ", or write all its pages into a directory",
		Long: `man prints the manual page in the form that man(1) reads, as in

  ` + program + ` man | man -l -

With a directory it writes a page for each command there.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			root.DisableAutoGenTag = true
			// A date of its own, so that the pages are the same whenever they are made.
			date := time.Unix(0, 0).UTC()
			header := &doc.GenManHeader{Section: manualSection, Source: "kaniko " + Release, Manual: "kaniko", Date: &date}
			if len(args) == 0 {
				return doc.GenMan(root, header, c.OutOrStdout())
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(root, header, args[0])
		},
	}
}
