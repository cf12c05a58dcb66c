package sign_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

// versions are Docker's own registry in its versions, which keep no lists of referrers.
func versions() map[string]func(testing.TB, registrytest.RealConfig) string {
	return map[string]func(testing.TB, registrytest.RealConfig) string{"2.8": registrytest.Real, "3": registrytest.RealV3}
}

func client() *registry.Client { return registry.New(registry.Config{}) }

// push pushes an image that there is only one of, and returns what it is signed as.
func push(t *testing.T, c *registry.Client, at string) (exporter.Subject, string) {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	return pushImage(t, c, at, img)
}

func pushImage(t *testing.T, c *registry.Client, at string, img v1.Image) (exporter.Subject, string) {
	t.Helper()
	tag, err := c.Tag(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(t.Context(), tag, img); err != nil {
		t.Fatal(err)
	}
	d, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	s := exporter.Subject{Repository: tag.Context(), Descriptor: *d, Image: img, Identities: []name.Tag{tag}}
	return s, tag.Context().Digest(d.Digest.String()).Name()
}

// environment is one with these variables.
func environment(pairs ...string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == key {
				return v, true
			}
		}
		return "", false
	}
}

// keyed signs with a key in a file.
func keyed(c *registry.Client, key string, f sign.Format) sign.Options {
	return sign.Options{
		Client: c, Format: f,
		Key: sign.KeyOptions{Key: key, LookupEnv: environment("COSIGN_PASSWORD=" + signtest.Password)},
	}
}

func open(t *testing.T, o sign.Options) *sign.Signer {
	t.Helper()
	s, err := sign.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func attach(t *testing.T, s *sign.Signer, to exporter.Subject) {
	t.Helper()
	if err := s.Attach(t.Context(), to); err != nil {
		t.Fatal(err)
	}
}
