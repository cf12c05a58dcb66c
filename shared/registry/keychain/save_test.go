package keychain_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// TestStore: what is written, and that all else stays.
func TestStore(t *testing.T) {
	for _, tc := range []struct {
		before string // empty is no file
		host   string
		want   string
	}{
		{"", "registry.example", `{"auths":{"registry.example":{"auth":"dTpw"}}}`},
		{"\n", "registry.example", `{"auths":{"registry.example":{"auth":"dTpw"}}}`},
		{`{"auths": null}`, "index.docker.io", `{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}`},
		{`{"auths": {"docker.io": {"auth": "b2xk"}}}`, "docker.io", `{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}`},
		{
			`{"HttpHeaders": {"X": "<&>"}, "auths": {"other.example": {"auth": "b3Ro", "email": "a@b", "n": 12345678901234567890},
				"https://registry.example/v1/": {"auth": "b2xk"}, "registry.example/team": {"auth": "dGVhbQ=="}}, "proxies": {"default": {"httpProxy": "p"}}}`,
			"registry.example",
			`{"HttpHeaders":{"X":"<&>"},"auths":{"other.example":{"auth":"b3Ro","email":"a@b","n":12345678901234567890},` +
				`"registry.example":{"auth":"dTpw"},"registry.example/team":{"auth":"dGVhbQ=="}},"proxies":{"default":{"httpProxy":"p"}}}`,
		},
	} {
		dir := filepath.Join(t.TempDir(), "made", "here")
		path := filepath.Join(dir, "config.json")
		if tc.before != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(tc.before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := keychain.OpenStore([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		where, err := s.Put(context.Background(), tc.host, "u", "p")
		if err != nil || where != path {
			t.Errorf("%s: put into %s, error %v", tc.before, where, err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, dense(string(raw))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.before, diff)
		}
		mode(t, path, 0o600)
		if tc.before == "" {
			mode(t, dir, 0o700)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", tc.before, left)
		}
	}
}

// dense is JSON without the space around it.
func dense(text string) string {
	return strings.ReplaceAll(strings.NewReplacer("\n", "", "\t", "").Replace(text), `": `, `":`)
}

func mode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s has the mode %v, want %v", path, info.Mode().Perm(), want)
	}
}

// TestStore_remove takes all spellings of a registry, and nothing else.
func TestStore_remove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	before := `{"auths": {"docker.io": {}, "https://index.docker.io/v1/": {"auth": "dTpw"}, "docker.io/team": {"auth": "dTpw"}, "registry.example": {"auth": "dTpw"}}}`
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	remove := func(host string) bool {
		s, err := keychain.OpenStore([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		there, err := s.Remove(context.Background(), host)
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	if remove("none.example") {
		t.Error("removed what is not there")
	}
	if raw, _ := os.ReadFile(path); string(raw) != before {
		t.Error("wrote for nothing")
	}
	if !remove("index.docker.io") {
		t.Error("did not find Docker Hub")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"auths":{"docker.io/team":{"auth":"dTpw"},"registry.example":{"auth":"dTpw"}}}`; dense(string(raw)) != want {
		t.Errorf("left %s", raw)
	}
}

// TestStore_programs: what a program keeps is given to it, and is not in the file.
func TestStore_programs(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	helpers(t, map[string]string{
		"keeps": fmt.Sprintf(`read s; echo "$1 $s" >>%s`, log),
		"full":  "echo the store is locked; exit 1",
	})
	for _, tc := range []struct{ config, log, says string }{
		{`{"credsStore": "keeps"}`, `store {"Secret":"p","ServerURL":"https://index.docker.io/v1/","Username":"u"}`, ""},
		{`{"credsStore": "gone", "credHelpers": {"docker.io": "keeps"}}`, `store {"Secret":"p","ServerURL":"https://index.docker.io/v1/","Username":"u"}`, ""},
		{`{"credsStore": "full"}`, "", "put credentials into docker-credential-full, which "},
		{`{"credsStore": "gone"}`, "", "put credentials into docker-credential-gone, which "},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, []byte(tc.config), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(log)
		s, err := keychain.OpenStore([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		where, err := s.Put(context.Background(), "index.docker.io", "u", "p")
		raw, _ := os.ReadFile(path)
		if tc.says != "" {
			if err == nil || !strings.Contains(err.Error(), tc.says) || string(raw) != tc.config {
				t.Errorf("%s: error %v, left %s", tc.config, err, raw)
			}
			continue
		}
		said, _ := os.ReadFile(log)
		if err != nil || where != "docker-credential-keeps" || strings.TrimSpace(string(said)) != tc.log {
			t.Errorf("%s: in %s, error %v, asked %s", tc.config, where, err, said)
		}
		if !strings.Contains(dense(string(raw)), `"https://index.docker.io/v1/":{}`) || strings.Contains(string(raw), "dTpw") {
			t.Errorf("%s: left %s", tc.config, raw)
		}
		if there, err := s.Remove(context.Background(), "docker.io"); !there || err != nil {
			t.Errorf("%s: removed %v, error %v", tc.config, there, err)
		}
		if said, _ := os.ReadFile(log); !strings.HasSuffix(strings.TrimSpace(string(said)), "erase https://index.docker.io/v1/") {
			t.Errorf("%s: asked %s", tc.config, said)
		}
	}
}

// TestStore_broken: a file that cannot be read, or one that cannot be written, is left
// as it is.
func TestStore_broken(t *testing.T) {
	for _, text := range []string{"{", "[]", `{"auths": []}`, `{"auths": {"a": "b"}}`, "e30="} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keychain.OpenStore([]string{dir})
		var e *keychain.Error
		if !errors.As(err, &e) || e.ExitCode() != 78 || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", text, err)
		}
		if raw, _ := os.ReadFile(path); string(raw) != text {
			t.Errorf("%s became %s", text, raw)
		}
	}
	s, err := keychain.OpenStore([]string{filepath.Join(t.TempDir(), "new")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(s.Path()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(context.Background(), "registry.example", "u", "s3cret")
	var e *keychain.Error
	if !errors.As(err, &e) || e.ExitCode() != 73 || e.Hint() == "" || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a file in the directory's place: error %v", err)
	}
}

// TestStore_place: the file is the one that a build reads, and a link stays one.
func TestStore_place(t *testing.T) {
	root := t.TempDir()
	one, two := filepath.Join(root, "kaniko", ".docker"), filepath.Join(root, "home", ".docker")
	open := func() string {
		s, err := keychain.OpenStore([]string{one, two})
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(root, filepath.Dir(s.Path()))
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	if got := open(); got != "kaniko/.docker" {
		t.Errorf("without anything in %s", got)
	}
	if err := os.MkdirAll(filepath.Join(root, "home"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := open(); got != "home/.docker" {
		t.Errorf("with a home in %s", got)
	}
	if err := os.MkdirAll(filepath.Join(root, "kaniko"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := open(); got != "kaniko/.docker" {
		t.Errorf("with kaniko's directory in %s", got)
	}
	if err := os.MkdirAll(two, 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(root, "target.json")
	if err := os.WriteFile(target, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(two, "config.json")); err != nil {
		t.Fatal(err)
	}
	if got := open(); got != "home/.docker" {
		t.Errorf("with a file in %s", got)
	}
	s, err := keychain.OpenStore([]string{one, two})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(context.Background(), "registry.example", "u", "p"); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(target); !strings.Contains(string(raw), "registry.example") {
		t.Errorf("the link's target is %s", raw)
	}
}
