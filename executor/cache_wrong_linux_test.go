package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// middling has a step that a later one needs the files of, one that needs none, and a
// stage that is copied from.
const middling = `Four steps.
-- Dockerfile --
FROM {{base}} AS compile
RUN echo compiled > /out
FROM {{base}}
RUN echo first > /first && echo running the first
RUN cat first > /second && echo running the second
COPY --link --from=compile /out /linked
RUN cat first second linked > /last && echo running the last
`

// fixture is a Dockerfile, a registry and the image that a build without a cache makes.
type fixture struct {
	t      *testing.T
	server *registrytest.Server
	built  *conformance.Built
	want   v1.Hash
	repo   string // of the cache
}

// with is the fixture for another test, with a cache of its own.
func (f *fixture) with(t *testing.T) *fixture {
	own := *f
	own.t, own.repo = t, fmt.Sprintf("c%x", sha256.Sum224([]byte(t.Name())))
	return &own
}

func newFixture(t *testing.T, c registrytest.Config) *fixture {
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err != nil || choice.Grant == nil {
		t.Skip("this machine grants no namespaces")
	}
	f := &fixture{t: t, server: registrytest.Start(t, c), repo: "c"}
	site, err := conformance.Open(t.Context(), f.server.Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "001-middling.txtar")
	if err := os.WriteFile(file, []byte(middling), 0o644); err != nil {
		t.Fatal(err)
	}
	dockerfile, err := conformance.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "context"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f.built, err = site.Lay(t.Context(), dockerfile, dir); err != nil {
		t.Fatal(err)
	}
	f.want = digestOf(t, isolatedCommand(t, f.built, "--isolation=namespaces"))
	return f
}

// build builds with the cache, and demands the right image.
func (f *fixture) build(flags ...string) string {
	f.t.Helper()
	return f.check(isolatedCommand(f.t, f.built, append([]string{"--cache", "--cache-repo=" + f.server.Host() + "/" + f.repo}, flags...)...))
}

func (f *fixture) check(b build) string {
	f.t.Helper()
	out, err := b.CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s: %v\n%s", strings.Join(b.Args, " "), err, out)
	}
	digest, err := image(f.t, b.layout).Digest()
	if err != nil {
		f.t.Fatal(err)
	}
	if digest != f.want {
		f.t.Errorf("the image is %s, and without a cache %s\n%s", digest, f.want, out)
	}
	return string(out)
}

// entry is the entry of the step whose instruction begins so: its tag and manifest.
func (f *fixture) entry(text string) (string, *v1.Manifest) {
	f.t.Helper()
	for _, tag := range f.server.Tags(f.repo) {
		m := new(v1.Manifest)
		if err := json.Unmarshal(f.server.Manifest(f.repo, tag), m); err != nil {
			f.t.Fatal(err)
		}
		if m.Annotations[cache.AnnotationKind] == cache.KindEntry && strings.HasPrefix(m.Annotations[cache.AnnotationText], text) {
			return tag, m
		}
	}
	f.t.Fatalf("no entry of %q", text)
	return "", nil
}

// plant puts a manifest under a tag.
func (f *fixture) plant(tag string, mt types.MediaType, m any) {
	f.t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server.Plant(f.repo, tag, string(mt), raw)
}

// evict takes an entry away.
func (f *fixture) evict(text string) {
	tag, _ := f.entry(text)
	f.server.Plant(f.repo, tag, string(types.OCIManifestSchema1), []byte("{}"))
}

// spoil cuts an entry's layer in the middle.
func (f *fixture) spoil(text string) {
	_, m := f.entry(text)
	d := m.Layers[0].Digest
	f.server.Spoil(f.repo, d, f.server.Blob(f.repo, d)[:m.Layers[0].Size/2])
}

// warnings are the lines of what an executor said that warn.
func warnings(said string) []string {
	var all []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, "WARN") {
			all = append(all, line)
		}
	}
	return all
}

// TestCacheWrong: whatever is under a key, and whatever became of it, the image is the
// right one. Afterwards the entry is one again.
func TestCacheWrong(t *testing.T) {
	all := newFixture(t, registrytest.Config{})
	for _, tc := range []struct {
		name  string
		wrong func(f *fixture)
		says  string // in the warning, or as the reason
		quiet bool   // there is nothing to be told of
	}{
		{name: "a layer that is cut", wrong: func(f *fixture) { f.spoil("RUN echo first") }, says: "begins anew without that entry"},
		{name: "a layer of other bytes", says: "begins anew without that entry", wrong: func(f *fixture) {
			_, m := f.entry("RUN echo first")
			raw := append([]byte{}, f.server.Blob(f.repo, m.Layers[0].Digest)...)
			raw[len(raw)/2] ^= 1
			f.server.Spoil(f.repo, m.Layers[0].Digest, raw)
		}},
		{name: "no layer", says: "begins anew without that entry", wrong: func(f *fixture) {
			_, m := f.entry("RUN echo first")
			f.server.Lose(f.repo, m.Layers[0].Digest)
		}},
		{name: "the layer of another step, when it is needed", says: "begins anew without that entry", wrong: func(f *fixture) {
			f.evict("RUN cat first second")
			tag, m := f.entry("RUN echo first")
			_, other := f.entry("RUN cat first >")
			m.Layers[0] = other.Layers[0]
			f.plant(tag, types.OCIManifestSchema1, m)
		}},
		{name: "two layers that are lost", says: "begins anew without that entry", wrong: func(f *fixture) {
			f.spoil("RUN echo first")
			f.spoil("COPY")
		}},
		{name: "the manifest of another key", says: "definition of another key", wrong: func(f *fixture) {
			tag, _ := f.entry("RUN echo first")
			_, other := f.entry("RUN cat first >")
			f.plant(tag, types.OCIManifestSchema1, other)
		}},
		{name: "an image", says: "an image that is not of a cache", wrong: func(f *fixture) {
			tag, m := f.entry("RUN echo first")
			m.Annotations, m.Config.MediaType = nil, types.OCIConfigJSON
			f.plant(tag, types.OCIManifestSchema1, m)
		}},
		{name: "another media type", says: "not a manifest of a cache", wrong: func(f *fixture) {
			tag, m := f.entry("RUN echo first")
			m.MediaType = types.DockerManifestSchema2
			f.plant(tag, m.MediaType, m)
		}},
		{name: "a layer of another media type", says: "with a layer of the type", wrong: func(f *fixture) {
			tag, m := f.entry("RUN echo first")
			m.Layers[0].MediaType = "application/zip"
			f.plant(tag, types.OCIManifestSchema1, m)
		}},
		{name: "no manifest", says: "a damaged manifest", wrong: func(f *fixture) {
			tag, _ := f.entry("RUN echo first")
			f.server.Plant(f.repo, tag, string(types.OCIManifestSchema1), []byte("{"))
		}},
		{name: "no index", quiet: true, wrong: func(f *fixture) {
			_, m := f.entry("RUN echo first")
			f.server.Lose(f.repo, m.Layers[1].Digest)
		}},
		{name: "no journal", quiet: true, wrong: func(f *fixture) {
			for _, tag := range f.server.Tags(f.repo) {
				if strings.HasPrefix(tag, cache.LastPrefix) {
					f.server.Plant(f.repo, tag, string(types.OCIManifestSchema1), []byte("{"))
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := all.with(t)
			f.build("--isolation=namespaces")
			tc.wrong(f)
			said := f.build("--isolation=namespaces")
			if !strings.Contains(said, tc.says) {
				t.Errorf("nobody said %q:\n%s", tc.says, said)
			}
			if ran := strings.Contains(said, "] running the first"); ran == tc.quiet {
				t.Errorf("the step ran: %t\n%s", ran, said)
			}
			// In place, and not forced to: a command would be refused.
			if said := f.build("--isolation=in-place"); len(warnings(said)) > 0 {
				t.Errorf("after that:\n%s", said)
			}
		})
	}
}

// TestCacheRefused: a registry that takes the image and nothing for the cache costs one
// warning.
func TestCacheRefused(t *testing.T) {
	all := newFixture(t, registrytest.Config{})
	for name, answer := range map[string]func(http.ResponseWriter){
		"denied": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		"full":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusInsufficientStorage) },
		"too much": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"too large": func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
	} {
		t.Run(name, func(t *testing.T) {
			f := all.with(t)
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: f.server.Host()})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/v2/"+f.repo+"/out/cache/") && r.Method != http.MethodGet && r.Method != http.MethodHead {
					answer(w)
					return
				}
				proxy.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			host := strings.TrimPrefix(s.URL, "http://")
			b := isolatedCommand(t, f.built, "--isolation=namespaces", "--cache", "--destination="+host+"/"+f.repo+"/out:1")
			for i, arg := range b.Args {
				if arg == "--no-push" {
					b.Args[i] = "--no-push=false"
				}
			}
			said := f.check(b)
			w := warnings(said)
			if len(w) != 1 || !strings.Contains(w[0], "the layer cache does not take what is made, the build goes on") {
				t.Errorf("warned %q", w)
			}
			if f.server.Manifest(f.repo+"/out", "1") == nil {
				t.Error("the image was not pushed")
			}
		})
	}
}

// TestCacheImmutable: where tags cannot be moved, entries are made and found, and that
// the names of journals that move cannot be had is nobody's business.
func TestCacheImmutable(t *testing.T) {
	f := newFixture(t, registrytest.Config{Immutable: true})
	if w := warnings(f.build("--isolation=namespaces")); len(w) > 0 {
		t.Errorf("warned %q", w)
	}
	if w := warnings(f.build("--isolation=in-place")); len(w) > 0 {
		t.Errorf("warned %q", w)
	}
	// An entry that is too old cannot be replaced, unless by one of the same second.
	for _, w := range warnings(f.build("--isolation=namespaces", "--cache-ttl=0")) {
		if !strings.Contains(w, "the layer cache does not take what is made") {
			t.Errorf("warned %q", w)
		}
	}
}

// TestCacheInPlace: in a container's own root, where there is only one, what is cached is
// applied once, and a build that begins anew begins with nothing.
func TestCacheInPlace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a root of its own needs a mount namespace, and that needs root")
	}
	all := newFixture(t, registrytest.Config{})
	exe := sandboxtest.StaticBinary(t) // in the jail there are no shared libraries
	for _, tc := range []struct {
		name   string
		change func(f *fixture)
		ran    []string
		anew   int // how often the build began anew
	}{
		{name: "all"},
		{name: "evicted at the end", change: func(f *fixture) { f.evict("RUN cat first second") }, ran: []string{"last"}},
		{name: "evicted in the middle", change: func(f *fixture) { f.evict("RUN cat first >") }, ran: []string{"second", "last"}},
		{
			// The COPY has two names; what is made after the second step fits, since it has
			// made the same again.
			name: "lost when the root is filled", ran: []string{"second"}, anew: 2,
			change: func(f *fixture) { f.evict("RUN cat first >"); f.spoil("COPY") },
		},
		{
			name: "lost while the root is filled", ran: []string{"first", "second", "last"}, anew: 1,
			change: func(f *fixture) { f.evict("RUN cat first second"); f.spoil("RUN echo first") },
		},
		{
			name: "lost twice", ran: []string{"first", "second", "last"}, anew: 2,
			change: func(f *fixture) { f.evict("RUN cat first >"); f.spoil("COPY"); f.spoil("RUN echo first") },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := all.with(t)
			build := func() string {
				b := inPlaceCommand(t, f.built, exe)
				b.Args = append(b.Args, "--cache", "--cache-repo="+f.server.Host()+"/"+f.repo)
				return f.check(b)
			}
			build()
			if tc.change != nil {
				tc.change(f)
			}
			said := build()
			for _, step := range []string{"first", "second", "last"} {
				want := strings.Contains(fmt.Sprint(tc.ran), step)
				if got := strings.Contains(said, "] running the "+step); got != want {
					t.Errorf("the %s ran: %t, want %t\n%s", step, got, want, said)
				}
			}
			if got := strings.Count(said, "begins anew"); got != tc.anew {
				t.Errorf("began anew %d times, want %d\n%s", got, tc.anew, said)
			}
			if said := build(); strings.Contains(said, "] running the") {
				t.Errorf("after that:\n%s", said)
			}
		})
	}
}
