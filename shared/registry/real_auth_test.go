package registry_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// password is a keychain of one password for everything.
type password struct{ user, password string }

func (p password) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: p.user, Password: p.password}), nil
}

// TestReal_tokens: Docker's own registry takes the token server's word, and what that
// does not grant is refused.
func TestReal_tokens(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			tokens := registrytest.StartTokens(t, registrytest.TokenConfig{
				Users: map[string]string{"alice": "secret"},
				Allow: func(_, repo, _ string) bool { return repo == "alice/app" },
			})
			host := start(t, registrytest.RealConfig{Tokens: tokens})
			ctx := context.Background()
			c := client(t, registry.Config{Keychain: password{"alice", "secret"}})
			img := image(t, 1, 1000)
			if err := c.PushImage(ctx, tag(t, c, host+"/alice/app:1"), img); err != nil {
				t.Fatal(err)
			}
			if err := pullAll(client(t, registry.Config{Keychain: password{"alice", "secret"}}), host+"/alice/app:1", img); err != nil {
				t.Error(err)
			}
			err := c.PushImage(ctx, tag(t, c, host+"/bob/app:1"), img)
			check(t, err, "scope", 77)
			err = pullAll(client(t, registry.Config{Keychain: password{"alice", "wrong"}}), host+"/alice/app:1", img)
			check(t, err, "get a token", 77)
			if want := "GET alice repository:alice/app:push,pull 200"; !slices.Contains(tokens.Requests(), want) {
				t.Errorf("asked for %q, not %q", tokens.Requests(), want)
			}
		})
	}
}
