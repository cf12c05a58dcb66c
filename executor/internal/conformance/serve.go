//go:build linux

package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// httpMeta is what http.meta says of a path: a line PATH KEY=VALUE…
type httpMeta struct {
	status   int
	location string
	modified string // an HTTP date
	headers  [][2]string
}

// takeMeta reads http.meta.
func (c *Case) takeMeta(text string) error {
	for _, l := range contentLines(text) {
		w, err := words(l)
		if err != nil {
			return err
		}
		m := httpMeta{status: http.StatusOK}
		for _, a := range w[1:] {
			key, value, _ := strings.Cut(a, "=")
			switch key {
			case "status":
				if m.status, err = strconv.Atoi(value); err != nil {
					return err
				}
			case "location":
				m.location = value
			case "mtime":
				at, _, err := parseTime(value)
				if err != nil {
					return err
				}
				m.modified = at.Format(http.TimeFormat)
			case "header":
				name, v, _ := strings.Cut(value, ":")
				m.headers = append(m.headers, [2]string{name, strings.TrimSpace(v)})
			default:
				return fmt.Errorf("unknown key %q", key)
			}
		}
		c.http["/"+strings.TrimPrefix(w[0], "/")] = m
	}
	return nil
}

// serve puts the case's files and repositories on the site's server. A file has a
// Last-Modified header only if http.meta says so.
func (b *Built) serve(s *Site) error {
	git, err := exec.LookPath("git")
	if err != nil && len(b.repos) > 0 {
		return err
	}
	repositories := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Root: "/git", Dir: b.Dir, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Join(b.Dir, "git"), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + b.Dir,
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cases[b.Name] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/git/") {
			repositories.ServeHTTP(w, r)
			return
		}
		b.serveFile(w, r)
	})
	return nil
}

func (b *Built) serveFile(w http.ResponseWriter, r *http.Request) {
	m, ok := b.http[r.URL.Path]
	if r.URL.RawQuery != "" {
		if q, has := b.http[r.URL.Path+"?"+r.URL.RawQuery]; has {
			m, ok = q, true
		}
	}
	if !ok {
		m.status = http.StatusOK
	}
	for _, h := range m.headers {
		w.Header().Add(h[0], h[1])
	}
	if m.modified != "" {
		w.Header().Set("Last-Modified", m.modified)
	}
	if m.location != "" {
		location, err := b.Expand(m.location)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Location", location)
	}
	if m.status != http.StatusOK {
		http.Error(w, "so the case wants it", m.status)
		return
	}
	data, err := os.ReadFile(filepath.Join(b.Dir, "http", filepath.FromSlash(r.URL.Path)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != http.MethodHead {
		// A client that went away is none of the case's business.
		_, _ = w.Write(data)
	}
}

// makeRepos makes the case's git repositories, bare ones, below git/. Their
// commits have fixed dates and people, so that ids are the same everywhere.
func (b *Built) makeRepos(ctx context.Context) error {
	for _, p := range b.repos {
		r := &repo{ctx: ctx, work: filepath.Join(b.Dir, "work-"+p.name), home: b.Dir}
		if err := r.make(b, p); err != nil {
			return fmt.Errorf("git/%s: %w", p.name, err)
		}
		bare := filepath.Join(b.Dir, "git", p.name+".git")
		if err := os.MkdirAll(filepath.Dir(bare), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(r.work, ".git"), bare); err != nil {
			return err
		}
		if err := os.RemoveAll(r.work); err != nil {
			return err
		}
	}
	return nil
}

// repo is a repository under construction.
type repo struct {
	ctx     context.Context
	work    string
	home    string
	pending string // the message of the commit under way
	clock   int64
}

func (r *repo) git(args ...string) (string, error) {
	date := strconv.FormatInt(contextTime+r.clock, 10) + " +0000"
	cmd := exec.CommandContext(r.ctx, "git", args...)
	cmd.Dir = r.work
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Case", "GIT_AUTHOR_EMAIL=case@example.org",
		"GIT_COMMITTER_NAME=Case", "GIT_COMMITTER_EMAIL=case@example.org", "GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// make follows the lines: commit MESSAGE takes the files that follow it, branch
// NAME and tag NAME mark the last commit, checkout=BRANCH goes back to one.
func (r *repo) make(b *Built, p part) error {
	if err := os.MkdirAll(r.work, 0o755); err != nil {
		return err
	}
	if _, err := r.git("init", "-q", "-b", "main"); err != nil {
		return err
	}
	if err := local(p.lines); err != nil {
		return err
	}
	for _, l := range p.lines {
		if err := r.line(b, p, l); err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	if err := r.commit(b, p); err != nil {
		return err
	}
	for _, c := range [][]string{{"config", "uploadpack.allowAnySHA1InWant", "true"}, {"config", "core.bare", "true"}, {"update-server-info"}} {
		if _, err := r.git(c...); err != nil {
			return err
		}
	}
	return nil
}

func (r *repo) line(b *Built, p part, l line) error {
	switch l.kind {
	case "commit":
		if err := r.commit(b, p); err != nil {
			return err
		}
		r.pending = l.path
		return nil
	case "tag", "branch", "checkout":
		if err := r.commit(b, p); err != nil {
			return err
		}
		command := map[string][]string{"tag": {"tag", "-a", "-m", l.path, l.path}, "branch": {"checkout", "-q", "-b", l.path}, "checkout": {"checkout", "-q", l.path}}[l.kind]
		if _, err := r.git(command...); err != nil {
			return err
		}
		return r.remember(b, p, l.path)
	case "remove":
		return os.RemoveAll(filepath.Join(r.work, l.path))
	}
	n, err := l.node()
	if err != nil {
		return err
	}
	return plantNode(r.work, n)
}

// commit ends the commit under way, if there is one.
func (r *repo) commit(b *Built, p part) error {
	if r.pending == "" {
		return nil
	}
	message := r.pending
	r.pending = ""
	r.clock += 60
	if _, err := r.git("add", "-A"); err != nil {
		return err
	}
	if _, err := r.git("commit", "-q", "--allow-empty", "-m", message); err != nil {
		return err
	}
	branch, err := r.git("rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		return err
	}
	return r.remember(b, p, branch)
}

// remember has {{REPOSITORY@REF}} stand for the id of the last commit.
func (r *repo) remember(b *Built, p part, ref string) error {
	id, err := r.git("rev-parse", "HEAD")
	b.names[p.name+"@"+ref] = id
	return err
}
