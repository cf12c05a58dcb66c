package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestCurrent: what a tag stands for is asked each time, and a registry that does not know
// the question is asked for the manifest.
func TestCurrent(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		gets   int
	}{
		"answers":            {"", 0},
		"refuses the method": {"HEAD manifest: 405 always", 2},
		"does not find it":   {"HEAD manifest: 404 always", 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Config{})
			index(t, s, "app:1", "linux/amd64")
			cl := client(t, registry.Config{})
			repo, err := cl.Repository(s.Host() + "/app")
			if err != nil {
				t.Fatal(err)
			}
			s.Script(c.script)
			first, err := cl.Current(context.Background(), repo.Tag("1"))
			if err != nil {
				t.Fatal(err)
			}
			s.Plant("app", "1", string(types.OCIImageIndex), []byte(`{"schemaVersion":2,"mediaType":"`+types.OCIImageIndex+`","manifests":[]}`))
			s.Forget()
			second, err := cl.Current(context.Background(), repo.Tag("1"))
			if err != nil || second == first {
				t.Errorf("the tag moved from %s to %s, %v", first, second, err)
			}
			if n := s.Count("GET manifest"); n != c.gets/2 {
				t.Errorf("%d manifests were fetched: %q", n, s.Requests())
			}
			if _, err := cl.Current(context.Background(), repo.Tag("none")); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}
