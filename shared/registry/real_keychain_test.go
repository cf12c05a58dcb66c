package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain/clouds"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// writeIn puts a file into a directory of its own and returns the directory.
func writeIn(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// from is the keychain of an environment.
func from(env map[string]string) *keychain.Keychain {
	return keychain.New(keychain.Options{Getenv: func(name string) string { return env[name] }}, clouds.All())
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// place is one way to have alice's credentials: what it puts into the environment of
// a build for a registry.
type place func(t *testing.T, host string) map[string]string

func places() map[string]place {
	entry := func(host string) string {
		return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, basic("alice", "secret"))
	}
	// A helper program as docker's protocol has it: it is told the server and answers
	// in JSON.
	helper := func(t *testing.T, host, name string) {
		script := fmt.Sprintf("#!/bin/sh\nread server\n[ \"$1 $server\" = 'get %s' ] || { echo credentials not found in native keychain; exit 1; }\n"+
			`echo '{"ServerURL": "%s", "Username": "alice", "Secret": "secret"}'`+"\n", host, host)
		t.Setenv("PATH", writeIn(t, "docker-credential-"+name, script, 0o755)+":/usr/bin:/bin")
	}
	return map[string]place{
		"config.json": func(t *testing.T, host string) map[string]string {
			return map[string]string{"DOCKER_CONFIG": writeIn(t, "config.json", entry(host), 0o600)}
		},
		"config.json of the home directory": func(t *testing.T, host string) map[string]string {
			return map[string]string{"HOME": writeIn(t, ".docker/config.json", entry("https://"+host+"/v2/"), 0o600)}
		},
		"a secret, mounted": func(t *testing.T, host string) map[string]string {
			return map[string]string{"DOCKER_CONFIG": writeIn(t, ".dockerconfigjson", entry(host), 0o600)}
		},
		"credHelpers": func(t *testing.T, host string) map[string]string {
			helper(t, host, "one")
			return map[string]string{"DOCKER_CONFIG": writeIn(t, "config.json", fmt.Sprintf(`{"credHelpers": {%q: "one"}}`, host), 0o600)}
		},
		"credsStore": func(t *testing.T, host string) map[string]string {
			helper(t, host, "store")
			return map[string]string{"DOCKER_CONFIG": writeIn(t, "config.json", `{"credsStore": "store"}`, 0o600)}
		},
		"path": func(t *testing.T, host string) map[string]string {
			text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}, %q: {"auth": %q}, %q: {"auth": %q}}}`,
				host, basic("nobody", "x"), host+"/bob", basic("bob", "other"), host+"/alice", basic("alice", "secret"))
			return map[string]string{"DOCKER_CONFIG": writeIn(t, "config.json", text, 0o600)}
		},
		"REGISTRY_AUTH_FILE": func(t *testing.T, host string) map[string]string {
			return map[string]string{"REGISTRY_AUTH_FILE": writeIn(t, "auth.json", entry(host+"/alice/app"), 0o600) + "/auth.json"}
		},
		"auth.json": func(t *testing.T, host string) map[string]string {
			return map[string]string{"XDG_RUNTIME_DIR": writeIn(t, "containers/auth.json", entry(host), 0o600)}
		},
		"DOCKER_AUTH_CONFIG": func(_ *testing.T, host string) map[string]string {
			return map[string]string{"DOCKER_AUTH_CONFIG": entry(host)}
		},
		"DOCKER_AUTH_CONFIG, a file": func(t *testing.T, host string) map[string]string {
			return map[string]string{"DOCKER_AUTH_CONFIG": writeIn(t, "text", entry(host), 0o600) + "/text"}
		},
		"GitLab's registry": func(_ *testing.T, host string) map[string]string {
			return map[string]string{"CI_REGISTRY": host, "CI_REGISTRY_USER": "alice", "CI_REGISTRY_PASSWORD": "secret", "CI_JOB_TOKEN": "job"}
		},
		"GitLab's dependency proxy": func(_ *testing.T, host string) map[string]string {
			return map[string]string{
				"CI_REGISTRY": "registry.example", "CI_REGISTRY_USER": "x", "CI_REGISTRY_PASSWORD": "x",
				"CI_DEPENDENCY_PROXY_SERVER": host, "CI_DEPENDENCY_PROXY_USER": "alice", "CI_DEPENDENCY_PROXY_PASSWORD": "secret",
			}
		},
		"variables": func(_ *testing.T, host string) map[string]string {
			prefix := "KANIKO_" + strings.NewReplacer(".", "_", ":", "_").Replace(host)
			return map[string]string{prefix + "_USER": "alice", prefix + "_PASSWORD": "secret"}
		},
	}
}

// TestReal_credentials pushes to Docker's own registry and pulls from it, with a
// token server and with passwords of its own, as each place of credentials allows.
func TestReal_credentials(t *testing.T) {
	tokens := registrytest.StartTokens(t, registrytest.TokenConfig{
		Users: map[string]string{"alice": "secret", "bob": "other", "gitlab-ci-token": "job"},
		Allow: func(user, repo, _ string) bool {
			return strings.HasPrefix(repo, user+"/") || user == "gitlab-ci-token"
		},
	})
	hosts := map[string]string{
		"tokens": registrytest.Real(t, registrytest.RealConfig{Tokens: tokens}),
		"passwords": registrytest.Real(t, registrytest.RealConfig{
			Htpasswd: "alice:$2a$05$vUIdK168IE/7TTJB8BtOJ.PgbYAJ7nKp5twTfpkgUEvgQWdW69qw2\n",
		}),
	}
	img := image(t, 1, 1000)
	for kind, host := range hosts {
		for name, place := range places() {
			t.Run(kind+"/"+name, func(t *testing.T) {
				env := place(t, host)
				c := client(t, registry.Config{Keychain: from(env)})
				if err := c.PushImage(context.Background(), tag(t, c, host+"/alice/app:1"), img); err != nil {
					t.Fatal(err)
				}
				if err := pullAll(client(t, registry.Config{Keychain: from(env)}), host+"/alice/app:1", img); err != nil {
					t.Error(err)
				}
			})
		}
	}

	host := hosts["tokens"]
	push := func(k *keychain.Keychain, to string) error {
		c := client(t, registry.Config{Keychain: k})
		return c.PushImage(context.Background(), tag(t, c, host+"/"+to), img)
	}
	t.Run("two users", func(t *testing.T) {
		k := from(places()["path"](t, host))
		for _, to := range []string{"alice/app:1", "bob/app:1"} {
			if err := push(k, to); err != nil {
				t.Error(err)
			}
		}
		check(t, push(k, "carol/app:1"), "get a token", 77)
		for _, user := range []string{"alice", "bob"} {
			if want := fmt.Sprintf("GET %s repository:%s/app:push,pull 200", user, user); !slices.Contains(tokens.Requests(), want) {
				t.Errorf("asked for %q, not %q", tokens.Requests(), want)
			}
		}
	})
	t.Run("job token", func(t *testing.T) {
		if err := push(from(map[string]string{"CI_REGISTRY": "http://" + host, "CI_JOB_TOKEN": "job"}), "group/app:1"); err != nil {
			t.Error(err)
		}
	})
	t.Run("identity token", func(t *testing.T) { testIdentityToken(t) })
	t.Run("nothing", func(t *testing.T) {
		dir := writeIn(t, "config.json", `{"auths": {"other.example": {"auth": "dTpw"}}}`, 0o600)
		err := push(from(map[string]string{"DOCKER_CONFIG": dir, "CI_REGISTRY": host}), "alice/app:2")
		check(t, err, "repository alice/app at "+host+", scope repository:alice/app:push,pull; no credentials; tried "+dir+"/config.json: no entry for "+host+
			"; GitLab: $CI_REGISTRY_PASSWORD is empty; GitLab: $CI_JOB_TOKEN is empty)", 77)
	})
	t.Run("refused", func(t *testing.T) {
		err := push(from(map[string]string{"CI_REGISTRY": host, "CI_JOB_TOKEN": "wr0ng"}), "alice/app:2")
		check(t, err, "repository alice/app at "+host+", scope repository:alice/app:push,pull; credentials from GitLab, $CI_JOB_TOKEN)", 77)
		if strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("the error tells a secret: %v", err)
		}
	})
}

// testIdentityToken: what config.json keeps instead of a password is exchanged for a
// token.
func testIdentityToken(t *testing.T) {
	tokens := registrytest.StartTokens(t, registrytest.TokenConfig{Refresh: map[string]string{"r3fresh": "alice"}})
	host := registrytest.Real(t, registrytest.RealConfig{Tokens: tokens})
	dir := writeIn(t, "config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q, "identitytoken": "r3fresh"}}}`, host, basic("<token>", "")), 0o600)
	c := client(t, registry.Config{Keychain: from(map[string]string{"DOCKER_CONFIG": dir})})
	if err := c.PushImage(context.Background(), tag(t, c, host+"/alice/app:1"), image(t, 1, 100)); err != nil {
		t.Error(err)
	}
	if got := tokens.Requests(); len(got) == 0 || !strings.HasPrefix(got[0], "POST alice") {
		t.Errorf("asked for %q", got)
	}
}

// TestReal_registryToken: a token that the registry itself takes is given to it as it
// is.
func TestReal_registryToken(t *testing.T) {
	tokens := registrytest.StartTokens(t, registrytest.TokenConfig{})
	host := registrytest.Real(t, registrytest.RealConfig{Tokens: tokens})
	token := tokens.Sign(t, "alice", "repository:alice/app:pull,push")
	dir := writeIn(t, "config.json", fmt.Sprintf(`{"auths": {%q: {"registrytoken": %q}}}`, host, token), 0o600)
	c := client(t, registry.Config{Keychain: from(map[string]string{"DOCKER_CONFIG": dir})})
	if err := c.PushImage(context.Background(), tag(t, c, host+"/alice/app:1"), image(t, 1, 100)); err != nil {
		t.Error(err)
	}
	if got := tokens.Requests(); len(got) != 0 {
		t.Errorf("asked for %q", got)
	}
}

// TestReal_renewed: credentials that change in config.json during a build are those
// that the next token is asked with.
func TestReal_renewed(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{User: "alice", Password: "first", Token: true})
	dir := writeIn(t, "config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, server.Host(), basic("alice", "first")), 0o600)
	c := client(t, registry.Config{Keychain: from(map[string]string{"DOCKER_CONFIG": dir})})
	img := image(t, 1, 100)
	if err := c.PushImage(context.Background(), tag(t, c, server.Host()+"/app:1"), img); err != nil {
		t.Fatal(err)
	}
	server.SetPassword("second")
	server.Script("1st POST upload: token expires")
	path := filepath.Join(dir, "config.json")
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, server.Host(), basic("alice", "second"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(context.Background(), tag(t, c, server.Host()+"/app:2"), image(t, 1, 200)); err != nil {
		t.Error(err)
	}
}

// TestReal_loginCertificates: a registry with a certificate of an authority of its own,
// that wants one of us too, is logged in to with those that the options name.
func TestReal_loginCertificates(t *testing.T) {
	authority := registrytest.NewAuthority(t)
	host := registrytest.Real(t, registrytest.RealConfig{
		Htpasswd: "alice:$2a$05$vUIdK168IE/7TTJB8BtOJ.PgbYAJ7nKp5twTfpkgUEvgQWdW69qw2\n",
		TLS:      authority.Issue(t, "127.0.0.1"), Clients: authority,
	})
	ours := authority.Issue(t, "alice")
	believe, show := []string{host + "=" + authority.File}, []string{host + "=" + ours.Cert + "," + ours.Key}
	for name, tc := range map[string]struct {
		options registry.Options
		in      bool
	}{
		"both":            {registry.Options{Authorities: believe, ClientCertificates: show}, true},
		"any certificate": {registry.Options{SkipTLSVerify: true, ClientCertificates: show}, true},
		"no authority":    {registry.Options{ClientCertificates: show}, false},
		"nothing of ours": {registry.Options{Authorities: believe}, false},
	} {
		c := client(t, registry.Config{Options: tc.options, Keychain: password{"alice", "secret"}})
		r, err := c.Registry(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckLogin(context.Background(), r); (err == nil) != tc.in {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReal_login: a registry is asked whether it lets somebody in.
func TestReal_login(t *testing.T) {
	hosts := map[string]string{
		"tokens": registrytest.Real(t, registrytest.RealConfig{
			Tokens: registrytest.StartTokens(t, registrytest.TokenConfig{Users: map[string]string{"alice": "secret"}}),
		}),
		"passwords": registrytest.Real(t, registrytest.RealConfig{
			Htpasswd: "alice:$2a$05$vUIdK168IE/7TTJB8BtOJ.PgbYAJ7nKp5twTfpkgUEvgQWdW69qw2\n",
		}),
	}
	for kind, host := range hosts {
		t.Run(kind, func(t *testing.T) {
			login := func(secret string) error {
				c := client(t, registry.Config{Keychain: password{"alice", secret}})
				r, err := c.Registry(host)
				if err != nil {
					return err
				}
				return c.CheckLogin(context.Background(), r)
			}
			if err := login("secret"); err != nil {
				t.Error(err)
			}
			err := login("wr0ng")
			var e *registry.Error
			if !errors.As(err, &e) || e.ExitCode() != 77 || e.Host != host || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}
