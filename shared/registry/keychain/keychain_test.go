package keychain_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// helpers puts programs on PATH, and nothing else but what they need.
func helpers(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func resolve(t *testing.T, config, of string) (*authn.AuthConfig, string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return ask(t, &keychain.Docker{Dirs: []string{dir}}, of)
}

func ask(t *testing.T, k authn.Keychain, of string) (*authn.AuthConfig, string, error) {
	t.Helper()
	repo, err := name.NewRepository(of)
	if err != nil {
		t.Fatal(err)
	}
	a, err := authn.Resolve(context.Background(), k, repo)
	if err != nil {
		return nil, "", err
	}
	if _, ok := a.(interface{ Source() string }); !ok {
		return nil, "", nil
	}
	c, err := authn.Authorization(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return c, a.(interface{ Source() string }).Source(), nil
}

// TestDocker_entries: every way in which config.json may name a place.
func TestDocker_entries(t *testing.T) {
	for _, tc := range []struct {
		keys []string // each with the user "in <key>"
		of   string
		user string
	}{
		{[]string{"https://index.docker.io/v1/"}, "busybox", "in https://index.docker.io/v1/"},
		{[]string{"https://index.docker.io/v2/"}, "me/app", "in https://index.docker.io/v2/"},
		{[]string{"index.docker.io"}, "busybox", "in index.docker.io"},
		{[]string{"docker.io"}, "busybox", "in docker.io"},
		{[]string{"registry-1.docker.io"}, "busybox", "in registry-1.docker.io"},
		{[]string{"https://docker.io/"}, "docker.io/me/app", "in https://docker.io/"},
		{[]string{"registry.example"}, "registry.example/a", "in registry.example"},
		{[]string{"https://registry.example"}, "registry.example/a", "in https://registry.example"},
		{[]string{"https://registry.example/v2/"}, "registry.example/a", "in https://registry.example/v2/"},
		{[]string{"http://registry.example:5000/"}, "registry.example:5000/a", "in http://registry.example:5000/"},
		{[]string{"Registry.Example"}, "registry.example/a", "in Registry.Example"},
		{[]string{"registry.example", "registry.example/team", "registry.example/team/app"}, "registry.example/team/app", "in registry.example/team/app"},
		{[]string{"registry.example", "registry.example/team"}, "registry.example/team/other", "in registry.example/team"},
		{[]string{"registry.example", "registry.example/team"}, "registry.example/teams/app", "in registry.example"},
		{[]string{"registry.example"}, "registry.example:5000/a", ""},
		{[]string{"registry.example"}, "example/a", ""},
		{[]string{"registry.example/v1"}, "registry.example/a", "in registry.example/v1"},
	} {
		var entries []string
		for _, k := range tc.keys {
			entries = append(entries, fmt.Sprintf(`%q: {"username": %q, "password": "p:w"}`, k, "in "+k))
		}
		got, source, err := resolve(t, `{"auths": {`+strings.Join(entries, ",")+`}}`, tc.of)
		if err != nil {
			t.Errorf("%q of %s: %v", tc.keys, tc.of, err)
			continue
		}
		if tc.user == "" {
			if got != nil {
				t.Errorf("%q of %s: found %q", tc.keys, tc.of, got.Username)
			}
			continue
		}
		if got == nil || got.Username != tc.user || got.Password != "p:w" {
			t.Errorf("%q of %s: got %+v", tc.keys, tc.of, got)
		} else if !strings.Contains(source, strings.TrimPrefix(tc.user, "in ")) || strings.Contains(source, "p:w") {
			t.Errorf("the source is %q", source)
		}
	}
}

// TestDocker_kinds: what an entry may hold.
func TestDocker_kinds(t *testing.T) {
	for entry, want := range map[string]authn.AuthConfig{
		`{"username": "u", "password": "p"}`:                    {Username: "u", Password: "p"},
		`{"identitytoken": "i"}`:                                {IdentityToken: "i"},
		`{"registrytoken": "r"}`:                                {RegistryToken: "r"},
		`{"auth": "dTpw", "identitytoken": "i"}`:                {Username: "u", Password: "p", IdentityToken: "i"},
		`{"auth": "dTpwOnE=", "username": "x", "password": ""}`: {Username: "u", Password: "p:q"},
	} {
		got, _, err := resolve(t, `{"auths": {"r.example": `+entry+`}}`, "r.example/a")
		if err != nil || got == nil || *got != want {
			t.Errorf("%s: got %+v, error %v", entry, got, err)
		}
	}
}

// TestDocker_broken: what is said of files that are not as they should be.
func TestDocker_broken(t *testing.T) {
	helpers(t, map[string]string{
		"fails": "echo no network today >&2; exit 3",
		"talks": "echo hello",
	})
	for config, want := range map[string]struct {
		says, hint string
		code       int
	}{
		"{\n  \"auths\": {,\n}":                   {"config.json: line 2, column 13: invalid character ','", "docker login", 78},
		`{"auths": []}`:                           {`"auths" is a JSON array`, "docker login", 78},
		`{"auths": {"r.example": "secret"}}`:      {`JSON string where it should not be`, "", 78},
		"eyJhdXRocyI6IHt9fQ==":                    {"line 1, column 1: invalid character", "encoded", 78},
		`{"auths": {"r.example": {"auth":"?"}}}`:  {"entry r.example: auth is not base64", "user:password", 78},
		`{"auths": {"r.example": {"auth":"eA"}}}`: {"entry r.example: auth holds no user:password", "user:password", 78},
		`{"credsStore": "desktop"}`:               {"docker-credential-desktop, which ", "install docker-credential-desktop, or take it out of ", 78},
		`{"credHelpers": {"r.example": "gone"}}`:  {"the program is not on PATH", "docker-credential-gone", 78},
		`{"credHelpers": {"r.example": "gone"}, "auths": {"r.example": {"auth":"dTpw"}}}`: {"docker-credential-gone", "", 78},
		`{"credsStore": "fails"}`: {"exit status 3: no network today", "docker-credential-fails get", 77},
		`{"credsStore": "talks"}`: {"its answer is not JSON", "docker-credential-talks get", 77},
	} {
		_, _, err := resolve(t, config, "r.example/a")
		var e *keychain.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got error %v", config, err)
			continue
		}
		if !strings.Contains(err.Error(), want.says) || !strings.Contains(e.Hint(), want.hint) || e.ExitCode() != want.code {
			t.Errorf("%s: error %q, hint %q, exit code %d", config, err, e.Hint(), e.ExitCode())
		}
		if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%s: error %q says too much or too little", config, err)
		}
	}
}

// TestDocker_absent: no file, an empty one, and one without anything for us are
// no credentials and no error.
func TestDocker_absent(t *testing.T) {
	for _, config := range []string{"", "\n", "{}", `{"auths": {"other.example": {"auth": "dTpw"}, "r.example": {}}}`, `{"credHelpers": {"other.example": "gone"}}`} {
		if got, _, err := resolve(t, config, "r.example/a"); err != nil || got != nil {
			t.Errorf("%q: got %+v, error %v", config, got, err)
		}
	}
	none := &keychain.Docker{Dirs: []string{filepath.Join(t.TempDir(), "none")}}
	if got, _, err := ask(t, none, "r.example/a"); err != nil || got != nil {
		t.Errorf("no file: got %+v, error %v", got, err)
	}
	blocked := t.TempDir()
	if err := os.Mkdir(filepath.Join(blocked, "config.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, &keychain.Docker{Dirs: []string{blocked}}, "r.example/a"); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Errorf("a directory: error %v", err)
	}
}

// TestDocker_helpers: which helper is asked for what, and how often.
func TestDocker_helpers(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	answer := func(user string) string {
		return fmt.Sprintf(`read s; echo "%s $1 $s" >>%s; echo "{\"ServerURL\":\"$s\",\"Username\":\"%s\",\"Secret\":\"s\"}"`, user, log, user)
	}
	helpers(t, map[string]string{
		"one": answer("one"), "store": answer("store"), "token": answer("<token>"),
		"empty": "echo credentials not found in native keychain; exit 1",
	})
	for _, tc := range []struct{ config, of, user, asked string }{
		{`{"credHelpers": {"r.example": "one"}, "credsStore": "store"}`, "r.example/a", "one", "one get r.example"},
		{`{"credHelpers": {"r.example": "one"}, "credsStore": "store"}`, "q.example/a", "store", "store get q.example"},
		{`{"credHelpers": {"https://r.example": "one"}}`, "r.example/a", "one", "one get https://r.example"},
		{`{"credHelpers": {"docker.io": "one"}}`, "busybox", "one", "one get https://index.docker.io/v1/"},
		{`{"credsStore": "store"}`, "busybox", "store", "store get https://index.docker.io/v1/"},
		{`{"credsStore": "empty", "auths": {"r.example": {"auth": "dTpw"}}}`, "r.example/a", "u", ""},
		{`{"credsStore": "gone", "auths": {"r.example": {"auth": "dTpw"}}}`, "r.example/a", "u", ""},
		{`{"credsStore": "empty"}`, "r.example/a", "", ""},
		{`{"credsStore": "token"}`, "r.example/a", "<token>", "<token> get r.example"},
	} {
		os.Remove(log)
		got, source, err := resolve(t, tc.config, tc.of)
		if err != nil {
			t.Errorf("%s: %v", tc.config, err)
			continue
		}
		if got == nil {
			got = &authn.AuthConfig{}
		}
		asked, _ := os.ReadFile(log)
		if got.Username != tc.user || strings.TrimSpace(string(asked)) != tc.asked {
			t.Errorf("%s: %+v from %q, asked %q", tc.config, got, source, asked)
		}
		if tc.user == "<token>" && got.IdentityToken != "s" {
			t.Errorf("%s: %+v", tc.config, got)
		}
	}
}

// TestDirs: where config.json is looked for.
func TestDirs(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		dirs string
	}{
		{map[string]string{"DOCKER_CONFIG": "/d", "HOME": "/h"}, "/d"},
		{map[string]string{"HOME": "/h"}, "/kaniko/.docker /h/.docker"},
		{nil, "/kaniko/.docker"},
	} {
		if got := strings.Join(keychain.Dirs(func(k string) string { return tc.env[k] }), " "); got != tc.dirs {
			t.Errorf("%v: %s", tc.env, got)
		}
	}
}
