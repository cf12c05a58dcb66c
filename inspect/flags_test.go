package main

import (
	"flag"
	"testing"

	"github.com/kaniko-suite/kaniko/inspect/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
)

// update writes docs/flags.md.
var update = flag.Bool("update", false, "write the tables of flags in docs/flags.md anew")

// TestFlags_documented: docs/flags.md, to which testdata has a link, says of each flag
// what the commands do.
func TestFlags_documented(t *testing.T) {
	for _, cmd := range commandtest.Root(t, cli.Program()).Commands() {
		if len(commandtest.Flags(cmd)) > 0 && cmd.Name() != "version" {
			commandtest.CheckSection(t, "testdata/flags.md", "inspect "+cmd.Name(), commandtest.FlagTable(cmd, nil), *update)
		}
	}
}

// TestFlags_tested: each flag is on the command line of a test.
func TestFlags_tested(t *testing.T) {
	texts := commandtest.Texts(t, "*_test.go", "testdata/script/*.txtar")
	for _, name := range commandtest.Untested(commandtest.Root(t, cli.Program()), texts) {
		t.Errorf("no test has --%s on a command line", name)
	}
}
