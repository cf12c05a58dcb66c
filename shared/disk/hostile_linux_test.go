package disk_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// FuzzWriteAll unpacks an archive above a directory that has a link out: nothing beside
// the directory changes, and what is in it afterwards is what the model of a layer says.
func FuzzWriteAll(f *testing.F) {
	for _, a := range layertest.Archives(f, "/outside") {
		for _, l := range a.Layers {
			if len(l) < 64<<10 {
				f.Add(l)
			}
		}
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		if len(archive) > 64<<10 {
			return
		}
		place := t.TempDir()
		canary := layertest.NewCanary(t, filepath.Join(place, "outside"))
		root := filepath.Join(place, "root")
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../outside", filepath.Join(root, "out")); err != nil {
			t.Fatal(err)
		}
		var model tree.Tree
		model.Put(tree.Root, tree.Node{Type: tree.Dir})
		model.Put("out", tree.Node{Type: tree.Symlink, Link: "../outside"})
		overlay := layer.NewOverlay(&model)
		var wrong error
		changes := func(yield func(layer.Change, error) bool) {
			for c, err := range layer.Read(bytes.NewReader(archive)) {
				if err == nil && c.Node.Size > 1<<20 {
					return // holes, mostly
				}
				if err == nil {
					wrong = overlay.Add(c)
				}
				if !yield(c, err) || wrong != nil {
					return
				}
			}
		}
		gone := map[tree.Path]bool{}
		o := disk.WriterOptions{Refused: func(r disk.Refusal) error { gone[r.Path] = r.Gone; return nil }}
		err := disk.WriteAll(t.Context(), root, o, changes, nil)
		canary.Check(t, root)
		if err != nil || wrong != nil || len(gone) > 0 {
			return
		}
		var want, got []string
		for e, err := range model.Walk(tree.Root) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(e.Path))
		}
		err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			got = append(got, strings.TrimPrefix(strings.TrimPrefix(path, root), "/"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, p := range got {
			seen[p] = true
		}
		for _, p := range want {
			if !seen[p] {
				t.Errorf("%q is not on disk", p)
			}
		}
		if len(got) != len(want) {
			t.Errorf("on disk there are %q, want %q", got, want)
		}
	})
}
