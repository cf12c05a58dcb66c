package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// built builds a program of the suite, which is another module's.
func built(t *testing.T, name string) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("there is no go command to build %s with", name)
	}
	if _, err := os.Stat("../" + name + "/main.go"); err != nil {
		t.Skipf("the source of %s is not here", name)
	}
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-tags", "disable_grpc_modules,grpcnotrace", "-o", path, "../"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
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
	program := built(t, "executor")
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

// TestRace_bases: builds take their base from a directory that warmer fills and cachegc
// empties, again and again and without grace: none fails, and each image is whole.
func TestRace_bases(t *testing.T) {
	count := races(t)
	executor, warmer := built(t, "executor"), built(t, "warmer")
	from, to := registrytest.RealV3(t, registrytest.RealConfig{}), registrytest.RealV3(t, registrytest.RealConfig{})
	tag, err := name.NewTag(from + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	base, err := random.Image(200_000, 3)
	if err == nil {
		base, err = mutate.ConfigFile(base, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: rootFS(t, base)})
	}
	if err == nil {
		err = remote.Write(tag, base)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bases, source := filepath.Join(dir, "bases"), filepath.Join(dir, "source")
	if err := errors.Join(os.Mkdir(bases, 0o755), os.Mkdir(source, 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cleaned := make(chan int)
	go func() {
		deleted := 0
		for ctx.Err() == nil {
			if out, err := exec.Command(warmer, "--cache-dir="+bases, "--image="+from+"/base:1").CombinedOutput(); err != nil {
				t.Errorf("warmer: %v\n%s", err, out)
				break
			}
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond) // anywhere in a build
			out, err := exec.Command("cachegc", "run", bases, "--ttl=1ns", "--grace=0", "--force-large").CombinedOutput()
			if err != nil {
				t.Errorf("cachegc: %v\n%s", err, out)
				break
			}
			deleted += strings.Count(string(out), "\ndeleted 1")
		}
		cleaned <- deleted
	}()
	for n := range count {
		text := fmt.Sprintf("FROM %s/base:1\nCOPY Dockerfile /%d\n", from, n)
		if err := os.WriteFile(filepath.Join(source, "Dockerfile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		ref := fmt.Sprintf("%s/app:%d", to, n)
		cmd := exec.Command(executor, "--context="+source, "--destination="+ref, "--cache", "--cache-dir="+bases, "--cache-repo="+to+"/cache")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %d: %v\n%s", n, err, out)
		}
		whole(t, ref)
	}
	stop()
	n := <-cleaned
	t.Logf("%d builds; the base was deleted %d times meanwhile", count, n)
	if n == 0 {
		t.Error("nothing was deleted under any build")
	}
}

func rootFS(t *testing.T, image v1.Image) v1.RootFS {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// whole reads every blob of an image.
func whole(t *testing.T, ref string) {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(tag)
	if err == nil {
		err = validate.Image(image)
	}
	if err != nil {
		t.Fatalf("%s is not whole: %v", ref, err)
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
	whole(t, ref)
	return string(out)
}
