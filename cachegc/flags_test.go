package main

import (
	"flag"
	"testing"

	"github.com/kaniko-suite/kaniko/cachegc/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
)

// update writes docs/flags.md.
var update = flag.Bool("update", false, "write the tables of flags in docs/flags.md anew")

// commands are those that are cachegc's own.
func commands() []string { return []string{"plan", "apply", "run", "stats", "restore"} }

// TestFlags_documented: docs/flags.md, to which testdata has a link, says of each flag
// what the commands do.
func TestFlags_documented(t *testing.T) {
	root := commandtest.Root(t, cli.Program())
	for _, name := range commands() {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		commandtest.CheckSection(t, "testdata/flags.md", "cachegc "+name, commandtest.FlagTable(cmd, nil), *update)
	}
}

// TestFlags_tested: each flag is on a command line of a script.
func TestFlags_tested(t *testing.T) {
	texts := commandtest.Texts(t, "testdata/script/*.txtar")
	root := commandtest.Root(t, cli.Program())
	for _, name := range commands() {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range commandtest.Untested(cmd, texts) {
			t.Errorf("no test has --%s on a command line", flag)
		}
	}
}
