package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// executor builds the executor, which is another module's program.
func executor(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build the executor with")
	}
	if _, err := os.Stat("../executor/main.go"); err != nil {
		t.Skip("the executor's source is not here")
	}
	path := filepath.Join(t.TempDir(), "executor")
	cmd := exec.Command("go", "build", "-tags", "disable_grpc_modules,grpcnotrace", "-o", path, "../executor")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the executor: %v\n%s", err, out)
	}
	return path
}

// races is how many builds there are.
func races(t *testing.T) int {
	text := os.Getenv("KANIKO_RACES")
	if text == "" {
		t.Skip("builds the executor, which takes long: set KANIKO_RACES to a number of builds, or make race")
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRace: builds by the executor, in a registry and in a directory, while cachegc deletes
// all it can, again and again and without grace: none fails, and each image is whole.
func TestRace(t *testing.T) {
	count := races(t)
	program := executor(t)
	for name, cacheOf := range map[string]func(host string) string{
		"registry 3": func(host string) string { return host + "/app/cache" },
		"layout":     func(string) string { return "oci:" + filepath.Join(t.TempDir(), "cache") },
	} {
		t.Run(name, func(t *testing.T) {
			host := registrytest.RealV3(t, registrytest.RealConfig{})
			spec := cacheOf(host)
			if dir, ok := strings.CutPrefix(spec, "oci:"); ok {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			cleaned := make(chan int)
			go func() {
				runs := 0
				for ; ctx.Err() == nil; runs++ {
					out, err := exec.Command("cachegc", "run", spec, "--max-bytes=1", "--ttl=1ns", "--grace=0", "--keep-journals=1ns", "--force-large").CombinedOutput()
					if err != nil {
						t.Errorf("cachegc: %v\n%s", err, out)
						break
					}
					time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond) // anywhere in a build
				}
				cleaned <- runs
			}()
			hits := 0
			for n := range count {
				out := builds(t, program, host, spec, n)
				hits += strings.Count(out, "] cached")
			}
			stop()
			t.Logf("%d builds, %d steps from the cache; cleaned %d times meanwhile", count, hits, <-cleaned)
			if hits == 0 && count >= 20 {
				t.Error("no step came from the cache, so that nothing could be deleted under it")
			}
		})
	}
}

// builds makes an image of some layers, and looks whether it is all there.
func builds(t *testing.T, program, host, spec string, n int) string {
	t.Helper()
	dir := t.TempDir()
	dockerfile := "FROM scratch\n"
	for layer := range 5 {
		content := fmt.Sprint("layer ", layer)
		if layer == 4 {
			content = fmt.Sprint("build ", n) // the last step is new each time
		}
		file := fmt.Sprint("file", layer)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Repeat(content+"\n", 10_000)), 0o644); err != nil {
			t.Fatal(err)
		}
		dockerfile += fmt.Sprintf("COPY %s /%s\n", file, file)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	ref := fmt.Sprintf("%s/app:%d", host, n)
	cmd := exec.Command(program, "--context="+dir, "--destination="+ref, "--cache", "--cache-copy-layers", "--cache-repo="+spec)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("build %d: %v\n%s", n, err, out)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(tag)
	if err == nil {
		err = validate.Image(image) // reads every blob
	}
	if err != nil {
		t.Fatalf("image %d is not whole: %v", n, err)
	}
	return string(out)
}
