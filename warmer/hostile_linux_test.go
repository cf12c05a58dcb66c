package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestHostile: whatever an image is, it is kept as it is, or there is one error; nothing
// outside is read or written, and memory stays bounded. What builds make of the same
// images is in the executor's test of this name.
func TestHostile(t *testing.T) {
	exe, err := exec.LookPath("warmer")
	if err != nil {
		t.Fatal(err)
	}
	server := registrytest.Start(t, registrytest.Config{})
	canary := layertest.NewCanary(t, filepath.Join(t.TempDir(), "outside"))
	all := layertest.Images(t, nil)
	for _, a := range layertest.Archives(t, canary.Dir) {
		all = append(all, layertest.Of(t, a))
	}
	for n, i := range all {
		i.Plant(server, fmt.Sprintf("image%d", n), "latest")
		ref := fmt.Sprintf("%s/image%d", server.Host(), n)
		t.Run(i.Name, func(t *testing.T) {
			t.Parallel()
			made := t.TempDir()
			cmd := exec.CommandContext(t.Context(), exe, "--cache-dir="+filepath.Join(made, "cache"), "--image="+ref)
			cmd.Dir, cmd.Env = made, []string{"HOME=" + made, "TMPDIR=" + made}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			// What is in an archive is not warmer's to judge: it fails no more than a build does.
			status := cmd.ProcessState.ExitCode()
			if !slices.Contains([]int{0, i.Status}, status) || strings.Contains(string(out), "goroutine ") {
				t.Errorf("status %d, where a build ends with %d\n%.2000s", status, i.Status, out)
			}
			if i.Status == 69 && status == 0 {
				t.Error("no error, and it is not what its manifest says")
			}
			canary.Check(t, made)
			layertest.CheckMemory(t, cmd.ProcessState)
		})
	}
	t.Cleanup(func() { canary.Check(t) })
}
