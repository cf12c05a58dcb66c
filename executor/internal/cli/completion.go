package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/report"
	"github.com/kaniko-suite/kaniko/shared/image"
)

// complete tells shells what the flags of a build take, where that is one of a few
// words or no file.
func complete(cmd *cobra.Command) {
	for name, words := range map[string][]cobra.Completion{
		"isolation":    {string(isolated.Auto), string(isolated.InPlace), string(isolated.Namespaces)},
		"snapshotMode": {"full", "redo", "time"},
		"compression":  {"gzip", "zstd", "estargz", "zstd:chunked", "none"},
		"image-format": {string(image.Docker), string(image.OCI)},
		"cache-usage":  {usageJournal, usageOff},
		"format":       {string(report.Text), string(report.JSON), string(report.SARIF)},
		"destination":  nil, "build-arg": nil, "label": nil, "annotation": nil, "target": nil, "customPlatform": nil,
	} {
		if cmd.Flags().Lookup(name) == nil {
			continue // not every command has it
		}
		if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err)
		}
	}
}
