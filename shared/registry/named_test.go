package registry_test

import (
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// What is read by its name is not asked for again by its digest, and mirrors are asked.
func TestNamed(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	pusher := registry.New(registry.Config{})
	tag, err := pusher.Tag(s.Host() + "/app:1")
	if err == nil {
		err = pusher.PushImage(t.Context(), tag, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	c := registry.New(registry.Config{Options: registry.Options{Maps: []string{"registry.invalid=" + s.Host()}}})
	m, err := c.Named(t.Context(), "registry.invalid/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := img.Digest(); err != nil || m.Digest != want || !m.MediaType.IsImage() {
		t.Errorf("%s, %s, want %s: %v", m.Digest, m.MediaType, want, err)
	}
	if _, err := c.Open(t.Context(), "registry.invalid/app:1", m.Digest); err != nil {
		t.Error(err)
	}
	if got := s.Count("GET manifest"); got != 1 {
		t.Errorf("%d requests:\n%v", got, s.Requests())
	}
	if _, err := c.Named(t.Context(), s.Host()+"/app:2"); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	if _, err := c.Named(t.Context(), "A:B:C"); !errors.As(err, new(*registry.ReferenceError)) {
		t.Error(err)
	}
}
