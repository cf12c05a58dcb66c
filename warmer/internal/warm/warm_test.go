package warm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/warmer/internal/warm"
)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64"}
)

// makeImage has layers of 300 kB each: those given, and one of its own.
func makeImage(t testing.TB, p v1.Platform, shared ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, append(shared, makeLayer(t))...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = p.OS, p.Architecture
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func makeLayer(t testing.TB) v1.Layer {
	t.Helper()
	l, err := random.Layer(300_000, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func push(t testing.TB, host, at string, images ...v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(host + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) == 1 {
		if err := remote.Write(ref, images[0]); err != nil {
			t.Fatal(err)
		}
		return
	}
	index := v1.ImageIndex(empty.Index)
	for _, img := range images {
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB, path string) *base.Store {
	t.Helper()
	s, err := base.CreateStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newClient() *registry.Client {
	return registry.New(registry.Config{Retry: registry.Retry{Tries: 2, Wait: time.Millisecond, Stall: 30 * time.Second}})
}

func config(s *base.Store) warm.Config {
	return warm.Config{Store: s, Client: newClient(), Now: time.Now}
}

// offline takes everything from a store.
func offline(s *base.Store) *base.Cached {
	return &base.Cached{Store: s, Next: base.Remote{Client: newClient()}, Offline: true}
}

// read resolves an image and reads all of it, its indexes too.
func read(ctx context.Context, c *base.Cached, i warm.Image) (v1.Image, error) {
	resolved, err := c.Resolve(ctx, i.Ref, i.Platform)
	if err != nil {
		return nil, err
	}
	img, err := c.Image(ctx, resolved)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		for _, err := range layer.Metadata(l) {
			if err != nil {
				return nil, err
			}
		}
	}
	return img, validate.Image(img)
}

func digest(t testing.TB, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRun_realRegistry(t *testing.T) {
	host := registrytest.Real(t, registrytest.RealConfig{})
	shared := makeLayer(t)
	forAMD, forARM, other := makeImage(t, amd64, shared), makeImage(t, arm64, shared), makeImage(t, amd64, shared)
	push(t, host, "app:1", forAMD, forARM)
	push(t, host, "team/other:latest", other)
	s := newStore(t, t.TempDir())
	images := []warm.Image{{host + "/app:1", amd64}, {host + "/app:1", arm64}, {host + "/team/other", amd64}}
	for _, want := range []warm.Outcome{warm.Fetched, warm.Unchanged} {
		results, err := warm.Run(t.Context(), config(s), images)
		if err != nil {
			t.Fatal(err)
		}
		for n, img := range []v1.Image{forAMD, forARM, other} {
			if r := results[n]; r.Outcome != want || r.Digest != digest(t, img) || r.Image.String() != images[n].String() || r.Actual != "" {
				t.Errorf("%s: %+v", images[n], r)
			}
			got, err := read(t.Context(), offline(s), images[n])
			if err != nil {
				t.Fatal(err)
			}
			if digest(t, got) != digest(t, img) {
				t.Errorf("%s is another image", images[n])
			}
		}
	}
	if _, err := warm.Tidy(t.Context(), s, 0, nil, time.Now()); err != nil {
		t.Error(err)
	}
}

// A layer that several images have is fetched once, although all are fetched at once.
func TestRun_sharedLayer(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	shared := makeLayer(t)
	var images []warm.Image
	for n := range 5 {
		at := fmt.Sprintf("app:%d", n)
		push(t, server.Host(), at, makeImage(t, amd64, shared))
		images = append(images, warm.Image{Ref: server.Host() + "/" + at, Platform: amd64})
	}
	c := config(newStore(t, t.TempDir()))
	for _, force := range []bool{false, true} {
		server.Forget()
		c.Force, c.Client = force, newClient()
		if _, err := warm.Run(t.Context(), c, images); err != nil {
			t.Fatal(err)
		}
		if n := server.Count("GET blob"); n != 5+5+1 {
			t.Errorf("force %v: %d blobs were fetched: %q", force, n, server.Requests())
		}
	}
}

func TestRun_someFail(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	push(t, server.Host(), "app:1", makeImage(t, amd64))
	push(t, server.Host(), "app:2", makeImage(t, arm64), makeImage(t, arm64))
	s := newStore(t, t.TempDir())
	c := config(s)
	var reported []string
	c.Report = func(r warm.Result) { reported = append(reported, r.Ref) }
	images := []warm.Image{{server.Host() + "/none:1", amd64}, {server.Host() + "/app:1", amd64}, {server.Host() + "/app:2", amd64}}
	_, err := warm.Run(t.Context(), c, images)
	var failed *warm.Error
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Of != 3 {
		t.Fatalf("error %v", err)
	}
	var platform *registry.PlatformError
	if !errors.Is(err, registry.ErrNotFound) || !errors.As(err, &platform) || len(reported) != 3 {
		t.Errorf("error %v, reported %q", err, reported)
	}
	if _, err := read(t.Context(), offline(s), images[1]); err != nil {
		t.Error(err)
	}
}

func TestRun_stopped(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{Script: "2nd GET blob: hang at 1000"})
	push(t, server.Host(), "app:1", makeImage(t, amd64))
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("enough")
	go func() {
		for server.Count("GET blob") == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(stopped)
	}()
	_, err := warm.Run(ctx, config(newStore(t, dir)), []warm.Image{{server.Host() + "/app:1", amd64}})
	if !errors.Is(err, stopped) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "ingest"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in ingest: %v, %v", left, err)
	}
}

// An index that was found to be damaged is made anew, without the network.
func TestRun_repairs(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	img := makeImage(t, amd64, makeLayer(t))
	push(t, server.Host(), "app:1", img)
	images := []warm.Image{{server.Host() + "/app:1", amd64}}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, t.TempDir())
	if _, err := warm.Run(t.Context(), config(s), images); err != nil {
		t.Fatal(err)
	}
	lost, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(s.Path(), "blobs", "sha256", lost.Hex), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), offline(s), images[0]); err == nil {
		t.Fatal("read what is damaged")
	}
	server.Forget()
	results, err := warm.Run(t.Context(), config(s), images)
	if err != nil || results[0].Outcome != warm.Fetched {
		t.Fatalf("%+v, %v", results, err)
	}
	if n := server.Count("GET blob"); n != 2 { // the layer, the config
		t.Errorf("%d blobs were fetched", n)
	}
	if _, err := read(t.Context(), offline(s), images[0]); err != nil {
		t.Error(err)
	}
}

// Several warmers and builds use one directory at once.
func TestRun_atOnce(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	shared := makeLayer(t)
	dir := t.TempDir()
	var images []warm.Image
	for n := range 4 {
		at := fmt.Sprintf("app:%d", n)
		push(t, server.Host(), at, makeImage(t, amd64, shared))
		images = append(images, warm.Image{Ref: server.Host() + "/" + at, Platform: amd64})
	}
	var wg sync.WaitGroup
	for n := range 3 {
		s := newStore(t, dir)
		wg.Go(func() {
			c := config(s)
			c.Force = n == 0
			results, err := warm.Run(t.Context(), c, images)
			if err == nil {
				_, err = warm.Tidy(t.Context(), s, 0, results, time.Now())
			}
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			c := &base.Cached{Store: s, Next: base.Remote{Client: newClient()}, Warn: func(text string) { t.Error(text) }}
			for _, i := range slices.Concat(images, images) {
				if _, err := read(t.Context(), c, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	checkAll(t, dir)
	for _, i := range images {
		if _, err := read(t.Context(), offline(newStore(t, dir)), i); err != nil {
			t.Error(err)
		}
	}
}

// checkAll reads everything that is named in a directory.
func checkAll(t testing.TB, dir string) {
	t.Helper()
	d, err := ocidir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	release, err := d.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for b, err := range d.Blobs() {
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Blob(t.Context(), v1.Descriptor{Digest: b.Digest, Size: b.Size})
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if err != nil {
			t.Errorf("a blob under its own name: %v", err)
		}
	}
	names, err := d.Refs("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		r, err := d.Ref(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range r.Blobs {
			if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", h.Hex)); err != nil {
				t.Errorf("ref %s needs %s, which is not there", name, h)
			}
		}
		// A name leads to an image only by what is known of the digest.
		if strings.HasPrefix(name, "base/") && r.Manifest != nil {
			if _, err := d.Ref("digest/" + r.Manifest.Digest.Hex); err != nil {
				t.Errorf("ref %s leads nowhere: %v", name, err)
			}
		}
	}
}
