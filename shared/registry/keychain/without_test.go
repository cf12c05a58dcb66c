package keychain_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// Without the clouds' libraries a keychain says of their registries why it knows
// nothing, and of programs whose work it would do that they are not installed.
func TestNew_withoutClouds(t *testing.T) {
	for _, of := range []string{"europe-docker.pkg.dev/p/r/app", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", "team.azurecr.io/app"} {
		nowhere(t)
		got := look(t, keychain.New(keychain.Options{Getenv: os.Getenv}, keychain.Clouds{}), of)
		if got.user != "" || !strings.Contains(got.tried, "slim") {
			t.Errorf("%s: %+v", of, got)
		}
		dir := t.TempDir()
		t.Setenv("DOCKER_CONFIG", dir)
		t.Setenv("PATH", dir)
		host, _, _ := strings.Cut(of, "/")
		if err := os.WriteFile(dir+"/config.json", []byte(`{"credHelpers": {"`+host+`": "ecr-login"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		repo, err := name.NewRepository(of)
		if err != nil {
			t.Fatal(err)
		}
		_, err = keychain.New(keychain.Options{Getenv: os.Getenv}, keychain.Clouds{}).Resolve(repo)
		var e *keychain.Error
		if !errors.As(err, &e) || e.ExitCode() != 78 || !strings.Contains(e.Hint(), "install docker-credential-ecr-login") {
			t.Errorf("%s: %v", of, err)
		}
	}
}
