package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func digest(t *testing.T, b []byte) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// artifact is a manifest of two blobs that no image has.
func artifact(t *testing.T, blobs ...[]byte) []byte {
	t.Helper()
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for i, b := range blobs {
		d := v1.Descriptor{MediaType: "text/plain", Digest: digest(t, b), Size: int64(len(b))}
		if i == 0 {
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestArtifact: what is no image is pushed and pulled, and a tag is never
// remembered.
func TestArtifact(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Token: true})
	c := client(t, registry.Config{})
	ctx := context.Background()
	repo, err := c.Repository(s.Host() + "/cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		for _, b := range []string{text, "layer"} {
			if err := c.PushBlob(ctx, repo, []byte(b)); err != nil {
				t.Fatal(err)
			}
		}
		raw := artifact(t, []byte(text), []byte("layer"))
		if err := c.PushManifest(ctx, repo.Tag("moving"), raw, types.OCIManifestSchema1); err != nil {
			t.Fatal(err)
		}
		s.Forget()
		m, err := c.Manifest(ctx, repo.Tag("moving"), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Raw, raw) || m.MediaType != types.OCIManifestSchema1 || m.Digest != digest(t, raw) {
			t.Errorf("got %s %s: %s", m.MediaType, m.Digest, m.Raw)
		}
		if n := s.Count("GET manifest"); n != 1 {
			t.Errorf("%d requests for a manifest", n)
		}
		got, err := c.Blob(ctx, repo, digest(t, []byte(text)), 3)
		if err != nil || string(got) != text {
			t.Errorf("blob %q, %v", got, err)
		}
		if n := s.Count("GET blob"); n != 1 {
			t.Errorf("%d requests for a blob", n)
		}
	}
	if n := s.Count("POST"); n != 0 {
		t.Errorf("%d uploads afterwards", n)
	}
}

// TestArtifact_faults: small things are read across broken connections, and what
// is not as it should be is told apart.
func TestArtifact_faults(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 1000)
	raw := artifact(t, text)
	for _, tc := range []struct {
		script string
		limit  int64
		is     error
		err    string
	}{
		{script: "GET blob: cut at 10 x3\nGET manifest: cut at 10 x3"},
		{script: "GET blob: hang at 10\nGET manifest: hang at 10"},
		{script: "GET blob: 503\nGET manifest: 429 retry-after 1"},
		{script: "GET blob: corrupt\nGET manifest: 500 x5", err: "is corrupt"},
		{script: "GET blob: cut at 10 always", err: "unexpected EOF"},
		{script: "GET blob: 404", is: registry.ErrNotFound},
		{script: "GET blob: 401", err: "401 Unauthorized"},
		{limit: 999, is: registry.ErrTooLarge},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, registrytest.Config{})
			c := client(t, registry.Config{Retry: registry.Retry{Wait: time.Millisecond, Stall: 200 * time.Millisecond}})
			ctx := context.Background()
			repo, err := c.Repository(s.Host() + "/cache")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(
				c.PushBlob(ctx, repo, text),
				c.PushManifest(ctx, repo.Tag("a"), raw, types.OCIManifestSchema1),
			); err != nil {
				t.Fatal(err)
			}
			s.Script(tc.script)
			if tc.limit == 0 {
				tc.limit = 1000
			}
			_, err = c.Blob(ctx, repo, digest(t, text), tc.limit)
			switch {
			case tc.err == "" && tc.is == nil && err != nil,
				tc.is != nil && !errors.Is(err, tc.is),
				tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("blob: %v", err)
			}
			var e *registry.Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("an error without a name: %v", err)
			}
			_, err = c.Manifest(ctx, repo.Tag("a"), 1000)
			if (err != nil) != strings.Contains(tc.script, "x5") {
				t.Errorf("manifest: %v", err)
			}
		})
	}
}

// TestClient_Layer: a layer that no image has is read, and mounted, like others.
func TestClient_Layer(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Mounts: true})
	img := image(t, 1, 100<<10)
	seed(t, s, "cache:1", img)
	c := client(t, registry.Config{})
	ctx := context.Background()
	repo, err := c.Repository(s.Host() + "/cache")
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := layer(t, img, 0).DiffID()
	l := c.Layer(ctx, repo, m.Layers[0], id)
	if got, err := l.DiffID(); err != nil || got != id {
		t.Errorf("diffID %s, %v", got, err)
	}
	to, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(ctx, tag(t, c, s.Host()+"/app:1"), to); err != nil {
		t.Fatal(err)
	}
	if n := s.Count("POST mount app 201"); n != 1 || s.Count("GET blob") != 0 {
		t.Errorf("not mounted: %q", s.Requests())
	}
	want, _ := io.ReadAll(must(layer(t, img, 0).Uncompressed()))
	if got, err := io.ReadAll(must(l.Uncompressed())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestPush_known: what was sent to one repository is mounted in the next.
func TestPush_known(t *testing.T) {
	for _, tc := range []struct {
		script   string
		mounts   bool
		uploads  int
		requests int // for the layer in the second repository
	}{
		{"", true, 0, 2},
		{"mount: refuse", true, 1, 3},
		{"mount: 403", true, 1, 4},
		{"mount: refuse\nPUT upload: 503", true, 1, 6},
	} {
		t.Run(tc.script, func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Config{Mounts: tc.mounts, Token: true})
			c := client(t, registry.Config{})
			ctx := context.Background()
			l := layer(t, image(t, 1, 1000), 0)
			if err := c.PushLayer(ctx, tag(t, c, s.Host()+"/app:1").Context(), l); err != nil {
				t.Fatal(err)
			}
			s.Forget()
			s.Script(tc.script)
			if err := c.PushLayer(ctx, tag(t, c, s.Host()+"/cache:1").Context(), l); err != nil {
				t.Fatal(err)
			}
			if s.Blob("cache", hash(t, l)) == nil {
				t.Error("it is not there")
			}
			if n := s.Count("PUT upload cache 201"); n != tc.uploads {
				t.Errorf("%d uploads: %q", n, s.Requests())
			}
			n := s.Count("HEAD") + s.Count("POST mount cache 20") + s.Count("POST mount cache 403") + s.Count("POST upload") + s.Count("PUT")
			if n != tc.requests {
				t.Errorf("%d requests, want %d: %q", n, tc.requests, s.Requests())
			}
		})
	}
}

// TestPush_lost: a layer that was found in the repository and is gone when the
// manifest comes is sent after all.
func TestPush_lost(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{})
	ctx := context.Background()
	img := image(t, 2, 1000)
	if err := c.PushImage(ctx, tag(t, c, s.Host()+"/app:1"), img); err != nil {
		t.Fatal(err)
	}
	s.Lose("app", hash(t, layer(t, img, 1)))
	if err := c.PushImage(ctx, tag(t, c, s.Host()+"/app:2"), img); err != nil {
		t.Error(err)
	}
	// One that was nowhere else is what cannot be read.
	from, err := c.Resolve(ctx, s.Host()+"/app:2", linux)
	if err != nil {
		t.Fatal(err)
	}
	s.Lose("app", hash(t, layer(t, img, 0)))
	err = c.PushImage(ctx, tag(t, c, s.Host()+"/app:3"), from)
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a layer that is gone: %v", err)
	}
	if err := c.PushManifest(ctx, tag(t, c, s.Host()+"/app:3"), artifact(t, []byte("x")), types.OCIManifestSchema1); !errors.Is(err, registry.ErrIncomplete) {
		t.Errorf("a manifest of nothing: %v", err)
	}
}
