package exporter_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
)

// TestDigestFile_mountPoint: a file that is mounted over, as Kubernetes does with
// /dev/termination-log, cannot be replaced and is written in place.
func TestDigestFile_mountPoint(t *testing.T) {
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	for _, p := range []string{source, target} {
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
	img := image(t, 1, 100)
	if err := export(t, exporter.DigestFile(target), img); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(source); err != nil || string(got) != digest(t, img) {
		t.Errorf("the mounted file holds %q, error %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("debris: %v, error %v", left, err)
	}
}
