package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/c/d", "b/x", "a", "b.txt", "out/in"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ignore, err := dockerfile.ParseIgnore("ignore", []byte("out\nb\n!b/c/d\na\n"))
	if err != nil {
		t.Fatal(err)
	}
	list := func(f tree.FS, at tree.Path) (names []tree.Path) {
		for e, err := range tree.List(f, at) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Path)
		}
		return names
	}
	for _, c := range []struct {
		fsys tree.FS
		at   tree.Path
		want []tree.Path
	}{
		{d, "", []tree.Path{"a", "b", "b.txt", "out"}},
		{d, "b", []tree.Path{"b/c", "b/x"}},
		{dockerfile.Filter(d, ignore), "", []tree.Path{"b", "b.txt"}},
		{dockerfile.Filter(d, ignore), "b", []tree.Path{"b/c"}},
	} {
		if _, ok := c.fsys.(tree.Lister); !ok {
			t.Errorf("%T lists by walking all", c.fsys)
		}
		if got := list(c.fsys, c.at); !slices.Equal(got, c.want) {
			t.Errorf("%T %q: %q, want %q", c.fsys, c.at, got, c.want)
		}
	}
	for _, at := range []tree.Path{"a", "none"} {
		for _, err := range d.List(at) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("list %s: %v", at, err)
			}
		}
	}
}

// What is skipped is not looked into, and gives no name to a hard link.
func TestDir_Prune(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/in", "b/f", "c"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"d", "e"} {
		if err := os.Link(filepath.Join(dir, "a/in"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := disk.Open(dir, disk.Options{Skip: func(p tree.Path, _ tree.Type) bool { return p == "b/f" }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var asked, got []string
	for e, err := range d.Prune("", func(p tree.Path, _ tree.Type) bool {
		asked = append(asked, string(p))
		return p == "a"
	}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Path)+"="+string(e.Hard))
	}
	if want := []string{"=", "b=", "c=", "d=", "e=d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if slices.Contains(asked, "a/in") {
		t.Errorf("asked about %q: a skipped directory was read", asked)
	}
}
