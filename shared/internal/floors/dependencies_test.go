package floors

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the programs' deps.txt anew")

// The packages that each program links, for linux/amd64, stand in a deps.txt beside
// its main: a new dependency is seen in review. Under Bazel they are what Bazel
// links; else what the go command would.
func TestDependencies(t *testing.T) {
	dir := root(t)
	for _, program := range []string{"executor", "executor/slim", "warmer", "cachegc", "inspect"} {
		t.Run(program, func(t *testing.T) {
			got := dependencies(t, dir, program)
			golden := filepath.Join(dir, program, "deps.txt")
			if *update {
				if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			data, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Fields(string(data))
			for _, p := range got {
				if !slices.Contains(want, p) {
					t.Errorf("new: %s", p)
				}
			}
			for _, p := range want {
				if !slices.Contains(got, p) {
					t.Errorf("gone: %s", p)
				}
			}
			if t.Failed() {
				t.Log("if that is meant, run: make fmt")
			}
		})
	}
}

// The slim executor links no cloud's SDK, which is what it is for.
func TestDependencies_slim(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "executor", "slim", "deps.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(data)) {
		for _, sdk := range []string{"github.com/aws", "github.com/Azure", "google.golang.org/api", "cloud.google.com"} {
			if p == sdk || strings.HasPrefix(p, sdk+"/") {
				t.Errorf("it links %s", p)
			}
		}
	}
}

// dependencies are the import paths of what a program links beyond the standard
// library.
func dependencies(t *testing.T, dir, program string) []string {
	t.Helper()
	var list []byte
	if runfiles, bazel := os.LookupEnv("TEST_SRCDIR"); bazel {
		var err error
		list, err = os.ReadFile(filepath.Join(runfiles, os.Getenv("TEST_WORKSPACE"), program, "linked.txt"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s/BUILD.bazel has no rule that lists what it links", program)
		} else if err != nil {
			t.Fatal(err)
		}
	} else {
		goCommand, err := exec.LookPath("go")
		if err != nil {
			t.Skip("there is no go command")
		}
		cmd := exec.Command(goCommand, "list", "-deps", "-tags=disable_grpc_modules,grpcnotrace", "-f={{if not .Standard}}{{.ImportPath}}{{end}}", "./"+program)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if list, err = cmd.Output(); err != nil {
			t.Fatalf("%v\n%s", err, &stderr)
		}
	}
	found := strings.Fields(string(list))
	slices.Sort(found)
	return slices.Compact(found)
}
