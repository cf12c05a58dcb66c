package engine

import (
	"io"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// TestWithout: what is ignored is left out, with all below and nothing beside it, and
// a file with names elsewhere is there under those.
func TestWithout(t *testing.T) {
	put := func(p, content string) layer.Change {
		return layer.Change{
			Path: tree.Path(p), Kind: layer.Put, Node: tree.Node{Type: tree.File, Size: int64(len(content))},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
		}
	}
	link := func(p, to string) layer.Change {
		return layer.Change{Path: tree.Path(p), Kind: layer.Put, Hard: tree.Path(to), Node: tree.Node{Type: tree.File}}
	}
	changes := []layer.Change{
		{Path: "tmp", Kind: layer.Put, Node: tree.Node{Type: tree.Dir}},
		put("tmp/a", "a"),
		{Path: "tmp/gone", Kind: layer.Delete},
		put("tmpfile", "beside"),
		link("usr/a", "tmp/a"),
		link("usr/b", "tmp/a"),
		link("usr/c", "tmp/below"),
	}
	var got []string
	for c, err := range without([]tree.Path{"tmp"}, func(yield func(layer.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}) {
		if err != nil {
			t.Fatal(err)
		}
		text := string(c.Path)
		if c.Hard != "" {
			text += " = " + string(c.Hard)
		}
		if c.Open != nil {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			text += ": " + string(content)
		}
		got = append(got, text)
	}
	want := "tmpfile: beside; usr/a: a; usr/b = usr/a; usr/c = tmp/below"
	if joined := strings.Join(got, "; "); joined != want {
		t.Errorf("got %s, wanted %s", joined, want)
	}
}
