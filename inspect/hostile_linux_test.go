package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestHostile: whatever an image is, it is looked at, saved and compared, or there is one
// error; nothing outside is read or written, and memory stays bounded. What builds make
// of the same images is in the executor's test of this name.
func TestHostile(t *testing.T) {
	exe, err := exec.LookPath("inspect")
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
			for _, args := range [][]string{{"extract", ref, "/", "got"}, {"diff", ref, ref}, {"ls", "--recursive", ref}} {
				made := t.TempDir()
				cmd := exec.CommandContext(t.Context(), exe, args...)
				cmd.Dir, cmd.Env = made, []string{"HOME=" + made, "TMPDIR=" + made}
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if err != nil && !errors.As(err, &exit) {
					t.Fatal(err)
				}
				status := cmd.ProcessState.ExitCode()
				if !slices.Contains([]int{0, 2, 5}, status) || strings.Contains(string(out), "goroutine ") {
					t.Errorf("%s: status %d\n%.2000s", args[0], status, out)
				}
				if left, err := os.ReadDir(made); args[0] == "extract" && status != 0 && (err != nil || len(left) > 0) {
					t.Errorf("left behind: %v, %v", left, err)
				}
				canary.Check(t, made)
				layertest.CheckMemory(t, cmd.ProcessState)
			}
		})
	}
	t.Cleanup(func() { canary.Check(t) })
}
