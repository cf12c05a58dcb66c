package main

import (
	"flag"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/warmer/internal/cli"
)

// update writes docs/flags.md.
var update = flag.Bool("update", false, "write the table of flags in docs/flags.md anew")

// TestFlags_documented: docs/flags.md, to which testdata has a link, says of each flag
// what the program does.
func TestFlags_documented(t *testing.T) {
	root := commandtest.Root(t, cli.Program())
	origins := commandtest.ReadOrigins(t, "testdata/kaniko-flags.txt")
	for name := range origins {
		if root.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("kaniko's warmer has --%s, and ours does not know it", name)
		}
	}
	commandtest.CheckSection(t, "testdata/flags.md", "warmer", commandtest.FlagTable(root, origins), *update)
}

// TestFlags_tested: each flag is on the command line of a test.
func TestFlags_tested(t *testing.T) {
	texts := commandtest.Texts(t, "*_test.go", "testdata/script/*.txtar")
	for _, name := range commandtest.Untested(commandtest.Root(t, cli.Program()), texts) {
		t.Errorf("no test has --%s on a command line", name)
	}
}
