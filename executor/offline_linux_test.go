package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestOffline: with base images warmed, and the layer cache in a directory, a build needs
// no network. It runs where there is none.
func TestOffline(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	f := newFixture(t, registrytest.Config{})
	dir, layers := t.TempDir(), "--cache-repo=oci:"+t.TempDir()
	build := func(flags ...string) build {
		b := isolatedCommand(t, f.built, append([]string{"--cache", "--offline", layers}, flags...)...)
		b.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		return b
	}
	out, err := build("--isolation=namespaces", "--cache-dir="+dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "warmer --cache-dir="+dir) {
		t.Errorf("before the base is warmed: %v\n%s", err, out)
	}
	warm(t, f, dir)
	if got := digestOf(t, build("--isolation=namespaces", "--cache-dir="+dir)); got != f.want {
		t.Errorf("the image is %s, with a network %s", got, f.want)
	}
	if got := digestOf(t, build("--isolation=in-place", "--cache-dir="+dir)); got != f.want {
		t.Errorf("the image is %s, with a network %s", got, f.want)
	}
}

// warm puts the base images of the fixture's Dockerfile into a directory.
func warm(t *testing.T, f *fixture, dir string) {
	store, err := base.CreateStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	text, err := os.ReadFile(filepath.Join(f.built.Dir, f.built.Dockerfile()))
	if err != nil {
		t.Fatal(err)
	}
	client, platform := registry.New(registry.Config{}), v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+[/:]\S+)`).FindAllStringSubmatch(string(text), -1) {
		ref, err := client.Reference(from[1])
		if err != nil {
			t.Fatal(err)
		}
		img, err := client.Resolve(t.Context(), from[1], platform)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range img.Blobs() {
			if err := store.AddLayer(t.Context(), l, false); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.AddImage(t.Context(), ref, platform, img, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStaleIfError: a base in the directory is taken as it was last seen when its
// registry cannot be asked, if that is wanted.
func TestStaleIfError(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	f := newFixture(t, registrytest.Config{})
	dir := t.TempDir()
	warm(t, f, dir)
	build := func(flags ...string) build {
		flags = append([]string{"--isolation=namespaces", "--cache", "--cache-repo=oci:" + t.TempDir(), "--cache-dir=" + dir, "--image-download-retry=0"}, flags...)
		b := isolatedCommand(t, f.built, flags...)
		b.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		return b
	}
	if out, err := build().CombinedOutput(); err == nil {
		t.Errorf("without the flag the build succeeds:\n%s", out)
	}
	if got := digestOf(t, build("--stale-if-error")); got != f.want {
		t.Errorf("the image is %s, with a registry %s", got, f.want)
	}
}
