package buildcontext

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

func TestFarm(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"..now/a": "A", "..now/d/e": "E", "..old/a": "old", "real/f": "F"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"..data": "..now", "a": "..data/a", "d": "..data/d", "gone": "..data/gone", "out": "..data/../../x", "l": "a"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := (&Location{Dir: dir}).Open(Dockerfile{})
	if err != nil {
		t.Fatal(err)
	}
	walk := func(from tree.Path) string {
		var all []string
		for e, err := range files.Walk(from) {
			if errors.Is(err, fs.ErrNotExist) {
				all = append(all, "missing")
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text := e.Path.Abs() + e.Node.Link
			if e.Node.Type == tree.File {
				r, err := files.Open(e.Path)
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(r)
				if err = errors.Join(err, r.Close()); err != nil {
					t.Fatal(err)
				}
				text += "=" + string(content)
			}
			all = append(all, text)
		}
		return strings.Join(all, " ")
	}
	for from, want := range map[tree.Path]string{
		"d": "/d /d/e=E", "d/e": "/d/e=E", "a": "/a=A", "l": "/la", "real": "/real /real/f=F",
		"..data": "missing", "..now/a": "missing", "gone": "missing", "nothing": "missing", "out": "/out..data/../../x",
	} {
		if got := walk(from); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if files, err = (&Location{Dir: dir}).Open(Dockerfile{}); err != nil {
		t.Fatal(err)
	}
	if got, want := walk(tree.Root), "/ /a=A /d /d/e=E /la /out..data/../../x /real /real/f=F"; got != want {
		t.Errorf("all: %s, want %s", got, want)
	}
	if _, err := files.Open("..now/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
