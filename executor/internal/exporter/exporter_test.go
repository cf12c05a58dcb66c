package exporter_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func client() *registry.Client {
	return registry.New(registry.Config{Retry: registry.Retry{Tries: 3, Wait: time.Millisecond}})
}

func image(t *testing.T, layers int, size int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, int64(layers))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func tags(t *testing.T, c *registry.Client, names ...string) []name.Tag {
	t.Helper()
	var all []name.Tag
	for _, n := range names {
		tag, err := c.Tag(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tag)
	}
	return all
}

// export does what the engine does: layers first, then the image.
func export(t *testing.T, e engine.Exporter, img v1.Image) error {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		if err := e.Layer(context.Background(), l); err != nil {
			return err
		}
	}
	return e.Image(context.Background(), img)
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// TestRegistry_several: one image, several tags, repositories and registries;
// each blob crosses to each registry once.
func TestRegistry_several(t *testing.T) {
	a, b := registrytest.Start(t, registrytest.Config{Mounts: true}), registrytest.Start(t, registrytest.Config{})
	c := client()
	var said []string
	cfg := exporter.Config{
		Client: c, Destinations: tags(t, c, a.Host()+"/one:1", a.Host()+"/one:2", a.Host()+"/two:1", b.Host()+"/three"),
		Pushed: func(r exporter.Result) { said = append(said, r.Tag.Name()+"@"+r.Digest.String()) },
	}
	if err := cfg.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := a.Count("POST upload"); n != 2 {
		t.Errorf("two repositories were asked %d times whether they may be pushed to", n)
	}
	a.Forget()
	img := image(t, 3, 10<<10)
	if err := export(t, exporter.New(cfg), img); err != nil {
		t.Fatal(err)
	}
	want, _ := img.RawManifest()
	for _, at := range []struct {
		s         *registrytest.Server
		repo, tag string
	}{{a, "one", "1"}, {a, "one", "2"}, {a, "two", "1"}, {b, "three", "latest"}} {
		if got := at.s.Manifest(at.repo, at.tag); !bytes.Equal(got, want) {
			t.Errorf("%s:%s is %q", at.repo, at.tag, got)
		}
	}
	// Three layers once; the config too if the first repository has it before the second is asked.
	if n := a.Count("PUT upload"); n != 3+1 && n != 3+2 {
		t.Errorf("%d uploads to one registry: %q", n, a.Requests())
	}
	slices.Sort(said)
	if len(said) != 4 || !strings.HasSuffix(said[0], "@"+digest(t, img)) {
		t.Errorf("reported %q", said)
	}
}

// TestRegistry_partial: a destination that fails is named and stops no other; no
// digest is written.
func TestRegistry_partial(t *testing.T) {
	good, bad := registrytest.Start(t, registrytest.Config{}), registrytest.Start(t, registrytest.Config{ReadOnly: true})
	late := registrytest.Start(t, registrytest.Config{Script: "PUT manifest: 400 always"})
	c := client()
	file := filepath.Join(t.TempDir(), "digest")
	e := exporter.New(exporter.Config{
		Client: c, Destinations: tags(t, c, bad.Host()+"/app:1", good.Host()+"/app:1", late.Host()+"/app:1"), Notes: []*exporter.Note{exporter.DigestFile(file)},
	})
	img := image(t, 2, 1000)
	err := export(t, e, img)
	var partial *exporter.PushError
	if !errors.As(err, &partial) {
		t.Fatalf("got error %v", err)
	}
	for i, failed := range []bool{true, false, true} {
		if (partial.Results[i].Err != nil) != failed {
			t.Errorf("destination %d: %v", i, partial.Results[i].Err)
		}
	}
	for _, says := range []string{"push to 2 of 3 destinations", bad.Host(), late.Host(), "403", "400", "; pushed " + good.Host() + "/app:1@" + digest(t, img)} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("error %q does not say %q", err, says)
		}
	}
	var code interface{ ExitCode() int }
	if !errors.As(err, &code) || code.ExitCode() != 77 {
		t.Errorf("the error of the first destination should decide on the exit code: %v", code)
	}
	if good.Manifest("app", "1") == nil {
		t.Error("the good registry did not get the image")
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("there is a digest file: %v", err)
	}
}

// TestRegistry_nowhere: when no destination is left the build is told early.
func TestRegistry_nowhere(t *testing.T) {
	bad := registrytest.Start(t, registrytest.Config{ReadOnly: true})
	c := client()
	cfg := exporter.Config{Client: c, Destinations: tags(t, c, bad.Host()+"/app:1", bad.Host()+"/app:2")}
	if err := cfg.Check(context.Background()); err == nil || strings.Count(err.Error(), "may be pushed to") != 1 {
		t.Errorf("check: %v", err)
	}
	ls, err := image(t, 1, 1000).Layers()
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.New(cfg).Layer(context.Background(), ls[0]); err == nil {
		t.Error("the layer went somewhere")
	}
}

// TestNew: what is pushed and what is not.
func TestNew(t *testing.T) {
	c := client()
	to := tags(t, c, "127.0.0.1:1/app:1")
	for _, tc := range []struct {
		name   string
		c      exporter.Config
		pushes bool
	}{
		{"destination", exporter.Config{Destinations: to}, true},
		{"no push", exporter.Config{Destinations: to, NoPush: true}, false},
		{"tarball too", exporter.Config{Destinations: to, TarPath: "x.tar"}, true},
		{"layout", exporter.Config{Destinations: to, LayoutPath: "x"}, true},
		{"nowhere", exporter.Config{}, false},
	} {
		if got := tc.c.Pushes(); got != tc.pushes {
			t.Errorf("%s: pushes is %v", tc.name, got)
		}
	}
	dir := t.TempDir()
	cfg := exporter.Config{
		Destinations: to, NoPush: true, LayoutPath: filepath.Join(dir, "layout"), TarPath: filepath.Join(dir, "image.tar"), Notes: []*exporter.Note{exporter.DigestFile(filepath.Join(dir, "digest"))},
	}
	if err := cfg.Check(context.Background()); err != nil {
		t.Error(err)
	}
	img := image(t, 2, 1000)
	if err := export(t, exporter.New(cfg), img); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"layout/index.json", "image.tar", "digest"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			t.Error(err)
		}
	}
}

// TestLayout: what is written is a layout of that image alone, whatever was there.
func TestLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "layout")
	var last v1.Image
	for range 2 {
		last = image(t, 3, 5000)
		if err := export(t, &exporter.Layout{Path: path}, last); err != nil {
			t.Fatal(err)
		}
	}
	p, err := layout.FromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	index, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 || m.Manifests[0].Digest.String() != digest(t, last) {
		t.Errorf("the index names %+v", m.Manifests)
	}
	before := files(t, path)
	if err := export(t, &exporter.Layout{Path: path}, last); err != nil {
		t.Fatal(err)
	}
	if after := files(t, path); !slices.Equal(before, after) {
		t.Errorf("twice is not once: %q, %q", before, after)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err == nil && !fi.IsDir() {
			var b []byte
			b, err = os.ReadFile(p)
			all = append(all, p+" "+fi.Mode().String()+" "+string(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// broken is a layer that ends in the middle.
type broken struct{ v1.Layer }

func (b broken) Compressed() (io.ReadCloser, error) {
	r, err := b.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.LimitReader(r, 100)), nil
}

// TestFiles_interrupted: what fails half way leaves what was there, and no debris.
func TestFiles_interrupted(t *testing.T) {
	ls, err := image(t, 1, 5000).Layers()
	if err != nil {
		t.Fatal(err)
	}
	bad, err := mutate.AppendLayers(empty.Image, broken{ls[0]})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, e := range []engine.Exporter{
		&exporter.Layout{Path: filepath.Join(dir, "layout")},
		&exporter.Tarball{Path: filepath.Join(dir, "image.tar")},
	} {
		if err := export(t, e, image(t, 1, 1000)); err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		err := export(t, e, bad)
		var out *exporter.OutputError
		if !errors.As(err, &out) || out.ExitCode() != 73 {
			t.Errorf("%T: got error %v", e, err)
		}
		if after := files(t, dir); !slices.Equal(before, after) {
			t.Errorf("%T left something else behind", e)
		}
	}
}

// TestTarball: Docker's old and new way to read it find the same image, under
// every tag; twice is equal.
func TestTarball(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	img := image(t, 3, 5000)
	c := client()
	to := tags(t, c, "me/app", "registry.example:5000/app:2", "busybox:1")
	if err := export(t, &exporter.Tarball{Path: path, Tags: to}, img); err != nil {
		t.Fatal(err)
	}
	once, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(path) })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := list[0].RepoTags, []string{"me/app:latest", "registry.example:5000/app:2", "busybox:1"}; !slices.Equal(got, want) {
		t.Errorf("the tags are %q", got)
	}
	for _, tag := range to {
		got, err := tarball.ImageFromPath(path, &tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(got); err != nil {
			t.Error(err)
		}
		if a, b := must(got.ConfigName()), must(img.ConfigName()); a != b {
			t.Errorf("%s has the config %s, not %s", tag, a, b)
		}
	}
	var index v1.IndexManifest
	r := tar.NewReader(bytes.NewReader(once))
	for {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("no index: %v", err)
		}
		if h.Name == "index.json" {
			if err := json.NewDecoder(r).Decode(&index); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	var names []string
	for _, d := range index.Manifests {
		if d.Digest.String() != digest(t, img) {
			t.Errorf("the index names %s", d.Digest)
		}
		names = append(names, d.Annotations["io.containerd.image.name"])
	}
	if want := []string{"docker.io/me/app:latest", "registry.example:5000/app:2", "docker.io/library/busybox:1"}; !slices.Equal(names, want) {
		t.Errorf("the names are %q", names)
	}
	if err := export(t, &exporter.Tarball{Path: path, Tags: to}, img); err != nil {
		t.Fatal(err)
	}
	if twice, err := os.ReadFile(path); err != nil || !bytes.Equal(once, twice) {
		t.Errorf("twice is not equal, error %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestDigestFile: exactly the digest, readable by all, wherever it is wanted.
func TestDigestFile(t *testing.T) {
	img := image(t, 1, 100)
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	if err := os.WriteFile(real, []byte("something longer than a digest, to be cut off: "+strings.Repeat("x", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "new", "deeper", "digest"), link} {
		if err := export(t, exporter.DigestFile(path), img); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != digest(t, img) {
			t.Errorf("%s holds %q, error %v", path, got, err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o644 {
			t.Errorf("%s has mode %v, error %v", path, fi.Mode(), err)
		}
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := export(t, exporter.DigestFile(pipe(t, w)), img); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != digest(t, img) {
		t.Errorf("the pipe got %q, error %v", got, err)
	}

	err = export(t, exporter.DigestFile(filepath.Join(real, "below", "a file")), img)
	var out *exporter.OutputError
	if !errors.As(err, &out) || out.ExitCode() != 73 {
		t.Errorf("got error %v", err)
	}
}

// pipe is a path at which an open pipe can be written to.
func pipe(t *testing.T, w *os.File) string {
	t.Helper()
	path := filepath.Join("/proc/self/fd", strings.TrimSpace(string(must(json.Marshal(w.Fd())))))
	if _, err := os.Stat(path); err != nil {
		t.Skip("no /proc here")
	}
	return path
}

// TestFormats_skopeo: a reader that is not ours finds the same image in both.
func TestFormats_skopeo(t *testing.T) {
	program, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed (Debian package skopeo)")
	}
	dir := t.TempDir()
	img := image(t, 2, 5000)
	for _, e := range []engine.Exporter{
		&exporter.Layout{Path: filepath.Join(dir, "layout")},
		&exporter.Tarball{Path: filepath.Join(dir, "image.tar"), Tags: tags(t, client(), "me/app:1")},
	} {
		if err := export(t, e, img); err != nil {
			t.Fatal(err)
		}
	}
	config := must(img.RawConfigFile())
	for _, source := range []string{"oci:" + filepath.Join(dir, "layout"), "docker-archive:" + filepath.Join(dir, "image.tar"), "docker-archive:" + filepath.Join(dir, "image.tar") + ":me/app:1"} {
		cmd := exec.Command(program, "inspect", "--config", "--raw", source)
		var said bytes.Buffer
		cmd.Stderr = &said
		got, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v: %s", source, err, said.Bytes())
		} else if !bytes.Equal(bytes.TrimSpace(got), config) {
			t.Errorf("%s has the config %s", source, got)
		}
		// And all the layers are there, of the digests that are said.
		copied := filepath.Join(t.TempDir(), "copy")
		if out, err := exec.Command(program, "--insecure-policy", "copy", source, "dir:"+copied).CombinedOutput(); err != nil {
			t.Errorf("copy %s: %v: %s", source, err, out)
		}
	}
}
