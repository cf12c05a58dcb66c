package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// plain is an image of layers that are each a list of entries: NAME=CONTENT for a file,
// NAME/ for a directory, NAME->TARGET for a symlink, NAME=>TARGET for a hard link.
func plain(t *testing.T, layers ...string) v1.Image {
	t.Helper()
	img := empty.Image
	for _, l := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, entry := range strings.Fields(l) {
			h := &tar.Header{Mode: 0o644}
			var content string
			if name, target, ok := strings.Cut(entry, "->"); ok {
				h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, name, target
			} else if name, target, ok := strings.Cut(entry, "=>"); ok {
				h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, target
			} else if name, text, ok := strings.Cut(entry, "="); ok {
				content = text
				h.Typeflag, h.Name, h.Size = tar.TypeReg, name, int64(len(text))
			} else {
				h.Typeflag, h.Name, h.Mode = tar.TypeDir, entry, 0o755
				if !strings.HasSuffix(entry, "/") { // a mark
					h.Typeflag = tar.TypeReg
				}
			}
			err := w.WriteHeader(h)
			if err == nil {
				_, err = io.WriteString(w, content)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		img = appended(t, img, &counted{plain: b.Bytes()})
	}
	return img
}

func appended(t *testing.T, img v1.Image, l v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(img, l)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// opened is an image's files, closed when the test ends.
func opened(t *testing.T, img v1.Image) *FS {
	t.Helper()
	f, err := Open("img", t.TempDir(), img)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(f.dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return f
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers []string
		path   string
		want   string // content, or of what the error is
	}{
		{"a file", []string{"etc/ etc/a=1"}, "/etc/a", "1"},
		{"without a slash", []string{"etc/ etc/a=1"}, "etc/a", "1"},
		{"as ./", []string{"./etc/ ./etc/a=1"}, "/etc/a", "1"},
		{"no entry for the directory", []string{"etc/a=1"}, "/etc/a", "1"},
		{"of the top layer", []string{"a=1", "a=2"}, "/a", "2"},
		{"of a lower layer", []string{"a=1", "b=2"}, "/a", "1"},
		{"of two in a layer the last", []string{"a=1 a=22"}, "/a", "22"},
		{"deleted", []string{"a=1", ".wh.a"}, "/a", "!not exist"},
		{"deleted with its directory", []string{"d/ d/a=1", ".wh.d"}, "/d/a", "!not exist"},
		{"deleted and made anew in one layer", []string{"a=1", ".wh.a a=2"}, "/a", "2"},
		{"made anew above", []string{"a=1", ".wh.a", "a=3"}, "/a", "3"},
		{"opaque", []string{"d/ d/a=1", "d/ d/b=2 d/.wh..wh..opq"}, "/d/a", "!not exist"},
		{"opaque spares its own", []string{"d/ d/a=1", "d/ d/b=2 d/.wh..wh..opq"}, "/d/b", "2"},
		{"a file where a directory was", []string{"d/ d/a=1", "d=2"}, "/d/a", "!not a directory"},
		{"a directory where a file was", []string{"d=1", "d/ d/a=2"}, "/d/a", "2"},
		{"a directory where a link was", []string{"e/ e/a=1 d->e", "d/b=2"}, "/d/a", "!not exist"},
		{"a link", []string{"a=1 b->a"}, "/b", "1"},
		{"a link to the root's", []string{"d/ d/b->/a a=1"}, "/d/b", "1"},
		{"a link on the way", []string{"usr/ usr/lib/ usr/lib/a=1 lib->usr/lib"}, "/lib/a", "1"},
		{"a link across layers", []string{"usr/ usr/lib/ lib->usr/lib", "usr/ usr/lib/ usr/lib/a=1"}, "/lib/a", "1"},
		{"a link out of the root stays in it", []string{"d/ d/b->../../../../a a=1"}, "/d/b", "1"},
		{"dots out of the root stay in it", []string{"a=1"}, "/../../a", "1"},
		{"a link to itself", []string{"a->a"}, "/a", "!symbolic links"},
		{"a link to nowhere", []string{"a->b"}, "/a", "!not exist"},
		{"a hard link", []string{"a=1 b=>a"}, "/b", "1"},
		{"a hard link to a lower layer", []string{"a=1", "b=>a"}, "/b", "1"},
		{"a hard link outlives its target", []string{"a=1 b=>a", ".wh.a"}, "/b", "1"},
		{"a hard link to what was there then", []string{"a=1", "b=>a", "a=3"}, "/b", "1"},
		{"hard links to each other", []string{"a=>b b=>a"}, "/a", "!symbolic links"},
		{"a directory", []string{"d/"}, "/d", "!not a regular file"},
		{"the root", []string{"d/"}, "/", "!not a regular file"},
		{"nothing", []string{"d/"}, "/e", "!not exist"},
		{"no layers", nil, "/e", "!not exist"},
		{"empty", []string{"a="}, "/a", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			e, err := opened(t, plain(t, c.layers...)).Read(t.Context(), &b, c.path)
			got := b.String()
			if err != nil {
				got = "!" + err.Error()
			}
			if want, ok := strings.CutPrefix(c.want, "!"); ok {
				if err == nil || !strings.Contains(got, want) || errors.Is(err, fs.ErrNotExist) != (want == "not exist") {
					t.Errorf("%q, want the error %s", got, want)
				}
			} else if got != c.want || e == nil {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestList(t *testing.T) {
	f := opened(t, plain(t, "etc/ etc/a=1 etc/b=22 usr/lib/c=3 lib->usr/lib", "etc/ etc/.wh.a etc/d=>etc/b var/x->y"))
	for _, c := range []struct {
		path      string
		recursive bool
		want      string
	}{
		{"/", false, "/etc dir, /lib symlink, /usr dir, /var dir"},
		{"/", true, "/etc dir, /etc/b file, /etc/d hardlink, /lib symlink, /usr dir, /usr/lib dir, /usr/lib/c file, /var dir, /var/x symlink"},
		{"etc", false, "/etc/b file, /etc/d hardlink"},
		{"/lib", false, "/usr/lib/c file"},
		{"/etc/b", false, "/etc/b file"},
	} {
		all, err := f.List(t.Context(), c.path, c.recursive)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		var got []string
		for _, e := range all {
			got = append(got, e.Path+" "+e.Type())
			if e.Path == "/etc/d" && f.Size(t.Context(), e) != 2 {
				t.Errorf("a hard link of %d bytes", f.Size(t.Context(), e))
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s, want %s", c.path, strings.Join(got, ", "), c.want)
		}
	}
	if _, err := f.List(t.Context(), "/etc/a", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted, and listed: %v", err)
	}
}

// counted is a layer that counts how often it is read.
type counted struct {
	plain  []byte
	opened int
}

var _ v1.Layer = (*counted)(nil)

// Digest implements [v1.Layer].
func (c *counted) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(c.plain))
	return h, err
}

// DiffID implements [v1.Layer].
func (c *counted) DiffID() (v1.Hash, error) { return c.Digest() }

// Size implements [v1.Layer].
func (c *counted) Size() (int64, error) { return int64(len(c.plain)), nil }

// MediaType implements [v1.Layer].
func (c *counted) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Uncompressed implements [v1.Layer].
func (c *counted) Uncompressed() (io.ReadCloser, error) {
	c.opened++
	return io.NopCloser(bytes.NewReader(c.plain)), nil
}

// Compressed implements [v1.Layer].
func (c *counted) Compressed() (io.ReadCloser, error) { return c.Uncompressed() }

// Layers are read once, from the top, and no further down than needed.
func TestRead_lazily(t *testing.T) {
	img := plain(t, "a=1 b=2", "c/ c/d=3 c/e=4")
	layers, err := Layers(img)
	if err != nil {
		t.Fatal(err)
	}
	below, above := counting(t, layers[0]), counting(t, layers[1])
	f := opened(t, img)
	for _, c := range []struct {
		path         string
		below, above int
	}{{"/c/d", 0, 1}, {"/c/d", 0, 1}, {"/c/e", 0, 2}, {"/a", 1, 2}} {
		if _, err := f.Read(t.Context(), io.Discard, c.path); err != nil {
			t.Fatal(err)
		}
		if below.opened != c.below || above.opened != c.above {
			t.Errorf("after %s the layers were read %d and %d times, want %d and %d", c.path, below.opened, above.opened, c.below, c.above)
		}
	}
}

func counting(t *testing.T, l *Layer) *counted {
	t.Helper()
	c, ok := layer.As[*counted](l.Layer)
	if !ok {
		t.Fatalf("a %T", l.Layer)
	}
	return c
}

// Who gives up is obeyed.
func TestRead_canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := opened(t, plain(t, "a=1")).Read(ctx, io.Discard, "/a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Contents have digests, whatever they are read from.
func TestEntries_digest(t *testing.T) {
	layers, err := Layers(plain(t, "a=1 d/ l->a .wh.x"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := layers[0].Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%s %.8s", e.Path, e.Digest))
	}
	if want := "/a 6b86b273, /d , /l , /.wh.x "; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}
