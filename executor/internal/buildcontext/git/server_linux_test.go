package git

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// repositories are bare repositories below a directory, made with git itself.
type repositories struct {
	t   *testing.T
	dir string
}

// commitTime is when all commits of the tests were made.
const commitTime = 1612325106

func newRepositories(t *testing.T) *repositories {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	return &repositories{t, t.TempDir()}
}

// environment is one in which nothing of this machine's settings has a say.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com",
		fmt.Sprintf("GIT_AUTHOR_DATE=%d +0000", commitTime), fmt.Sprintf("GIT_COMMITTER_DATE=%d +0000", commitTime)}
}

// git runs git in a directory and gives what it says.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return gitInput(t, dir, "", args...)
}

func gitInput(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environment(dir), strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// create makes a bare repository of that name, with what make does in a work tree.
func (r *repositories) create(name string, make func(dir string)) string {
	r.t.Helper()
	bare := filepath.Join(r.dir, name)
	git(r.t, r.dir, "init", "-q", "--bare", "-b", "main", bare)
	work := r.t.TempDir()
	git(r.t, work, "init", "-q", "-b", "main", ".")
	git(r.t, work, "remote", "add", "origin", bare)
	make(work)
	git(r.t, work, "push", "-q", "--all")
	git(r.t, work, "push", "-q", "--tags")
	return bare
}

func (r *repositories) write(dir, name, content string) {
	r.t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commit commits all there is.
func (r *repositories) commit(dir, message string) string {
	r.t.Helper()
	git(r.t, dir, "add", "-A")
	git(r.t, dir, "commit", "-q", "-m", message)
	return git(r.t, dir, "rev-parse", "HEAD")
}

// sample is a repository with something of everything.
type sample struct {
	first, second, third, feature string // commits
	annotated                     string // the tag's own hash
	sub, deep                     string // commits of the submodules
}

// sample makes r.git, whose submodule is sub.git, whose submodule is deep.git.
func (r *repositories) sample() sample {
	r.t.Helper()
	var s sample
	r.create("deep.git", func(dir string) {
		r.write(dir, "deep.txt", "deep\n")
		s.deep = r.commit(dir, "deep")
	})
	r.create("sub.git", func(dir string) {
		r.write(dir, "sub.txt", "sub\n")
		r.module(dir, "nested/deep", "../deep.git", s.deep)
		s.sub = r.commit(dir, "sub")
	})
	r.create("r.git", func(dir string) {
		r.write(dir, "f", "first\n")
		r.write(dir, "a/b/c", "deep\n")
		r.write(dir, "run.sh", "#!/bin/sh\n")
		if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
			r.t.Fatal(err)
		}
		for name, target := range map[string]string{"link": "f", "out": "../../../../etc/passwd", "a/dir": "b"} {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				r.t.Fatal(err)
			}
		}
		s.first = r.commit(dir, "first")
		r.write(dir, "f", "second\n")
		r.module(dir, "mods/sub", "../sub.git", s.sub)
		s.second = r.commit(dir, "second")
		git(r.t, dir, "tag", "light")
		git(r.t, dir, "tag", "-a", "annotated", "-m", "a tag")
		s.annotated = git(r.t, dir, "rev-parse", "annotated")
		git(r.t, dir, "checkout", "-q", "-b", "feature/x")
		r.write(dir, "f", "feature\n")
		s.feature = r.commit(dir, "feature")
		git(r.t, dir, "tag", "both", s.first)
		git(r.t, dir, "branch", "both")
		git(r.t, dir, "checkout", "-q", "main")
		r.write(dir, "f", "third\n")
		s.third = r.commit(dir, "third")
	})
	return s
}

// module notes a submodule without cloning it.
func (r *repositories) module(dir, path, url, commit string) {
	r.t.Helper()
	git(r.t, dir, "config", "-f", ".gitmodules", "submodule."+path+".path", path)
	git(r.t, dir, "config", "-f", ".gitmodules", "submodule."+path+".url", url)
	git(r.t, dir, "update-index", "--add", "--cacheinfo", "160000,"+commit+","+path)
	if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// allow has a repository's server answer for commits that are at no tip.
func (r *repositories) allow(names ...string) {
	for _, name := range names {
		git(r.t, filepath.Join(r.dir, name), "config", "uploadpack.allowReachableSHA1InWant", "true")
	}
}

// backend serves the repositories by git's own CGI program.
func (r *repositories) backend() http.Handler {
	r.t.Helper()
	path := filepath.Join(git(r.t, r.dir, "--exec-path"), "git-http-backend")
	if _, err := os.Stat(path); err != nil {
		r.t.Skip("git-http-backend is not installed")
	}
	return &cgi.Handler{Path: path, Env: append(environment(r.dir), "GIT_PROJECT_ROOT="+r.dir, "GIT_HTTP_EXPORT_ALL=1"), Stderr: &bytes.Buffer{}}
}

// told is what a web server was told by whom.
type told struct {
	mu   sync.Mutex
	auth []string
	asks []string
}

func (o *told) listen(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.auth = append(o.auth, r.Header.Get("Authorization"))
		o.asks = append(o.asks, r.Method+" "+r.URL.Path)
		o.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

func (o *told) heard() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.auth, "")
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// guarded lets in whoever has that name and password.
func guarded(user, password string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who is there?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
