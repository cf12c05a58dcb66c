package sandboxtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// The fake's commands are words: write, mkdir, link, rm.
func command(_ context.Context, r *Root, p sandbox.Process) error {
	now := time.Unix(2_000_000_000, 0)
	for _, line := range p.Args {
		w := append(strings.Fields(line), "", "")
		switch at := paths(w[1:]); w[0] {
		case "write":
			r.WriteFile(at[0], w[2], now)
		case "mkdir":
			r.Mkdir(at[0], 0o755, now)
		case "link":
			if err := r.Link(at[0], at[1]); err != nil {
				return err
			}
		case "symlink":
			r.Symlink(at[0], w[2], now)
		case "rm":
			r.Remove(at[0])
		default:
			return &sandbox.ExitError{Status: 127}
		}
	}
	return nil
}

func TestFake(t *testing.T) {
	d := &Fake{Command: command, Max: 1}
	r := open(t, d, Layer("", nil, Dir("d", 0o755), File("d/a", "1"), File("gone", "1")),
		Layer("", nil, File("b", "1"), Hard("c", "b"), Delete("gone")))
	if _, err := d.New(t.Context(), "second"); err == nil {
		t.Error("opened more than allowed")
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{}},
		{[]string{"write d/a 2"}, []string{"+ d", "+ d/a"}},
		{[]string{"link e b"}, []string{"+ b", "= c b", "= e b"}},
		{[]string{"rm d", "symlink s d"}, []string{"- d", "+ s"}},
	} {
		if _, err := r.run(sandbox.Process{Args: tt.args}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, lines(r.commit())); d != "" {
			t.Errorf("%q:\n%s", tt.args, d)
		}
	}
	wantText(t, "content", readFile(t, r.box, "e"), "1")
	if _, err := r.run(sandbox.Process{Args: []string{"nonsense"}}); err == nil {
		t.Error("no error")
	}
	r.close()
	if _, err := r.run(sandbox.Process{}); err == nil {
		t.Error("a closed sandbox runs")
	}
}

func paths(words []string) (list []tree.Path) {
	for _, w := range words {
		list = append(list, tree.Clean(w))
	}
	return list
}
