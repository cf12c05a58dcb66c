package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/disk"
)

func TestMakeTemp_removesWhatIsLeft(t *testing.T) {
	parent := t.TempDir()
	left := filepath.Join(parent, "build-left")
	other := filepath.Join(parent, "other")
	for _, dir := range []string{left, other} {
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := disk.MakeTemp(parent, "build-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a dead process left is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another directory: %v", err)
	}
	second, err := disk.MakeTemp(parent, "build-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first.Path); err != nil {
		t.Errorf("the directory of a living process: %v", err)
	}
	for _, d := range []*disk.Temp{first, second} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Path); !os.IsNotExist(err) {
			t.Errorf("%s is left", d.Path)
		}
	}
}
