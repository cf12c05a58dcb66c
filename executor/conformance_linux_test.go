package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// epoch is the SOURCE_DATE_EPOCH of all builds: later than what is in cases and
// earlier than now. So one build by each driver shows both what it makes and that
// it is the same to the byte.
const epoch = 1704067200

// TestConformance builds every case of testdata/conformance through every driver.
// docs/conformance.md says how to write one.
func TestConformance(t *testing.T) {
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("the cases' base image needs /bin/busybox (package busybox-static)")
	}
	cases, err := conformance.Load("testdata/conformance", nil)
	if err != nil {
		t.Error(err)
	}
	if len(cases) == 0 {
		t.Fatal("there are no cases")
	}
	site, err := conformance.Open(t.Context(), registrytest.Start(t, registrytest.Config{}).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	d := drivers{namespaces: err == nil && choice.Grant != nil}
	if os.Geteuid() == 0 {
		d.inPlace = sandboxtest.StaticBinary(t) // in the jail there are no shared libraries
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if c.NeedsSomething("root") && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			if c.WantsNothing() {
				t.Fatal("the case wants nothing: it needs want/tree, want/config.json or want/error (the oracle writes them)")
			}
			built, err := site.Lay(t.Context(), c, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			d.build(t, built)
		})
	}
}

// drivers are those that this machine has.
type drivers struct {
	namespaces bool
	inPlace    string // the binary to build in place with; empty if that needs what is not there
}

// build builds by every driver that there is a choice of, and compares.
func (d drivers) build(t *testing.T, c *conformance.Built) {
	if !c.Runs() {
		t.Run("none", func(t *testing.T) { check(t, c, "", isolatedCommand(t, c)) })
		return
	}
	var digests []v1.Hash
	t.Run("isolated", func(t *testing.T) {
		if !d.namespaces {
			t.Skip("this machine grants no namespaces")
		}
		digests = append(digests, check(t, c, "isolated", isolatedCommand(t, c, "--isolation=namespaces"))...)
	})
	t.Run("in-place", func(t *testing.T) {
		if d.inPlace == "" {
			t.Skip("a root of its own needs a mount namespace, and that needs root")
		}
		if c.NeedsSomething("namespaces") && c.Want.Error["in-place"] == nil {
			t.Fatal("a case that needs namespaces must say by want/error.in-place how a build in place refuses")
		}
		digests = append(digests, check(t, c, "in-place", inPlaceCommand(t, c, d.inPlace))...)
	})
	if len(digests) == 2 && digests[0] != digests[1] {
		t.Errorf("the drivers come to different images: isolated %s, in place %s", digests[0], digests[1])
	}
	if d.namespaces && len(digests) > 0 {
		t.Run("cached", func(t *testing.T) { checkCached(t, c, digests[0]) })
	}
}

// checkCached builds with an empty cache, and again with what that left in it: no
// command may run any more, and the image is the same.
func checkCached(t *testing.T, c *conformance.Built, want v1.Hash) {
	cache := "--cache-repo=" + c.Registry() + "/cache/" + strings.ToLower(c.Name)
	cold := isolatedCommand(t, c, "--isolation=namespaces", "--cache", cache)
	if got := check(t, c, "isolated", cold); len(got) != 1 || got[0] != want {
		t.Fatalf("with an empty cache the image is %s, without one %s", got, want)
	}
	// In place, and not forced to: a command would be refused.
	warm := isolatedCommand(t, c, "--isolation=in-place", "--cache", cache)
	if got := digestOf(t, warm); got != want {
		t.Errorf("with the cache the image is %s, without one %s", got, want)
	}
}

// digestOf runs a build for what it makes.
func digestOf(t *testing.T, b build) v1.Hash {
	if out, err := b.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(b.Args, " "), err, out)
	}
	digest, err := image(t, b.layout).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// build is an executor about to run.
type build struct {
	*exec.Cmd
	layout string // where it writes the image, seen from here
}

func isolatedCommand(t *testing.T, c *conformance.Built, flags ...string) build {
	exe, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, flags...)
	cmd.Dir = c.Dir
	b := build{cmd, filepath.Join(state, "layout")}
	b.complete(t, c, b.layout, state)
	return b
}

// inPlaceCommand is an executor with a root of its own, to be lost.
func inPlaceCommand(t *testing.T, c *conformance.Built, exe string) build {
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, "--isolation=in-place", "--force")
	cmd.SysProcAttr, cmd.Env = conformance.Jail(root, c.Dir)
	b := build{cmd, filepath.Join(root, conformance.JailState, "layout")}
	b.complete(t, c, conformance.JailState+"/layout", conformance.JailState)
	return b
}

// complete adds the flags and variables that all builds have.
func (b *build) complete(t *testing.T, c *conformance.Built, layout, state string) {
	args, err := c.Arguments()
	if err != nil {
		t.Fatal(err)
	}
	hasContext := false
	for _, a := range args {
		if a.Flag == "--dockerfile" {
			continue
		}
		hasContext = hasContext || a.Flag == "--context"
		b.Args = append(b.Args, a.Flag)
		if a.Value != "" {
			b.Args[len(b.Args)-1] += "=" + a.Value
		}
	}
	if !hasContext {
		b.Args = append(b.Args, "--context=context")
	}
	b.Args = append(b.Args, "--dockerfile="+c.Dockerfile(), "--no-push", "--oci-layout-path="+layout, "--kaniko-dir="+state)
	b.Env = append(b.Env, "PATH="+os.Getenv("PATH"), "HOME=/", "TMPDIR="+state, "SOURCE_DATE_EPOCH="+strconv.Itoa(epoch), ignored+"="+os.Getenv(ignored))
	b.Env = append(b.Env, c.Env...)
	b.Cancel = func() error { return b.Process.Signal(syscall.SIGTERM) }
	b.WaitDelay = 10 * time.Second
}

// check runs the build, demands what the case wants, and returns the image's digest
// if there is to be one.
func check(t *testing.T, c *conformance.Built, driver string, b build) []v1.Hash {
	out, err := b.CombinedOutput()
	said := c.Collapse(string(out))
	for _, line := range c.Want.Output {
		if !strings.Contains(said, line) {
			t.Errorf("nothing printed %q", line)
		}
	}
	if want := c.Fails(driver); want != nil {
		checkFailure(t, want, err, said)
		return nil
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(b.Args, " "), err, said)
	}
	img := image(t, b.layout)
	made, err := c.Describe(img, time.Unix(epoch, 0))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := c.Check(made)
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 || t.Failed() {
		t.Errorf("%s\n%s\nthe executor said:\n%s", c.Comment, strings.Join(wrong, "\n"), said)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return []v1.Hash{digest}
}

func checkFailure(t *testing.T, want *conformance.Failure, err error, said string) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Errorf("the build succeeded; want an error like %q", want.Pattern)
	case !errors.As(err, &exit):
		t.Fatal(err)
	case exit.ExitCode() != want.Exit:
		t.Errorf("exit status %d, want %d", exit.ExitCode(), want.Exit)
	}
	if !want.Pattern.MatchString(said) {
		t.Errorf("no error like %q in:\n%s", want.Pattern, said)
	}
}

// image is the one image of a layout.
func image(t *testing.T, dir string) v1.Image {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 {
		t.Fatalf("%d images in %s", len(m.Manifests), dir)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
