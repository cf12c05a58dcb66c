package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/executor/internal/cli"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
)

// ignored is the variable with the name of a flag that the executor of the tests is to
// know nothing of.
const ignored = "KANIKO_TEST_IGNORED"

// ignoreFlag takes that flag away from this process's command line and environment.
func ignoreFlag() {
	name := os.Getenv(ignored)
	if name == "" {
		return
	}
	root := cli.Program(nil, full()).Command(&command.Env{LookupEnv: os.LookupEnv})
	os.Args = append(os.Args[:1:1], commandtest.Without(root, name, os.Args[1:])...)
	if f := root.Flags().Lookup(name); f != nil {
		for _, v := range command.Variables(f) {
			os.Unsetenv(v) //nolint:errcheck // of a name that can be one
		}
	}
}

// elsewhere are the tests, by name, of flags that scripts do not show to be obeyed.
func elsewhere() map[string]string {
	return map[string]string{
		"stale-if-error": "^TestStaleIfError$",
		"cache-dir":      "^TestOffline$",
		"isolation":      "^TestScripts$/^cleanup$", // which auto would build in namespaces
		"force":          "^TestScripts$/^force$",
		"kaniko-dir":     "^TestScripts$/^kaniko-dir$",
	}
}

// scriptsAtMost is how many scripts are run for a flag.
const scriptsAtMost = 6

// TestFlags_obeyed ignores one flag after the other, and demands that a test fails. It
// takes minutes: make flags.
func TestFlags_obeyed(t *testing.T) {
	if os.Getenv("KANIKO_TEST_FLAGS") == "" {
		t.Skip("takes minutes: make flags")
	}
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		texts[strings.TrimSuffix(filepath.Base(f), ".txtar")] = script
	}
	root := commandtest.Root(t, cli.Program(nil, full()))
	all := commandtest.Flags(root)
	for _, sub := range root.Commands() {
		switch sub.Name() {
		case "index", "login", "logout":
			for _, f := range commandtest.Flags(sub) {
				if root.Flags().Lookup(f.Name) == nil {
					all = append(all, f)
				}
			}
		}
	}
	only := os.Getenv("KANIKO_TEST_FLAGS")
	for _, f := range all {
		if only != "all" && !slices.Contains(strings.Split(only, ","), f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			run := elsewhere()[f.Name]
			if run == "" {
				run = "^TestScripts$/^(" + strings.Join(users(f, all, texts), "|") + ")$"
			}
			cmd := exec.Command("/proc/self/exe", "-test.run="+run, "-test.failfast")
			cmd.Env = append(os.Environ(), ignored+"="+f.Name, "KANIKO_TEST_FLAGS=")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("%s passes although --%s is ignored", run, f.Name)
			}
			if !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("%v: no test failed:\n%s", err, out)
			}
		})
	}
}

// users are the scripts that use a flag, those first that use few others.
func users(f *pflag.Flag, all []*pflag.Flag, texts map[string]string) []string {
	var names []string
	for name, text := range texts {
		if commandtest.Uses(f, text) {
			names = append(names, name)
		}
	}
	others := func(name string) (n int) {
		for _, f := range all {
			if commandtest.Uses(f, texts[name]) {
				n++
			}
		}
		return n
	}
	slices.SortFunc(names, func(a, b string) int {
		if n := others(a) - others(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	return names[:min(len(names), scriptsAtMost)]
}
