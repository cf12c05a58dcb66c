package keychain_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain/clouds"
)

// entry is a config with one entry, of a user with the password p.
func entry(place, user string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, place, base64.StdEncoding.EncodeToString([]byte(user+":p")))
}

// in is a keychain of an environment and nothing else; it can reach nobody.
func in(t *testing.T, env map[string]string) *keychain.Keychain {
	t.Helper()
	if _, ok := env["DOCKER_CONFIG"]; !ok {
		env["DOCKER_CONFIG"] = t.TempDir()
	}
	return keychain.New(keychain.Options{Getenv: func(name string) string { return env[name] }, HTTP: silent{t}}, clouds.All())
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKeychain_order: the first source that knows a registry counts, and who is taken
// away leaves it to the next.
func TestKeychain_order(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/config/config.json", entry("registry.example", "config"))
	put(t, dir+"/config/.dockerconfigjson", entry("registry.example", "secret"))
	put(t, dir+"/auth.json", entry("registry.example", "file"))
	put(t, dir+"/run/containers/auth.json", entry("registry.example", "podman"))
	env := map[string]string{
		"DOCKER_CONFIG": dir + "/config", "REGISTRY_AUTH_FILE": dir + "/auth.json", "XDG_RUNTIME_DIR": dir + "/run",
		"DOCKER_AUTH_CONFIG":           entry("registry.example", "variable"),
		"KANIKO_REGISTRY_EXAMPLE_USER": "named", "KANIKO_REGISTRY_EXAMPLE_PASSWORD": "p",
		"CI_REGISTRY": "registry.example", "CI_REGISTRY_USER": "gitlab", "CI_REGISTRY_PASSWORD": "p", "CI_JOB_TOKEN": "p",
	}
	for _, step := range []struct {
		user string
		drop func()
	}{
		{"config", func() { os.Remove(dir + "/config/config.json") }},
		{"secret", func() { os.Remove(dir + "/config/.dockerconfigjson") }},
		{"file", func() { delete(env, "REGISTRY_AUTH_FILE") }},
		{"podman", func() { delete(env, "XDG_RUNTIME_DIR") }},
		{"variable", func() { delete(env, "DOCKER_AUTH_CONFIG") }},
		{"named", func() { delete(env, "KANIKO_REGISTRY_EXAMPLE_USER") }},
		{"gitlab", func() { delete(env, "CI_REGISTRY_USER") }},
		{"gitlab-ci-token", func() { delete(env, "CI_JOB_TOKEN") }},
		{"", func() {}},
	} {
		got := look(t, in(t, env), "registry.example/team/app")
		if got.user != step.user {
			t.Errorf("got %+v, want %s", got, step.user)
		}
		step.drop()
	}
}

// TestKeychain_tried: what is said of the places that had nothing.
func TestKeychain_tried(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/config.json", entry("other.example", "u"))
	got := look(t, in(t, map[string]string{
		"DOCKER_CONFIG": dir, "REGISTRY_AUTH_FILE": "/nowhere/auth.json", "DOCKER_AUTH_CONFIG": entry("third.example", "u"),
	}), "registry.example/app")
	want := dir + "/config.json: no entry for registry.example; /nowhere/auth.json: no such file; $DOCKER_AUTH_CONFIG: no entry for registry.example"
	if got.tried != want || got.user != "" {
		t.Errorf("got %+v\nwant %s", got, want)
	}
}

// TestKeychain_environment: variables that are named after a registry.
func TestKeychain_environment(t *testing.T) {
	for _, tc := range []struct{ prefix, of, user string }{
		{"KANIKO_MY_REGISTRY_EXAMPLE", "my-registry.example/a", "u"},
		{"KANIKO_REGISTRY_EXAMPLE", "eu.registry.example/a", "u"},
		{"KANIKO_REGISTRY_EXAMPLE_5000", "registry.example:5000/a", "u"},
		{"KANIKO_DOCKER_IO", "busybox", "u"},
		{"KANIKO_LOCALHOST_5000", "localhost:5000/a", "u"},
		{"KANIKO_EXAMPLE", "registry.example/a", ""},
		{"KANIKO_REGISTRY", "registry.example/a", ""},
	} {
		k := in(t, map[string]string{tc.prefix + "_USER": "u", tc.prefix + "_PASSWORD": "p"})
		if got := look(t, k, tc.of); got.user != tc.user || tc.user != "" && got.source != "$"+tc.prefix+"_USER and $"+tc.prefix+"_PASSWORD" {
			t.Errorf("%s of %s: got %+v", tc.prefix, tc.of, got)
		}
	}
}

// TestKeychain_gitlab: which hosts a job's variables are for.
func TestKeychain_gitlab(t *testing.T) {
	job := func(server string) map[string]string {
		return map[string]string{"CI_REGISTRY": server, "CI_JOB_TOKEN": "p"}
	}
	for _, tc := range []struct {
		env      map[string]string
		of, user string
	}{
		{job("registry.example"), "registry.example/a", "gitlab-ci-token"},
		{job("https://registry.example"), "registry.example/a", "gitlab-ci-token"},
		{job("registry.example:443"), "registry.example/a", "gitlab-ci-token"},
		{job("registry.example:5050"), "registry.example:5050/a", "gitlab-ci-token"},
		{job("registry.example:5050"), "registry.example/a", ""},
		{job("registry.example"), "evil.registry.example/a", ""},
		{job(""), "registry.example/a", ""},
		{map[string]string{"CI_DEPENDENCY_PROXY_SERVER": "gitlab.example:443", "CI_DEPENDENCY_PROXY_USER": "u", "CI_DEPENDENCY_PROXY_PASSWORD": "p"},
			"gitlab.example:443/group/dependency_proxy/containers/alpine", "u"},
		{map[string]string{"CI_DEPENDENCY_PROXY_SERVER": "gitlab.example:443", "CI_DEPENDENCY_PROXY_USER": "u", "CI_DEPENDENCY_PROXY_PASSWORD": "p"},
			"gitlab.example/group/dependency_proxy/containers/alpine", "u"},
	} {
		if got := look(t, in(t, tc.env), tc.of); got.user != tc.user {
			t.Errorf("%v of %s: got %+v", tc.env, tc.of, got)
		}
	}
}

// TestKeychain_broken: what cannot be read is said, whichever place it is in, and no
// further place is asked.
func TestKeychain_broken(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/broken.json", "{s3cret")
	put(t, dir+"/secret/.dockerconfigjson", "{s3cret")
	for _, tc := range []struct{ variable, value, says string }{
		{"DOCKER_AUTH_CONFIG", "{s3cret", "read credentials from $DOCKER_AUTH_CONFIG: line 1, column 2: invalid character 's'"},
		{"DOCKER_AUTH_CONFIG", dir + "/broken.json", "read credentials from " + dir + "/broken.json: line 1"},
		{"REGISTRY_AUTH_FILE", dir + "/broken.json", "read credentials from " + dir + "/broken.json: line 1"},
		{"DOCKER_CONFIG", dir + "/secret", "read credentials from " + dir + "/secret/.dockerconfigjson: line 1"},
		{"DOCKER_AUTH_CONFIG", `{"auths": {"registry.example": {"auth": "s3cret!"}}}`, "$DOCKER_AUTH_CONFIG: entry registry.example: auth is not base64"},
	} {
		repo, err := name.NewRepository("registry.example/a")
		if err != nil {
			t.Fatal(err)
		}
		k := in(t, map[string]string{tc.variable: tc.value, "CI_REGISTRY": "registry.example", "CI_JOB_TOKEN": "p"})
		_, err = authn.Resolve(context.Background(), k, repo)
		var e *keychain.Error
		if !errors.As(err, &e) || e.ExitCode() != 78 || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s=%s: error %v", tc.variable, tc.value, err)
		}
	}
}

// TestDocker_paths: an entry for a path is more than a program for the registry, which
// is more than an entry for the registry.
func TestDocker_paths(t *testing.T) {
	helpers(t, map[string]string{"one": `echo '{"Username": "one", "Secret": "s"}'`})
	for _, general := range []string{`"credsStore": "one"`, `"credHelpers": {"r.example": "one"}`} {
		config := `{` + general + `, "auths": {"r.example": {"username": "host", "password": "p"}, "r.example/team": {"username": "team", "password": "p"}}}`
		for of, want := range map[string]string{"r.example/team/app": "team", "r.example/team": "team", "r.example/other": "one"} {
			if got, source, err := resolve(t, config, of); err != nil || got.Username != want {
				t.Errorf("%s of %s: %+v from %s, error %v", general, of, got, source, err)
			}
		}
	}
}
