package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// with opens a repository through a client that the test has too.
func with(t testing.TB, c *registry.Client, spec string, o cache.Options) *cache.Place {
	t.Helper()
	o.Tool = tool
	p, err := cache.Open(spec, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestGet_requests: a lookup is one request, for an entry as for none, and knowing
// all of an entry's layer is no more.
func TestGet_requests(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Token: true})
	spec := s.Host() + "/cache"
	var keys []cachekey.Key
	for _, word := range []string{"a", "b", "c"} {
		r := result(t, word, 1000)
		put(t, in(t, spec, cache.Options{}), r)
		keys = append(keys, r.Definition.Key(), definition("not", word).Key())
	}
	place := in(t, spec, cache.Options{})
	s.Forget()
	var wg sync.WaitGroup
	for _, key := range keys {
		wg.Go(func() {
			e, err := place.Get(context.Background(), key)
			if err != nil {
				return
			}
			e.Layer.Digest()
			e.Layer.DiffID()
			e.Layer.Size()
			e.Layer.MediaType()
			layer.As[layer.Indexed](e.Layer)
		})
	}
	wg.Wait()
	if got := s.Requests(); s.Count("GET manifest cache 200") != 3 || s.Count("GET manifest cache 404") != 3 || len(got) != 8 {
		t.Errorf("six lookups, a ping and a token: %q", got)
	}

	// What was asked before is asked again: others write to the cache.
	s.Forget()
	get(t, place, keys[0])
	if _, err := place.Get(context.Background(), keys[1]); err != cache.ErrMiss {
		t.Error(err)
	}
	if got := s.Requests(); len(got) != 2 {
		t.Errorf("two lookups: %q", got)
	}
	s.Forget()
	if _, err := place.Definition(context.Background(), keys[0]); err != nil {
		t.Error(err)
	}
	if got := s.Requests(); !slices.Equal(got, []string{"GET blob cache 200"}) {
		t.Errorf("a definition: %q", got)
	}
}

// TestPut_mount: a layer that went to the destination goes from there to the cache,
// and one of the cache to the destination, without being sent or read.
func TestPut_mount(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Mounts: true, Token: true})
	c := client(registry.Config{})
	ctx := context.Background()
	app, err := c.Repository(s.Host() + "/app")
	if err != nil {
		t.Fatal(err)
	}
	r := result(t, "a", 10<<10)
	if err := c.PushLayer(ctx, app, r.Layer); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	put(t, with(t, c, s.Host()+"/cache", cache.Options{}), r)
	if m, u := s.Count("POST mount cache 201"), s.Count("PUT upload"); m != 1 || u != 2 {
		t.Errorf("%d mounts; %d uploads for definition and index: %q", m, u, s.Requests())
	}

	c = client(registry.Config{})
	e := get(t, with(t, c, s.Host()+"/cache", cache.Options{}), r.Definition.Key())
	other, err := c.Repository(s.Host() + "/other")
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	if err := c.PushLayer(ctx, other, e.Layer); err != nil {
		t.Fatal(err)
	}
	if s.Count("POST mount other 201") != 1 || s.Count("GET blob")+s.Count("PUT") != 0 {
		t.Errorf("not mounted: %q", s.Requests())
	}

	// Where mounting is refused, or to another registry, the layer is sent across.
	s.Script("mount: refuse")
	elsewhere := registrytest.Start(t, registrytest.Config{})
	for _, to := range []string{s.Host() + "/third", elsewhere.Host() + "/app"} {
		repo, err := c.Repository(to)
		if err != nil {
			t.Fatal(err)
		}
		s.Forget()
		if err := c.PushLayer(ctx, repo, e.Layer); err != nil {
			t.Error(err)
		}
		// The server notes a request when it has ended, which may be after its reader has.
		for wait := 0; s.Count("GET blob cache") != 1; wait++ {
			if wait == 500 {
				t.Fatalf("to %s: %q", to, s.Requests())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestEntry_keep: what several read of an entry is fetched once.
func TestEntry_keep(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 100<<10)
	put(t, in(t, s.Host()+"/cache", cache.Options{}), r)
	ctx := context.Background()
	c := client(registry.Config{})
	dir, err := base.Open(ctx, t.TempDir(), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	place := with(t, c, s.Host()+"/cache", cache.Options{Keep: dir.Layer})
	e := get(t, place, r.Definition.Key())
	if _, ok := layer.As[registry.Located](e.Layer); !ok {
		t.Error("the layer does not say where it is")
	}
	for range 3 {
		sameLayer(t, e, r)
	}
	if n := s.Count("GET blob"); n != 2 {
		t.Errorf("%d downloads of a layer and an index", n)
	}

	s.Lose("cache", r.Layer.(*fakeLayer).digest)
	c = client(registry.Config{})
	again, err := base.Open(ctx, t.TempDir(), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	e = get(t, with(t, c, s.Host()+"/cache", cache.Options{Keep: again.Layer}), r.Definition.Key())
	isLost(t, failure(e.Layer.Uncompressed), e)
	isLost(t, c.PushLayer(ctx, mustRepo(t, c, s.Host()+"/app"), e.Layer), e)
}

func mustRepo(t *testing.T, c *registry.Client, s string) name.Repository {
	t.Helper()
	repo, err := c.Repository(s)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// TestPut_heals: a build that meets an entry whose blobs are gone puts them there
// again, although they seemed to be there.
func TestPut_heals(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 1000)
	c := client(registry.Config{})
	place := with(t, c, s.Host()+"/cache", cache.Options{})
	put(t, place, r)
	for _, h := range []v1.Hash{r.Layer.(*fakeLayer).digest, hash(t, []byte(r.Definition)), hash(t, readAll(t, r.Index))} {
		s.Lose("cache", h)
	}
	e := get(t, place, r.Definition.Key())
	isLost(t, failure(e.Layer.Compressed), e)
	put(t, place, r)
	sameLayer(t, get(t, place, r.Definition.Key()), r)
}

type login struct{ user, password string }

func (l login) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: l.user, Password: l.password}, nil
}

// TestFaults: what a registry does to a lookup and to a new entry.
func TestFaults(t *testing.T) {
	const fine = ""
	for _, tc := range []struct {
		script   string
		c        registrytest.Config
		get, put string // in the errors
	}{
		{script: "GET manifest: 503 x2\nPUT manifest: 503 x2\nPUT upload: cut at 100"},
		{script: "GET manifest: cut at 100 x2\nGET manifest: hang at 100"},
		{script: "GET manifest: token expires\nPUT manifest: token expires", c: registrytest.Config{Token: true}},
		{script: "GET manifest: 500 always", get: "500 Internal Server Error", put: fine},
		{script: "GET manifest: reset always", get: "EOF", put: fine},
		{script: "GET manifest: 401 always", get: "401 Unauthorized", put: fine},
		{script: "GET manifest: 403", get: "403 Forbidden", put: fine},
		{script: "GET ping: 500 always", get: "500", put: "500"},
		{script: "PUT manifest: 500 always", put: "500 Internal Server Error"},
		{script: "POST upload: 403 always", put: "403 Forbidden"},
		{script: "PUT upload: 507 always", put: "507 Insufficient Storage"},
		{script: "PUT upload: 413 always", put: "413 Request Entity Too Large"},
		{script: "PUT manifest: 429 retry-after 1"},
		{c: registrytest.Config{ReadOnly: true}, put: "DENIED: this registry is read-only"},
		{c: registrytest.Config{User: "u", Password: "p"}, get: "401 Unauthorized", put: "401 Unauthorized"},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			old, fresh := result(t, "old", 1000), result(t, "new", 1000)
			s := registrytest.Start(t, tc.c)
			if !tc.c.ReadOnly {
				put(t, with(t, client(registry.Config{Keychain: login{tc.c.User, tc.c.Password}}), s.Host()+"/cache", cache.Options{}), old)
			}
			s.Script(tc.script)
			ctx := context.Background()
			place := with(t, client(registry.Config{Retry: registry.Retry{Wait: 1, Stall: 300e6}}), s.Host()+"/cache", cache.Options{})
			_, err := place.Get(ctx, old.Definition.Key())
			if tc.c.ReadOnly {
				if err != cache.ErrMiss {
					t.Errorf("get: %v", err)
				}
			} else if wrong(err, tc.get) || errors.Is(err, cache.ErrMiss) {
				t.Errorf("get: %v", err)
			}
			err = place.Put(ctx, fresh)
			if wrong(err, tc.put) {
				t.Errorf("put: %v", err)
			}
			var e *registry.Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("put: the error does not say which registry: %v", err)
			}
			if raw := s.Manifest("cache", string(fresh.Definition.Key())); (raw != nil) != (tc.put == "") {
				t.Errorf("manifest after %v: %s", err, raw)
			}
		})
	}
}

func wrong(err error, want string) bool {
	if want == "" {
		return err != nil
	}
	return err == nil || !strings.Contains(err.Error(), want)
}

// TestPut_order: nobody finds an entry before all of it is there.
func TestPut_order(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	put(t, in(t, s.Host()+"/cache", cache.Options{}), result(t, "a", 1000))
	got := s.Requests()
	if n := slices.IndexFunc(got, func(r string) bool { return strings.HasPrefix(r, "PUT manifest") }); n != len(got)-1 {
		t.Errorf("%q", got)
	}
}

// TestPut_manifest: what others read of an entry.
func TestPut_manifest(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 1000)
	r.Text = "RUN  make\n" + strings.Repeat("ä", 300)
	put(t, in(t, s.Host()+"/cache", cache.Options{}), r)
	var m v1.Manifest
	edit(t, s.Manifest("cache", string(r.Definition.Key())), func(got *v1.Manifest) { m = *got })
	l := r.Layer.(*fakeLayer)
	size := len(r.Definition) + len(l.raw) + len(readAll(t, r.Index))
	text := m.Annotations[cache.AnnotationText]
	delete(m.Annotations, cache.AnnotationText)
	for name, want := range map[string]string{
		cache.AnnotationKind: cache.KindEntry, cache.AnnotationKey: string(r.Definition.Key()),
		cache.AnnotationParent: string(r.Parent), cache.AnnotationLineage: r.Lineage,
		cache.AnnotationCreated: "2026-11-23T16:00:00Z", "org.opencontainers.image.created": "2026-11-23T16:00:00Z",
		cache.AnnotationSize: strconv.Itoa(size), cache.AnnotationDiffID: l.diffID.String(), cache.AnnotationTool: tool,
	} {
		if m.Annotations[name] != want {
			t.Errorf("%s is %q, want %q", name, m.Annotations[name], want)
		}
		delete(m.Annotations, name)
	}
	if len(m.Annotations) != 0 {
		t.Errorf("more annotations: %q", m.Annotations)
	}
	if !strings.HasPrefix(text, "RUN make ä") || len(text) > 200 || !strings.HasSuffix(text, "ä…") {
		t.Errorf("text %q", text)
	}
	if m.Config.MediaType != cache.DefinitionType || m.Config.Digest.String() != r.Definition.Key().Digest() || m.Layers[1].MediaType != cache.IndexType {
		t.Errorf("manifest %+v", m)
	}
	if config := s.Blob("cache", m.Config.Digest); !bytes.Equal(config, []byte(r.Definition)) {
		t.Errorf("config %q", config)
	}
}

// TestPut_largeIndex: an index that is too large is left out.
func TestPut_largeIndex(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	r := result(t, "a", 1000)
	r.Index = func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, 64<<20+1)), nil }
	place := in(t, s.Host()+"/cache", cache.Options{})
	put(t, place, r)
	if e := get(t, place, r.Definition.Key()); e.Index != nil {
		t.Error("there is an index")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
