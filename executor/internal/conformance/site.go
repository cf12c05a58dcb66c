//go:build linux

package conformance

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// A Site is where cases are built: a registry for their bases, and a server for
// what they fetch.
type Site struct {
	registry string
	server   *httptest.Server
	builtIn  v1.Image

	open   context.Context // until the site closes
	close  func()
	served sync.WaitGroup

	mu    sync.Mutex
	cases map[string]http.Handler
}

// Registry is the host of the registry that the case's bases are in.
func (b *Built) Registry() string { return b.names["registry"] }

// Open starts a site. registry is a host:port that takes any push over plain HTTP.
// The caller closes the site.
func Open(ctx context.Context, registry string) (*Site, error) {
	s := &Site{registry: registry, cases: map[string]http.Handler{}}
	lines, err := parseLines(builtIn)
	if err == nil {
		s.builtIn, err = baseImage(lines, nil)
	}
	if err == nil {
		err = s.push(ctx, BuiltIn, s.builtIn)
	}
	if err != nil {
		return nil, fmt.Errorf("make the built-in base image: %w", err)
	}
	s.open, s.close = context.WithCancel(ctx)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s, nil
}

// Close ends the servers.
func (s *Site) Close() {
	s.close()
	s.server.Close()
	s.served.Wait()
}

// serve passes a request on to the case that its path begins with.
func (s *Site) serve(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	h := s.cases[name]
	s.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix("/"+name, h).ServeHTTP(w, r)
}

func (s *Site) push(ctx context.Context, repo string, img v1.Image) error {
	ref, err := name.ParseReference(s.registry+"/conformance/"+repo, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithContext(ctx))
}

// A Built is a case laid out on disk, ready to be built as often as one likes.
type Built struct {
	*Case
	// Dir is the case's directory: builders run in it. Its parts are below it.
	Dir string

	bases map[string]v1.Image
	names map[string]string // of what {{…}} stands for
}

// Lay makes a case's files below dir, which exists and is empty, pushes its base
// images and serves its files and repositories for as long as the site is open.
func (s *Site) Lay(ctx context.Context, c *Case, dir string) (*Built, error) {
	b := &Built{Case: c, Dir: dir, bases: map[string]v1.Image{BuiltIn: s.builtIn}, names: map[string]string{
		"registry": s.registry,
		"http":     s.server.URL + "/" + c.Name,
		"git":      s.server.URL + "/" + c.Name + "/git",
		BuiltIn:    s.registry + "/conformance/" + BuiltIn,
	}}
	for _, step := range []func() error{
		func() error { return b.pushBases(ctx, s) },
		func() error { return b.makeRepos(ctx) },
		b.writeFiles,
		b.plantTrees,
		func() error { return b.serve(s) },
		func() error { return b.startAgent(s) },
		b.writeLayouts,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("lay out %s: %w", c.File, err)
		}
	}
	return b, nil
}

func (b *Built) pushBases(ctx context.Context, s *Site) error {
	for _, p := range b.Case.bases {
		img, err := baseImage(p.lines, b.bases)
		if err != nil {
			return fmt.Errorf("base/%s: %w", p.name, err)
		}
		repo := "case/" + b.Name + "/" + p.name
		if err := s.push(ctx, repo, img); err != nil {
			return fmt.Errorf("base/%s: %w", p.name, err)
		}
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		b.bases[p.name] = img
		b.names[p.name] = s.registry + "/conformance/" + repo
		b.names[p.name+"@"] = b.names[p.name] + "@" + digest.String()
	}
	return nil
}

// writeLayouts writes the bases as OCI layouts below layouts/ if the arguments name
// one.
func (b *Built) writeLayouts() error {
	wanted := false
	for _, a := range b.Args {
		wanted = wanted || strings.Contains(a.Value, "oci-layout://")
	}
	if !wanted {
		return nil
	}
	for name, img := range b.bases {
		at, err := layout.Write(filepath.Join(b.Dir, "layouts", name), empty.Index)
		if err != nil {
			return err
		}
		if err := at.AppendImage(img); err != nil {
			return err
		}
	}
	return nil
}

func (b *Built) writeFiles() error {
	if err := os.MkdirAll(filepath.Join(b.Dir, "context"), 0o755); err != nil {
		return err
	}
	for _, f := range b.files {
		text, err := b.Expand(string(f.text))
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		name := filepath.Join(b.Dir, f.name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(b.Dir, func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(name, 0o755)
		}
		return os.Chmod(name, 0o644)
	})
}

func (b *Built) plantTrees() error {
	for _, t := range b.trees {
		err := local(t.lines)
		if err == nil {
			err = plant(filepath.Join(b.Dir, t.name), t.lines)
		}
		if err != nil {
			return fmt.Errorf("%s.tree: %w", t.name, err)
		}
	}
	return settle(b.Dir, b.trees)
}

// Expand replaces {{NAME}}: "registry", "http" and "git" are addresses of servers,
// the name of a base is its reference, with @ after it the one by digest, and
// REPOSITORY@REF the id of a commit.
func (b *Built) Expand(text string) (string, error) {
	var unknown error
	out := regexp.MustCompile(`\{\{([a-z0-9@/._-]+)\}\}`).ReplaceAllStringFunc(text, func(m string) string {
		value, ok := b.names[strings.Trim(m, "{}")]
		if !ok {
			unknown = fmt.Errorf("%s stands for nothing: it may be http, git, registry, or one of the bases %v", m, sortedNames(b.bases))
		}
		return value
	})
	return out, unknown
}

// Collapse is the reverse of Expand for what a builder says: addresses of servers
// differ from run to run.
func (b *Built) Collapse(text string) string {
	return strings.NewReplacer(b.names["git"], "{{git}}", b.names["http"], "{{http}}", b.names["registry"], "{{registry}}").Replace(text)
}

// Arguments are the case's arguments, expanded.
func (b *Built) Arguments() ([]Arg, error) {
	var out []Arg
	for _, a := range b.Args {
		v, err := b.Expand(a.Value)
		if err != nil {
			return nil, fmt.Errorf("args: %w", err)
		}
		out = append(out, Arg{a.Flag, v})
	}
	return out, nil
}

// Dockerfile is the path of the Dockerfile from the case's directory: what
// --dockerfile says, else Dockerfile or context/Dockerfile.
func (b *Built) Dockerfile() string {
	for _, a := range b.Args {
		if a.Flag == "--dockerfile" {
			return a.Value
		}
	}
	if _, err := os.Lstat(filepath.Join(b.Dir, "Dockerfile")); err == nil {
		return "Dockerfile"
	}
	return "context/Dockerfile"
}

// BaseOf finds the base that an image was built on: the one with the longest list
// of layers that the image begins with, scratch if there is none.
func (b *Built) BaseOf(img v1.Image) (v1.Image, error) {
	own, err := diffIDs(img)
	if err != nil {
		return nil, err
	}
	best, length := v1.Image(nil), 0
	for _, n := range sortedNames(b.bases) {
		ids, err := diffIDs(b.bases[n])
		if err != nil {
			return nil, err
		}
		if len(ids) > length && len(ids) <= len(own) && equal(ids, own[:len(ids)]) {
			best, length = b.bases[n], len(ids)
		}
	}
	if best == nil {
		return empty.Image, nil
	}
	return best, nil
}

func equal(a, b []v1.Hash) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func diffIDs(img v1.Image) ([]v1.Hash, error) {
	c, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	return rootFS(c)
}

// flatten flattens an image as cases describe it.
func flatten(img v1.Image) (*treediff.Tree, error) {
	return treediff.Flatten(img, treediff.Options{Keep: maxText})
}

// maxText is the size, in bytes, up to which a wanted tree has a file's text
// instead of its digest.
const maxText = 160
