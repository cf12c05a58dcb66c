package treediff

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// image makes an image of layers in a small language: d/ is a directory, f=text a file, l>target a symlink, h@target a hard link.
func image(t *testing.T, layers ...string) v1.Image {
	t.Helper()
	img := empty.Image
	for _, text := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, word := range strings.Fields(text) {
			h := &tar.Header{Mode: 0o644, Format: tar.FormatPAX}
			var body string
			if name, rest, ok := strings.Cut(word, "="); ok {
				h.Name, h.Typeflag, body = name, tar.TypeReg, rest
			} else if name, rest, ok := strings.Cut(word, ">"); ok {
				h.Name, h.Typeflag, h.Linkname = name, tar.TypeSymlink, rest
			} else if name, rest, ok := strings.Cut(word, "@"); ok {
				h.Name, h.Typeflag, h.Linkname = name, tar.TypeLink, rest
			} else {
				h.Name, h.Typeflag, h.Mode = word, tar.TypeDir, 0o755
			}
			h.Size = int64(len(body))
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, body); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestFlatten(t *testing.T) {
	cases := []struct {
		name   string
		layers []string
		want   string
	}{
		{"file replaced", []string{"d/ d/a=1", "d/a=22"}, "d/ d/a"},
		{"whiteout", []string{"d/ d/a=1 d/b=1", "d/ d/.wh.a="}, "d/ d/b"},
		{"whiteout of a directory", []string{"d/ d/e/ d/e/a=1 dd=1", ".wh.d="}, "dd"},
		{"whiteout before its own layer's entry", []string{"d/ d/a=1", ".wh.d= d/ d/b=2"}, "d/ d/b"},
		{"whiteout after its own layer's entry", []string{"d/ d/a=1", "d/ d/b=2 .wh.d="}, "d/ d/b"},
		{"opaque first", []string{"d/ d/a=1 d/s/ d/s/x=1", "d/ d/.wh..wh..opq= d/b=2"}, "d/ d/b"},
		{"opaque last", []string{"d/ d/a=1 d/s/ d/s/x=1", "d/ d/b=2 d/.wh..wh..opq="}, "d/ d/b"},
		{"opaque root", []string{"a=1 d/ d/b=1", ".wh..wh..opq= c=1"}, "c"},
		{"directory becomes file", []string{"d/ d/a=1", "d=1"}, "d"},
		{"file becomes directory", []string{"d=1", "d/ d/a=1"}, "d/ d/a"},
		{"whiteout of nothing", []string{"a=1", ".wh.b="}, "a"},
		{"leading dot slash", []string{"./ ./a=1"}, "/ a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree, err := Flatten(image(t, c.layers...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range tree.paths() {
				if tree.entries[p].kind == tar.TypeDir {
					p += "/"
				}
				got = append(got, p)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestTrees(t *testing.T) {
	cases := []struct{ name, a, b, want string }{
		{"equal", "d/ d/a=1 l>d", "d/ d/a=1 l>d", ""},
		{"content", "a=1", "a=2", "/a content"},
		{"size and content", "a=1", "a=22", "/a size,/a content"},
		{"link", "l>x", "l>y", "/l link"},
		{"missing", "a=1", "", "/a only-a"},
		{"extra", "", "a=1", "/a only-b"},
		{"split hard link", "a=1 b@a", "a=1 b=1", "/a hardlink,/b hardlink"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := Flatten(image(t, c.a), Options{})
			if err != nil {
				t.Fatal(err)
			}
			b, err := Flatten(image(t, c.b), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range Trees(a, b, Exact) {
				got = append(got, d.Path+" "+d.Kind)
			}
			if s := strings.Join(got, ","); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestFlatten_anomaly(t *testing.T) {
	tree, err := Flatten(image(t, "l>d d/ l/a=1 x/y=1"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "/l/a: its parent is a symlink\n/x/y: its directory is not in the image"
	if got := strings.Join(tree.Anomalies, "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEntries(t *testing.T) {
	tree, err := Flatten(image(t, "d/ d/a=12345 b=123 c@b"), Options{Keep: 4})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e := range tree.Entries() {
		got = append(got, fmt.Sprintf("%s %s %q %s %d", e.Path, e.Kind, e.Text, e.First, e.Names))
	}
	want := `/b file "123" /b 2,/c file "123" /b 2,/d dir "" 1,/d/a file "" 1`
	if s := strings.ReplaceAll(strings.Join(got, ","), "  ", " "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestConfigs(t *testing.T) {
	a, err := ParseConfig([]byte(`{"author":"me","os":"linux","config":{"Env":["A=1"],"Cmd":[],"Healthcheck":{"Test":["NONE"],"StartInterval":5000000001}},
		"history":[{"created_by":"x"},{"created_by":"y","empty_layer":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseConfig([]byte(`{"os":"linux","config":{"Env":["A=2"],"Labels":null,"Healthcheck":{"Test":["NONE"],"StartInterval":5000000002}},
		"history":[{"created_by":"x","empty_layer":true},{"created_by":"z","empty_layer":true}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range append(Configs(a, b), Histories(a, b)...) {
		got = append(got, d.Path+" "+d.Kind+" "+d.Text)
	}
	want := []string{
		`config Env ["A=1"] | ["A=2"]`,
		`config Healthcheck {"StartInterval":5000000001,"Test":["NONE"]} | {"StartInterval":5000000002,"Test":["NONE"]}`,
		`config author "me" | (none)`,
		`history empty_layer 0: false | true`,
		`history created_by 1: "y" | "z"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExplanations(t *testing.T) {
	all, err := ReadExplanations("x", strings.NewReader("# why\n\n/etc/* mtime,mode because of it\n/d*/** * all below\nconfig WorkingDir=\"/\"|(none) the same\n"))
	if err != nil {
		t.Fatal(err)
	}
	covered := func(d Difference) bool {
		return slices.ContainsFunc(all, func(x Explanation) bool { return x.Covers(d) })
	}
	for d, want := range map[Difference]bool{
		{"/etc/a", "mtime", ""}:   true,
		{"/etc/a", "owner", ""}:   false,
		{"/etc/a/b", "mode", ""}:  false,
		{"/d/a/b", "content", ""}: true,
		{"/d", "mode", ""}:        false,

		{"config", "WorkingDir", `"/" | (none)`}: true,
		{"config", "WorkingDir", `"/" | "/a"`}:   false,
	} {
		if covered(d) != want {
			t.Errorf("%v: %v", d, !want)
		}
	}
	if _, err := ReadExplanations("x", strings.NewReader("/a mode")); err == nil || !strings.Contains(err.Error(), "x:1") {
		t.Errorf("a line without a reason: %v", err)
	}
}
