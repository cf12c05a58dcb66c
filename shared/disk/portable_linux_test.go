package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// What other systems use shows the same as what Linux uses.
func TestPortable(t *testing.T) {
	root := t.TempDir()
	in := func(p string) string { return filepath.Join(root, p) }
	for _, p := range []string{"a/x", "a.b", "a-b", "b/c/d"} {
		if err := os.MkdirAll(filepath.Dir(in(p)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(p), []byte(p), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink("../a", in("b/link")), os.Symlink("a.b", in("tofile")), unix.Mkfifo(in("pipe"), 0o600),
		os.Chmod(in("a-b"), 0o755|os.ModeSetuid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	skip := Options{Skip: func(p tree.Path, ty tree.Type) bool { return p == "b/c" && ty == tree.Dir }}
	for _, o := range []Options{{}, skip} {
		d, err := Open(root, o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		p, err := openPortable(root, o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		for _, from := range []tree.Path{"", "a", "b", "b/c/d", "b/link", "b/link/x", "a.b/x", "none", "pipe"} {
			list := func(seq func(func(tree.Entry, error) bool)) (lines []string) {
				for e, err := range seq {
					e.Node.UID, e.Node.GID = 0, 0
					lines = append(lines, fmt.Sprintf("%+v %v", e, errors.Is(err, fs.ErrNotExist)))
				}
				return lines
			}
			if d := cmp.Diff(list(d.Walk(from)), list(p.walk(from))); d != "" {
				t.Errorf("walk of %q (-linux +portable):\n%s", from, d)
			}
		}
		for _, q := range []tree.Path{"a/x", "b/link/x", "tofile", "pipe", "a", ""} {
			r, err := p.open(q)
			if err != nil {
				if q == "a/x" {
					t.Error(err)
				}
				continue
			}
			b, _ := io.ReadAll(r)
			r.Close()
			if q != "a/x" || string(b) != "a/x" {
				t.Errorf("open %q: %q", q, b)
			}
		}
	}
}
