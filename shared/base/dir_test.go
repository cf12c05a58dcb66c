package base_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

var linux = v1.Platform{OS: "linux", Architecture: "amd64"}

// fixture is an image of two layers in a registry, opened through a directory.
type fixture struct {
	server *registrytest.Server
	client *registry.Client
	dir    *base.Dir
	source v1.Image
	image  v1.Image
	layers []v1.Layer
}

func setup(t *testing.T, size int64, c registrytest.Config) *fixture {
	t.Helper()
	f := &fixture{}
	var err error
	if f.source, err = random.Image(size, 2); err != nil {
		t.Fatal(err)
	}
	script := c.Script
	c.Script = ""
	f.server = registrytest.Start(t, c)
	seed(t, f.server, "base:1", f.source)
	f.server.Script(script)
	f.open(t, context.Background(), 0)
	return f
}

func seed(t *testing.T, s *registrytest.Server, at string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(s.Host() + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) open(t *testing.T, ctx context.Context, pulls int) {
	t.Helper()
	f.client = registry.New(registry.Config{Retry: registry.Retry{Wait: time.Millisecond, Stall: 10 * time.Second}})
	var err error
	if f.dir, err = base.Open(context.Background(), t.TempDir(), f.client, pulls); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.dir.Close() })
	resolved, err := f.dir.Resolve(ctx, f.server.Host()+"/base:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	if f.image, err = f.dir.Image(ctx, resolved); err != nil {
		t.Fatal(err)
	}
	if f.layers, err = f.image.Layers(); err != nil {
		t.Fatal(err)
	}
	f.server.Forget()
}

func content(t *testing.T, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) want(t *testing.T, n int) []byte {
	t.Helper()
	ls, err := f.source.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return content(t, ls[n])
}

// used waits until the server has done all that its script says.
func (f *fixture) used(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); f.server.Unused() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("the script was not used up: %q", f.server.Requests())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestDir_once: many readers, at once and one after the other, one download.
func TestDir_once(t *testing.T) {
	f := setup(t, 2<<20, registrytest.Config{})
	if got := f.server.Requests(); len(got) != 0 {
		t.Errorf("asked before anything was opened: %q", got)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if !bytes.Equal(content(t, f.layers[i%2]), f.want(t, i%2)) {
				t.Error("read something else")
			}
		})
	}
	wg.Wait()
	content(t, f.layers[0])
	if err := validate.Image(f.image); err != nil {
		t.Error(err)
	}
	if n := f.server.Count("GET blob"); n != 2 {
		t.Errorf("%d downloads of two layers: %q", n, f.server.Requests())
	}
}

// TestDir_faults: broken connections are mended, broken content is found out.
func TestDir_faults(t *testing.T) {
	for _, tc := range []struct {
		script string
		bad    bool
	}{
		{"2nd GET blob: cut at 5000 x2", false}, // the first is the config's
		{"2nd GET blob: 503 x2", false},
		{"2nd GET blob: corrupt", true},
		{"2nd GET blob: cut at 100 x5", true},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			f := setup(t, 300<<10, registrytest.Config{Script: tc.script})
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					r, err := f.layers[0].Compressed()
					if err != nil {
						t.Error(err)
						return
					}
					defer r.Close()
					_, err = io.Copy(io.Discard, r)
					if (err != nil) != tc.bad {
						t.Errorf("read with error %v", err)
					}
					var e interface{ ExitCode() int }
					if err != nil && !errors.As(err, &e) {
						t.Errorf("error without a name: %v", err)
					}
				})
			}
			wg.Wait()
			// What failed may be tried again.
			if !bytes.Equal(content(t, f.layers[0]), f.want(t, 0)) {
				t.Error("read something else afterwards")
			}
		})
	}
}

// TestDir_pause: when nobody reads any more, nothing more is fetched; who comes
// back gets what is missing.
func TestDir_pause(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{})
	f.server.Script("GET blob: cut at 1000\n2nd GET blob: stall")
	r, err := f.layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	f.used(t)
	r.Close()
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
	if !bytes.Equal(content(t, f.layers[0]), f.want(t, 0)) {
		t.Error("read something else")
	}
	if n := f.server.Count("GET blob base 200"); n != 1 {
		t.Errorf("began anew %d times: %q", n, f.server.Requests())
	}
}

// TestDir_cancel: a reader whose context ends stops waiting, others do not.
func TestDir_cancel(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	resolved, err := f.dir.Resolve(ctx, f.server.Host()+"/base:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	img, err := f.dir.Image(ctx, resolved)
	if err != nil {
		t.Fatal(err)
	}
	f.server.Script("GET blob: stall")
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ls[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read with error %v", err)
	}
	r.Close()
	if !bytes.Equal(content(t, f.layers[0]), f.want(t, 0)) {
		t.Error("read something else")
	}
}

// TestDir_close: closing ends downloads, and readers with them.
func TestDir_close(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{})
	f.server.Script("GET blob: stall")
	r, err := f.layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		failed <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := f.dir.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-failed:
		if err == nil || err == io.EOF {
			t.Errorf("read with error %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader waits for ever")
	}
	if _, err := f.layers[0].Compressed(); err == nil {
		t.Error("a layer could be opened afterwards")
	}
}

// TestDir_limit: no more layers at once than allowed.
func TestDir_limit(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{})
	f.open(t, context.Background(), 1)
	f.server.Script("GET blob: stall")
	first, err := f.layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	f.used(t)
	second, err := f.layers[1].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	time.Sleep(50 * time.Millisecond)
	if n := f.server.Count("GET blob"); n != 0 {
		t.Errorf("%d layers came while another was under way", n)
	}
	first.Close()
	if _, err := io.Copy(io.Discard, second); err != nil {
		t.Error(err)
	}
}

// TestDir_push: in its own registry a layer is mounted and not read, in another
// it is sent from the directory.
func TestDir_push(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{Mounts: true})
	ctx := context.Background()
	to, err := f.client.Tag(f.server.Host() + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.client.PushImage(ctx, to, f.image); err != nil {
		t.Fatal(err)
	}
	if m, g := f.server.Count("POST mount app 201"), f.server.Count("GET blob"); m != 2 || g != 0 {
		t.Errorf("%d mounts, %d downloads: %q", m, g, f.server.Requests())
	}
	for _, l := range f.layers {
		content(t, l)
	}
	other := registrytest.Start(t, registrytest.Config{})
	if to, err = f.client.Tag(other.Host() + "/app:1"); err != nil {
		t.Fatal(err)
	}
	if err := f.client.PushImage(ctx, to, f.image); err != nil {
		t.Fatal(err)
	}
	if g := f.server.Count("GET blob"); g != 2 {
		t.Errorf("%d downloads of two layers", g)
	}
	want, _ := f.source.RawManifest()
	if !bytes.Equal(other.Manifest("app", "1"), want) {
		t.Error("the manifest differs")
	}
}

// TestDir_Layer: a layer beside any image is fetched once too, from wherever it is.
func TestDir_Layer(t *testing.T) {
	f := setup(t, 64<<10, registrytest.Config{})
	ctx := context.Background()
	m, err := f.source.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layer := func(repo string) v1.Layer {
		r, err := f.client.Repository(f.server.Host() + "/" + repo)
		if err != nil {
			t.Fatal(err)
		}
		return f.dir.Layer(ctx, f.client.Layer(ctx, r, m.Layers[1], v1.Hash{}))
	}
	r, err := layer("elsewhere").Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("read what is not there: %v", err)
	}
	r.Close()
	f.server.Forget()
	for _, l := range []v1.Layer{layer("base"), layer("base"), layer("elsewhere"), f.layers[1]} {
		if !bytes.Equal(content(t, l), f.want(t, 1)) {
			t.Error("read something else")
		}
	}
	if n := f.server.Count("GET blob"); n != 1 {
		t.Errorf("%d downloads: %q", n, f.server.Requests())
	}
}

// TestDir_compressions: layers of every compression can be read.
func TestDir_compressions(t *testing.T) {
	text := bytes.Repeat([]byte("archive "), 5000)
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	w.Close()
	img, err := mutate.AppendLayers(empty.Image,
		static.NewLayer(z.Bytes(), types.OCILayerZStd), static.NewLayer(text, types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{source: img, server: registrytest.Start(t, registrytest.Config{})}
	seed(t, f.server, "base:1", img)
	f.open(t, context.Background(), 0)
	for i, l := range f.layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("layer %d: %d bytes, error %v", i, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
