package extract

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
)

// at is the time of all entries.
var at = time.Unix(1_000_000_000, 0)

// image is one of layers that are each a list of entries. A file's content is in place
// of its target.
func image(t *testing.T, layers ...[]*tar.Header) *files.FS {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range entries {
			content := ""
			if h.Typeflag == tar.TypeReg {
				content = h.Linkname
				h.Size, h.Linkname = int64(len(content)), ""
			}
			h.ModTime = at
			err := w.WriteHeader(h)
			if err == nil {
				_, err = w.Write([]byte(content))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := files.Open("img", t.TempDir(), img)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func file(name, content string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o640}
}

func dir(name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}
}

func link(kind byte, name, target string) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}
}

// below is what a directory has: a line for each path.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(path, dir) + " " + info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(raw)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " " + target
		}
		if d.Type() != fs.ModeSymlink && !info.ModTime().Equal(at) {
			line += " at another time"
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTo_tree(t *testing.T) {
	from := image(t,
		[]*tar.Header{
			dir("app/", 0o755), file("app/a", "1"), file("app/gone", "2"), dir("app/closed/", 0o500), file("app/closed/b", "3"),
			link(tar.TypeLink, "app/hard", "app/a"), {Typeflag: tar.TypeChar, Name: "app/null", Devmajor: 1, Devminor: 3}, {Typeflag: tar.TypeFifo, Name: "app/pipe"},
			file("beside", "4"),
		},
		[]*tar.Header{file("app/.wh.gone", ""), {Typeflag: tar.TypeReg, Name: "app/run", Linkname: "5", Mode: 0o6755}, link(tar.TypeSymlink, "app/link", "../beside"), file("app/empty", "")},
	)
	for _, name := range []string{"/app", "app/", "/app/closed/.."} {
		dest := filepath.Join(t.TempDir(), "got")
		left, err := To(t.Context(), dest, from, name)
		if err != nil || left != 2 {
			t.Fatalf("%s: %d left out, %v", name, left, err)
		}
		want := []string{
			"/a -rw-r----- 1", "/closed drwx------", "/closed/b -rw-r----- 3", "/empty -rw-r----- ", "/hard -rwxrwxrwx 1", "/link Lrwxrwxrwx ../beside", "/run -rwxr-xr-x 5",
		}
		if diff := cmp.Diff(want, below(t, dest)); diff != "" {
			t.Error(diff)
		}
		if _, err := To(t.Context(), dest, from, name); !errors.Is(err, fs.ErrExist) {
			t.Errorf("written twice: %v", err)
		}
	}
}

// TestTo_hostile: whatever an image has, nothing is written but below the destination, and
// nothing is there unless all is.
func TestTo_hostile(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for _, c := range []struct {
		name   string
		layers [][]*tar.Header
		want   []string // nil for an error
	}{
		{"names with dots", [][]*tar.Header{{file(up+"x", "1"), file("a/../../y", "2")}}, []string{"/x -rw-r----- 1", "/y -rw-r----- 2"}},
		{"an absolute name", [][]*tar.Header{{file(outside+"/new", "1")}}, nil},
		{"a link out, and a file through it", [][]*tar.Header{{link(tar.TypeSymlink, "a", outside), file("a/kept", "1")}}, nil},
		{"a link up, and a file through it", [][]*tar.Header{{link(tar.TypeSymlink, "a", "../.."), file("a/new", "1")}}, nil},
		{"a link out below, and a file through it above", [][]*tar.Header{{link(tar.TypeSymlink, "a", outside)}, {file("a/kept", "1")}}, []string{"/a drwxr-xr-x at another time", "/a/kept -rw-r----- 1"}},
		{"a link out, and a directory in its place", [][]*tar.Header{{link(tar.TypeSymlink, "a", outside)}, {dir("a/", 0o700), file("a/kept", "1")}}, []string{"/a drwx------", "/a/kept -rw-r----- 1"}},
		{"a hard link out", [][]*tar.Header{{link(tar.TypeLink, "a", outside+"/kept")}}, nil},
		{"a mark of the directory above", [][]*tar.Header{{file("d/a", "1")}, {file("d/.wh...", ""), file("d/.wh..", ""), file(".wh.", "")}}, []string{"/d drwxr-xr-x at another time", "/d/a -rw-r----- 1"}},
		{"a name that no file can have", [][]*tar.Header{{file(strings.Repeat("x", 300), "1")}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			place := t.TempDir()
			dest := filepath.Join(place, "got")
			_, err := To(t.Context(), dest, image(t, c.layers...), "/")
			if strings.HasPrefix(c.name, "an absolute") {
				raw, readErr := os.ReadFile(dest + outside + "/new")
				if err != nil || readErr != nil || string(raw) != "1" {
					t.Error(err, readErr)
				}
			} else if c.want == nil {
				if err == nil {
					t.Errorf("no error, but %q", below(t, dest))
				}
				if left := below(t, place); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			} else if diff := cmp.Diff(c.want, below(t, dest)); diff != "" || err != nil {
				t.Error(err, diff)
			}
			names, err := os.ReadDir(outside)
			raw, readErr := os.ReadFile(filepath.Join(outside, "kept"))
			if err != nil || readErr != nil || len(names) != 1 || string(raw) != "kept" {
				t.Errorf("outside there are %v, %q: %v, %v", names, raw, err, readErr)
			}
		})
	}
}

func TestTo_file(t *testing.T) {
	from := image(t, []*tar.Header{file("a", "1"), link(tar.TypeSymlink, "b", "a"), link(tar.TypeSymlink, "c", "d"), {Typeflag: tar.TypeReg, Name: "s", Linkname: "2", Mode: 0o4755}})
	place := t.TempDir()
	dest := filepath.Join(place, "got")
	for _, c := range []struct{ name, want string }{{"/a", "-rw-r----- 1"}, {"/b", "-rw-r----- 1"}, {"/s", "-rwxr-xr-x 2"}} {
		if _, err := To(t.Context(), dest, from, c.name); err != nil {
			t.Fatal(err)
		}
		if got := below(t, place); !slices.Equal(got, []string{"/got " + c.want}) {
			t.Errorf("%s: %q, want %s", c.name, got, c.want)
		}
	}
	if _, err := To(t.Context(), dest, from, "/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	var write *WriteError
	if _, err := To(t.Context(), filepath.Join(place, "none", "got"), from, "/a"); !errors.As(err, &write) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := To(ctx, dest, image(t, []*tar.Header{file("a", "3")}), "/a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := below(t, place); !slices.Equal(got, []string{"/got -rwxr-xr-x 2"}) {
		t.Errorf("after errors: %q", got)
	}
}

// A directory of many files is written without reading a layer for each.
func TestTo_once(t *testing.T) {
	var entries []*tar.Header
	for n := range 50 {
		entries = append(entries, file(fmt.Sprintf("d/%02d", n), "x"))
	}
	from := image(t, entries)
	l := &counted{Layer: from.Layers()[0].Layer}
	from.Layers()[0].Layer = l
	if _, err := To(t.Context(), filepath.Join(t.TempDir(), "got"), from, "/d"); err != nil {
		t.Fatal(err)
	}
	if l.opened != 2 { // for the names, and for the contents
		t.Errorf("read %d times", l.opened)
	}
}

type counted struct {
	v1.Layer
	opened int
}

// Uncompressed implements [v1.Layer].
func (c *counted) Uncompressed() (io.ReadCloser, error) {
	c.opened++
	return c.Layer.Uncompressed()
}
