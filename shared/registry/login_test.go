package registry_test

import (
	"errors"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// TestRegistry: what a registry may be called, and when it may speak plain HTTP.
func TestRegistry(t *testing.T) {
	for _, tc := range []struct {
		options            registry.Options
		name, host, scheme string
	}{
		{registry.Options{}, "", "index.docker.io", "https"},
		{registry.Options{}, "registry.example", "registry.example", "https"},
		{registry.Options{Insecure: true}, "registry.example", "registry.example", "http"},
		{registry.Options{InsecurePull: true}, "registry.example:5000", "registry.example:5000", "http"},
		{registry.Options{InsecureRegistries: []string{"registry.example"}}, "registry.example", "registry.example", "http"},
		{registry.Options{InsecureRegistries: []string{"registry.example"}}, "other.example", "other.example", "https"},
	} {
		r, err := registry.New(registry.Config{Options: tc.options}).Registry(tc.name)
		if err != nil || r.RegistryStr() != tc.host || r.Scheme() != tc.scheme {
			t.Errorf("%q with %+v: %s by %s, error %v", tc.name, tc.options, r, r.Scheme(), err)
		}
	}
	_, err := registry.New(registry.Config{}).Registry("a registry")
	var e *registry.ReferenceError
	if !errors.As(err, &e) || e.ExitCode() != 65 {
		t.Errorf("a name that is none: %v", err)
	}
}
