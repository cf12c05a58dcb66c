package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/executor/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
)

// update writes docs/flags.md.
var update = flag.Bool("update", false, "write the table of flags in docs/flags.md anew")

// TestFlags_documented: docs/flags.md, to which testdata has a link, says of each flag
// what the program does.
func TestFlags_documented(t *testing.T) {
	root := commandtest.Root(t, cli.Program(nil, full()))
	origins := commandtest.ReadOrigins(t, "testdata/kaniko-flags.txt")
	known := map[string]bool{}
	for _, f := range commandtest.Flags(root) {
		known[f.Name] = true
	}
	for name := range origins {
		if !known[name] {
			t.Errorf("kaniko has --%s, and the executor does not know it by that name", name)
		}
	}
	commandtest.CheckSection(t, "testdata/flags.md", "executor", commandtest.FlagTable(root, origins), *update)
	for _, sub := range root.Commands() {
		switch sub.Name() {
		case "index", "login", "logout":
			commandtest.CheckSection(t, "testdata/flags.md", "executor "+sub.Name(), commandtest.FlagTable(sub, nil), *update)
		}
	}
}

// TestFlags_kaniko: every flag of kaniko v0.17 and v1.24 is accepted in its spelling.
func TestFlags_kaniko(t *testing.T) {
	root := commandtest.Root(t, cli.Program(nil, full()))
	for _, list := range []string{"kaniko-v0.17.txt", "kaniko-v1.24.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", list))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(string(text)) {
			if lookup(root, name) == nil {
				t.Errorf("%s: --%s is unknown", list, name)
			}
		}
	}
}

func lookup(c *cobra.Command, name string) any {
	if f := c.Flags().Lookup(name); f != nil {
		return f
	}
	if f := c.PersistentFlags().Lookup(name); f != nil {
		return f
	}
	return nil
}

// TestFlags_tested: each flag is on the command line of a test.
func TestFlags_tested(t *testing.T) {
	texts := commandtest.Texts(t, "*_test.go", "testdata/script/*.txtar")
	root := commandtest.Root(t, cli.Program(nil, full()))
	for _, name := range commandtest.Untested(root, texts) {
		t.Errorf("no test has --%s on a command line", name)
	}
}
