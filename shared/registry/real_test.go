package registry_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// versions are Docker's own registry in its versions.
func versions() map[string]func(testing.TB, registrytest.RealConfig) string {
	return map[string]func(testing.TB, registrytest.RealConfig) string{"2.8": registrytest.Real, "3": registrytest.RealV3}
}

// TestReal does with Docker's own registry what the other tests do with ours.
func TestReal(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) { testReal(t, start(t, registrytest.RealConfig{})) })
	}
}

func testReal(t *testing.T, host string) {
	ctx := context.Background()
	base := image(t, 3, 2<<20)
	c := client(t, registry.Config{})
	if err := c.CheckPush(ctx, tag(t, c, host+"/a/base").Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(ctx, tag(t, c, host+"/a/base:1"), base); err != nil {
		t.Fatal(err)
	}

	// A second build: base resolved, a layer sent while it is written, the rest mounted.
	c = client(t, registry.Config{})
	from, err := c.Resolve(ctx, host+"/a/base:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	if hash(t, from) != hash(t, base) {
		t.Fatal("resolved something else")
	}
	whole := layer(t, image(t, 1, 5<<20), 0)
	l := newSlow(t, whole, 3<<20)
	time.AfterFunc(50*time.Millisecond, func() { l.finish(nil) })
	to := tag(t, c, host+"/b/app:1")
	if err := c.PushLayer(ctx, to.Context(), l); err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(from, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(ctx, to, img); err != nil {
		t.Fatal(err)
	}

	// And a third one pulls it.
	c = client(t, registry.Config{})
	got, err := c.Resolve(ctx, host+"/b/app:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	ls, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(ls) != 4 || hash(t, ls[3]) != hash(t, whole) {
		t.Error("the layers are not those that were pushed")
	}
	if _, err := c.Resolve(ctx, host+"/b/app:2", linux); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

// TestReal_password: basic authentication, and what is said without it.
func TestReal_password(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			host := start(t, registrytest.RealConfig{
				Htpasswd: "u:$2y$05$wX2iF6XrKkYw2Jt2pbTTXOBnbMPdrA4SYzIBP4O.8mlYwSmF6Q5mW\n",
			})
			c := client(t, registry.Config{})
			err := c.CheckPush(context.Background(), tag(t, c, host+"/app").Context())
			check(t, err, "no credentials", 77)
		})
	}
}

// TestReal_range: a blob can be read from its middle.
func TestReal_range(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) { testRange(t, start(t, registrytest.RealConfig{})) })
	}
}

func testRange(t *testing.T, host string) {
	ctx := context.Background()
	c := client(t, registry.Config{})
	img, err := mutate.AppendLayers(empty.Image, layer(t, image(t, 1, 100<<10), 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(ctx, tag(t, c, host+"/app:1"), img); err != nil {
		t.Fatal(err)
	}
	got, err := c.Resolve(ctx, host+"/app:1", v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(must(layer(t, got, 0).Compressed()))
	if err != nil {
		t.Fatal(err)
	}
	l := got.Blobs()[0]
	rest, err := io.ReadAll(must(l.OpenAt(ctx, 5000)))
	if err != nil {
		t.Fatal(err)
	}
	if string(rest) != string(whole[5000:]) {
		t.Errorf("%d bytes from 5000 on of %d", len(rest), len(whole))
	}
}
