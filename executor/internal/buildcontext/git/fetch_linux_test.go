package git

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// list is what is below a directory, one line for each: mode, path, content.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if rel == ".git" && e.IsDir() {
			out = append(out, "repository "+rel)
			return fs.SkipDir
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%v %s", info.Mode(), rel)
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + strings.TrimSpace(string(text))
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line = "link " + rel + " -> " + target
		}
		if when := info.ModTime().Unix(); when != commitTime {
			line += fmt.Sprintf(" at %d", when)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// whole is what the sample's files are at a commit with the submodule.
func whole(f string) []string {
	return []string{
		"drwxr-xr-x .",
		"-rw-r--r-- .gitmodules " + "[submodule \"mods/sub\"]\n\tpath = mods/sub\n\turl = ../sub.git",
		"drwxr-xr-x a", "drwxr-xr-x a/b", "-rw-r--r-- a/b/c deep", "link a/dir -> b",
		"-rw-r--r-- f " + f, "link link -> f", "drwxr-xr-x mods", "drwxr-xr-x mods/sub",
		"-rw-r--r-- mods/sub/.gitmodules " + "[submodule \"nested/deep\"]\n\tpath = nested/deep\n\turl = ../deep.git",
		"drwxr-xr-x mods/sub/nested", "drwxr-xr-x mods/sub/nested/deep", "-rw-r--r-- mods/sub/nested/deep/deep.txt deep",
		"-rw-r--r-- mods/sub/sub.txt sub", "link out -> ../../../../etc/passwd", "-rwxr-xr-x run.sh #!/bin/sh",
	}
}

func without(lines []string, paths ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return strings.Contains(line, " "+p) })
	})
}

func fetchSource(t *testing.T, source string, o Options) (string, string, error) {
	t.Helper()
	ref, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o.retry = remote.Retry{Wait: time.Millisecond}
	commit, err := Fetch(t.Context(), ref, dir, o)
	return dir, commit, err
}

func TestFetch(t *testing.T) {
	old := syscall.Umask(0o077) // must have no say
	defer syscall.Umask(old)
	r := newRepositories(t)
	s := r.sample()
	s0 := serve(t, r.backend())
	url := s0.URL + "/r.git"
	first := []string{"drwxr-xr-x .", "drwxr-xr-x a", "drwxr-xr-x a/b", "-rw-r--r-- a/b/c deep", "link a/dir -> b",
		"-rw-r--r-- f first", "link link -> f", "link out -> ../../../../etc/passwd", "-rwxr-xr-x run.sh #!/bin/sh"}
	cases := []struct {
		source, commit string
		files          []string
	}{
		{url, s.third, whole("third")},
		{url + "#main", s.third, whole("third")},
		{url + "#refs/heads/main", s.third, whole("third")},
		{url + "#heads/main", s.third, whole("third")},
		{url + "?branch=main", s.third, whole("third")},
		{url + "#feature/x", s.feature, whole("feature")},
		{url + "#both", s.feature, whole("feature")},
		{url + "?tag=both", s.first, first},
		{url + "#light", s.second, whole("second")},
		{url + "#annotated", s.second, whole("second")},
		{url + "#" + s.third, s.third, whole("third")},
		{url + "#" + s.first, s.first, first},
		{url + "?ref=main&commit=" + s.third[:7], s.third, whole("third")},
		{url + "?ref=main&checksum=" + strings.ToUpper(s.third), s.third, whole("third")},
		{url + "?tag=annotated&commit=" + s.annotated, s.second, whole("second")},
		{url + "?tag=annotated&commit=" + s.second, s.second, whole("second")},
		{url + "?fetch-by-commit&branch=main&commit=" + s.first, s.first, first},
		{url + "#main:a", s.third, []string{"drwxr-xr-x .", "drwxr-xr-x b", "-rw-r--r-- b/c deep", "link dir -> b"}},
		{url + "?subdir=../a/b", s.third, []string{"drwxr-xr-x .", "-rw-r--r-- c deep"}},
		{url + "#:mods/", s.third, []string{"drwxr-xr-x .", "drwxr-xr-x sub",
			"-rw-r--r-- sub/.gitmodules " + "[submodule \"nested/deep\"]\n\tpath = nested/deep\n\turl = ../deep.git",
			"drwxr-xr-x sub/nested", "drwxr-xr-x sub/nested/deep", "-rw-r--r-- sub/nested/deep/deep.txt deep", "-rw-r--r-- sub/sub.txt sub"}},
		{url + "?submodules=false", s.third, without(whole("third"), "mods/sub/")},
	}
	// Once with a server that is asked for any commit, and once with one that gives
	// only what is at a tip, as git's is unless told.
	for _, kind := range []string{"tips", "any commit"} {
		if kind == "any commit" {
			r.allow("r.git", "sub.git", "deep.git")
		}
		for i, tc := range cases {
			if kind == "tips" && i > 0 && !strings.Contains(tc.source, s.first) && !strings.Contains(tc.source, s.third) {
				continue // it is the same to the server
			}
			t.Run(kind+" "+strings.TrimPrefix(tc.source, s0.URL), func(t *testing.T) {
				dir, commit, err := fetchSource(t, tc.source, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if commit != tc.commit {
					t.Errorf("commit %s, want %s", commit, tc.commit)
				}
				if diff := cmp.Diff(tc.files, list(t, dir)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestFetch_times(t *testing.T) {
	r := newRepositories(t)
	r.sample()
	url := serve(t, r.backend()).URL + "/r.git"
	before := time.Now().Truncate(time.Second)
	dir, _, err := fetchSource(t, url+"?mtime=checkout", Options{SkipSubmodules: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "f", "a/b"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().Before(before) {
			t.Errorf("%s is of %v, before it was fetched", name, info.ModTime())
		}
	}
}

func TestFetch_keepGitDir(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	r.allow("r.git")
	h := guarded("me", "pass word&", r.backend())
	url := strings.Replace(serve(t, h).URL, "http://", "http://me:pass%20word&@", 1) + "/r.git"
	clean := strings.Replace(url, "me:pass%20word&@", "", 1)
	for _, tc := range []struct{ suffix, commit, ref string }{
		{"", s.third, "refs/heads/main"},
		{"#feature/x", s.feature, "refs/heads/feature/x"},
		{"#light", s.second, "refs/tags/light"},
		{"#annotated", s.second, "refs/tags/annotated"},
		{"#" + s.first, s.first, ""},
	} {
		t.Run(tc.suffix, func(t *testing.T) {
			keep := true
			dir, _, err := fetchSource(t, url+tc.suffix, Options{KeepGitDir: &keep})
			if err != nil {
				t.Fatal(err)
			}
			is := func(want string, args ...string) {
				t.Helper()
				if got := git(t, dir, args...); got != want {
					t.Errorf("git %s: %q, want %q", strings.Join(args, " "), got, want)
				}
			}
			git(t, dir, "fsck", "--full", "--strict", "--connectivity-only")
			is(tc.commit, "rev-parse", "HEAD")
			is("HEAD", "rev-parse", "--abbrev-ref", "HEAD") // detached
			is("", "status", "--porcelain")
			is("1", "rev-list", "--count", "HEAD")
			is(clean, "remote", "get-url", "origin")
			is(tc.ref, "for-each-ref", "--format=%(refname)")
			if tc.commit != s.first {
				sub := filepath.Join(dir, "mods/sub")
				if got := git(t, sub, "rev-parse", "HEAD"); got != s.sub {
					t.Errorf("the submodule is at %s, not %s", got, s.sub)
				}
				if got := git(t, sub, "remote", "get-url", "origin"); got != strings.Replace(clean, "/r.git", "/sub.git", 1) {
					t.Errorf("the submodule is from %s", got)
				}
				if got := git(t, dir, "submodule", "status", "--recursive"); strings.ContainsAny(got, "+-U") && !strings.HasPrefix(got, s.sub) {
					t.Errorf("git submodule status: %s", got)
				}
				git(t, dir, "submodule", "foreach", "--recursive", "-q", "git status --porcelain | (! grep .)")
			}
			// The secret is nowhere, and nothing tells when it was fetched.
			err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := e.Info()
				if err != nil {
					return err
				}
				if info.Mode().IsRegular() {
					text, err := os.ReadFile(path)
					if err != nil {
						return err
					}
					for _, secret := range []string{"pass word", "pass%20word", "pass+word", "me:"} {
						if strings.Contains(string(text), secret) && !strings.HasSuffix(path, ".idx") && !strings.HasSuffix(path, ".pack") {
							t.Errorf("%s holds the password", path)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("as fetched again", func(t *testing.T) {
		keep := true
		a, _, err := fetchSource(t, url, Options{KeepGitDir: &keep})
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := fetchSource(t, url, Options{KeepGitDir: &keep})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list(t, filepath.Join(a, ".git")), list(t, filepath.Join(b, ".git"))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("all of the history", func(t *testing.T) {
		keep := true
		dir, _, err := fetchSource(t, url, Options{KeepGitDir: &keep, Depth: -1})
		if err != nil {
			t.Fatal(err)
		}
		if got := git(t, dir, "rev-list", "--count", "HEAD"); got != "3" {
			t.Errorf("%s commits, not 3", got)
		}
	})
	t.Run("of a directory", func(t *testing.T) {
		keep := true
		dir, _, err := fetchSource(t, url+"#:a/b", Options{KeepGitDir: &keep})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"drwxr-xr-x .", "-rw-r--r-- c deep"}, list(t, dir)); diff != "" {
			t.Error(diff)
		}
	})
}

// What is asked for comes alone: no history and no other branch.
func TestFetch_shallow(t *testing.T) {
	r := newRepositories(t)
	var tip string
	r.create("big.git", func(dir string) {
		for range 3 {
			noise := make([]byte, 1<<20)
			rand.Read(noise)
			r.write(dir, "noise", string(noise))
			r.commit(dir, "more")
		}
		tip = git(t, dir, "rev-parse", "HEAD")
	})
	keep := true
	dir, commit, err := fetchSource(t, serve(t, r.backend()).URL+"/big.git", Options{KeepGitDir: &keep})
	if err != nil || commit != tip {
		t.Fatal(commit, err)
	}
	var size int64
	packs, _ := filepath.Glob(filepath.Join(dir, ".git/objects/pack/*.pack"))
	for _, pack := range packs {
		info, err := os.Stat(pack)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size < 1<<20 || size > 3<<19 {
		t.Errorf("%d bytes came for a file of %d", size, 1<<20)
	}
}

func TestFetch_notThere(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	git(t, r.dir, "init", "-q", "--bare", "-b", "main", "empty.git")
	r.create("long.git", func(dir string) {
		git(t, dir, "init", "-q", "--bare", "-b", "main", "--object-format=sha256", filepath.Join(r.dir, "sha256.git"))
		if err := os.RemoveAll(filepath.Join(r.dir, "long.git")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(r.dir, "sha256.git"), filepath.Join(r.dir, "long.git")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
			t.Fatal(err)
		}
		git(t, dir, "init", "-q", "-b", "main", "--object-format=sha256", ".")
		git(t, dir, "remote", "add", "origin", filepath.Join(r.dir, "long.git"))
		r.write(dir, "f", "f")
		r.commit(dir, "c")
	})
	r.create("dangling.git", func(dir string) { r.write(dir, "f", "f"); r.commit(dir, "c") })
	git(t, filepath.Join(r.dir, "dangling.git"), "symbolic-ref", "HEAD", "refs/heads/gone")
	base := serve(t, r.backend()).URL
	nowhere := "http://127.0.0.1:" + freePort(t)
	never := strings.Repeat("ab", 20)
	for _, tc := range []struct {
		source, text string
		code         int
	}{
		{base + "/r.git#mian", `has no "mian", but main`, 65},
		{base + "/r.git#feature", `but feature/x`, 65},
		{base + "/r.git?tag=main", `has no "refs/tags/main"`, 65},
		{base + "/r.git#" + s.first[:7], `has no "` + s.first[:7] + `"`, 65},
		{base + "/r.git#" + never, `has no "` + never + `"`, 65},
		{base + "/r.git#main:none", "no directory none", 65},
		{base + "/r.git#main:f", "no directory f", 65},
		{base + "/r.git#main:a/dir", "no directory a/dir", 65},
		{base + "/r.git?branch=main&commit=" + s.first, "main is " + s.third + ", and not " + s.first, 65},
		{base + "/r.git?commit=1234567#" + s.first, s.first + " is " + s.first + ", and not 1234567", 65},
		{base + "/none.git", "repository not found", 69},
		{base + "/empty.git", "empty", 66},
		{base + "/long.git", "SHA-256", 69},
		{base + "/dangling.git", `has no "HEAD", but main`, 65},
		{nowhere + "/r.git", "list the references of git repository " + nowhere + "/r.git", 69},
	} {
		t.Run(strings.TrimPrefix(tc.source, base), func(t *testing.T) {
			_, _, err := fetchSource(t, tc.source, Options{})
			checkError(t, err, tc.code, tc.text)
		})
	}
}

// checkError wants an error with an exit code, a hint and a text in it.
func checkError(t *testing.T, err error, code int, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q lacks %q", err, text)
	}
	var coder interface{ ExitCode() int }
	if !errors.As(err, &coder) || coder.ExitCode() != code {
		t.Errorf("%v: not exit code %d", err, code)
	}
}

func TestFetch_options(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	url := serve(t, r.backend()).URL + "/r.git"
	no, yes := false, true
	if _, _, err := fetchSource(t, url, Options{Checksum: s.third[:10]}); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		source string
		o      Options
		text   string
	}{
		{url, Options{Checksum: s.second}, "and not " + s.second},
		{url + "?commit=" + s.third, Options{Checksum: s.second}, "another one than its own"},
		{url, Options{Checksum: "main"}, "not the beginning of a commit's hash"},
		{url + "?keep-git-dir=true", Options{KeepGitDir: &no}, "contradict"},
		{url + "?keep-git-dir=0", Options{KeepGitDir: &yes}, "contradict"},
	} {
		_, _, err := fetchSource(t, tc.source, tc.o)
		checkError(t, err, 65, tc.text)
	}
	dir, _, err := fetchSource(t, url+"?keep-git-dir", Options{SkipSubmodules: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".git/HEAD")); err != nil {
		t.Error(err)
	}
}

func TestFetch_credentials(t *testing.T) {
	r := newRepositories(t)
	r.sample()
	const secret = "s3cr3t/%41"
	guardedURL := serve(t, guarded("me", secret, r.backend())).URL + "/r.git"
	tokenURL := serve(t, guarded(secret, "", r.backend())).URL + "/r.git"
	forbidden := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		http.Error(w, "not you, "+password, http.StatusForbidden)
	})).URL + "/r.git"
	in := func(u string) string { return strings.Replace(u, "http://", "http://me:s3cr3t%2F%2541@", 1) }
	for name, tc := range map[string]struct {
		source string
		c      Credentials
		text   string // of the error; empty is none
	}{
		"none":                 {guardedURL, Credentials{}, "authentication required"},
		"in the source":        {in(guardedURL), Credentials{Username: "me", Password: "other"}, ""},
		"of the environment":   {guardedURL, Credentials{Username: "me", Password: secret}, ""},
		"wrong":                {guardedURL, Credentials{Username: "me", Password: secret + "x"}, "authentication required"},
		"token":                {tokenURL, Credentials{Token: secret}, ""},
		"token with a name":    {guardedURL, Credentials{Username: "me", Token: secret}, ""},
		"token of another":     {tokenURL, Credentials{Token: secret, Host: "example.com"}, "authentication required"},
		"refused in the clear": {in(forbidden), Credentials{}, "authorization failed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := fetchSource(t, tc.source, Options{Credentials: tc.c})
			if tc.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			checkError(t, err, 77, tc.text)
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "GIT_TOKEN") {
				t.Errorf("%v: no hint", err)
			}
			for _, form := range []string{secret, "s3cr3t"} {
				if strings.Contains(err.Error(), form) || strings.Contains(hint.Hint(), form) {
					t.Errorf("the error tells the password: %v", err)
				}
			}
		})
	}
}

// What one host is told no other hears: not by a redirect, nor by a submodule.
func TestFetch_credentialsElsewhere(t *testing.T) {
	r := newRepositories(t)
	r.sample()
	var other told
	elsewhere := serve(t, other.listen(r.backend()))
	r.create("far.git", func(dir string) {
		r.module(dir, "m", elsewhere.URL+"/deep.git", git(t, filepath.Join(r.dir, "deep.git"), "rev-parse", "main"))
		r.commit(dir, "c")
	})
	home := serve(t, guarded("me", "secret", r.backend()))
	c := Credentials{Username: "me", Password: "secret"}
	if _, _, err := fetchSource(t, home.URL+"/far.git", Options{Credentials: c}); err != nil {
		t.Fatal(err)
	}
	moved := serve(t, guarded("me", "secret", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusFound)
	})))
	// By another name it is another host.
	source := strings.Replace(moved.URL, "127.0.0.1", "localhost", 1) + "/deep.git"
	if _, _, err := fetchSource(t, source, Options{Credentials: c}); err != nil {
		t.Fatal(err)
	}
	if len(other.asks) < 4 {
		t.Fatalf("the other host was asked only for %q", other.asks)
	}
	if heard := other.heard(); heard != "" {
		t.Errorf("the other host was told %q", heard)
	}
}

func TestFetch_TLS(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	server := httptest.NewUnstartedServer(guarded("me", "secret", r.backend()))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	source := strings.Replace(server.URL, "https://", "https://me:secret@", 1) + "/r.git#light"
	_, commit, err := fetchSource(t, source, Options{Client: server.Client()})
	if err != nil || commit != s.second {
		t.Error(commit, err)
	}
	_, _, err = fetchSource(t, source, Options{})
	checkError(t, err, 69, "certificate")
	if hint := err.(interface{ Hint() string }).Hint(); !strings.Contains(hint, "SSL_CERT_FILE") {
		t.Errorf("hint %q", hint)
	}
}

// A server that is tired is asked again.
func TestFetch_again(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	backend, asked := r.backend(), 0
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if asked++; asked%2 == 1 {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	if _, commit, err := fetchSource(t, server.URL+"/r.git#"+s.third, Options{SkipSubmodules: true}); err != nil || commit != s.third {
		t.Error(commit, err)
	}
}

// Of a reference and a commit it is the commit that counts, which may lie behind; one
// that is nowhere is told, by either kind of server.
func TestFetch_pinned(t *testing.T) {
	r := newRepositories(t)
	s := r.sample()
	url := strings.Replace(serve(t, r.backend()).URL, "http://", "git://", 1) + "/r.git"
	nowhere := strings.Repeat("ab", 20)
	for _, kind := range []string{"tips", "any commit"} {
		if kind == "any commit" {
			r.allow("r.git")
		}
		ref, err := ParseContext(url+"#main#"+s.first, "http")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		commit, err := Fetch(t.Context(), ref, dir, Options{SkipSubmodules: true})
		if err != nil || commit != s.first {
			t.Errorf("%s: %s %v", kind, commit, err)
		}
		if ref, err = ParseContext(url+"#main#"+nowhere, "http"); err != nil {
			t.Fatal(err)
		}
		var none *RefError
		if _, err := Fetch(t.Context(), ref, t.TempDir(), Options{}); !errors.As(err, &none) || !strings.Contains(err.Error(), nowhere) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
