package registry_test

import (
	"context"
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestHead(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		gets   int
	}{
		"answers":             {"", 0},
		"refuses the method":  {"HEAD manifest: 405 always", 1},
		"does not find it":    {"HEAD manifest: 404 always", 1},
		"answers the next":    {"HEAD manifest: 503 x2", 0},
		"wants a method less": {"HEAD manifest: 400 always", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Config{})
			digests := index(t, s, "app:1", "linux/amd64")
			s.Script(c.script)
			cl := client(t, registry.Config{})
			got, err := cl.Head(context.Background(), s.Host()+"/app:1")
			if err != nil {
				t.Fatal(err)
			}
			if n := s.Count("GET manifest"); n != c.gets {
				t.Errorf("%d manifests were fetched: %q", n, s.Requests())
			}
			img, err := cl.Resolve(context.Background(), s.Host()+"/app:1", v1.Platform{OS: "linux", Architecture: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			if at := img.Indexes(); len(at) != 1 || at[0].Digest != got || !at[0].MediaType.IsIndex() || len(at[0].Raw) == 0 {
				t.Errorf("head says %s, the image came by %v", got, at)
			}
			if hash(t, img) != digests["linux/amd64"] {
				t.Error("another image")
			}
			s.Forget()
			if again, err := cl.Head(context.Background(), s.Host()+"/app:1"); again != got || err != nil || len(s.Requests()) != 0 {
				t.Errorf("asked again: %s, %v, %q", again, err, s.Requests())
			}
			if d, err := cl.Head(context.Background(), s.Host()+"/app@"+got.String()); d != got || err != nil || len(s.Requests()) != 0 {
				t.Errorf("asked for a digest: %s, %v, %q", d, err, s.Requests())
			}
		})
	}
}

func TestHead_fails(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	cl := client(t, registry.Config{})
	_, err := cl.Head(context.Background(), s.Host()+"/none:1")
	check(t, err, "look up", 69)
	if !errors.Is(err, registry.ErrNotFound) || registry.Unreachable(err) {
		t.Errorf("what is not there: %v", err)
	}
	s.Script("manifest: 503 always")
	if _, err := cl.Head(context.Background(), s.Host()+"/other:1"); !registry.Unreachable(err) {
		t.Errorf("a registry that is down: %v", err)
	}
	if _, err := cl.Head(context.Background(), "127.0.0.1:1/other:1"); !registry.Unreachable(err) {
		t.Errorf("a registry that is not there: %v", err)
	}
	private := registrytest.Start(t, registrytest.Config{User: "u", Password: "p"})
	if _, err := cl.Head(context.Background(), private.Host()+"/other:1"); err == nil || registry.Unreachable(err) {
		t.Errorf("a registry that refuses: %v", err)
	}
	if registry.Unreachable(errors.New("other")) || registry.Unreachable(nil) {
		t.Error("other errors are no registry's")
	}
}
