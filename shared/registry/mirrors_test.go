package registry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// warnings are what a client said.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestMirror_hub: an image of Docker Hub comes from the mirror, from below its prefix,
// under whichever name it is asked for; the hub is not asked.
func TestMirror_hub(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	img := image(t, 2, 1000)
	seed(t, s, "proxy/library/debian:12", img)
	seed(t, s, "proxy/alice/app:1", img)
	for _, ref := range []string{"debian:12", "docker.io/debian:12", "index.docker.io/library/debian:12", "alice/app:1", "debian@" + hash(t, img).String()} {
		for _, o := range []registry.Options{
			{Mirrors: []string{s.Host() + "/proxy"}}, {Maps: []string{"docker.io=" + s.Host() + "/proxy/"}},
			{Maps: []string{"index.docker.io=" + s.Host() + "/proxy"}}, {Maps: []string{"registry-1.docker.io=" + s.Host() + "/proxy"}},
		} {
			o.SkipFallback = true
			c := client(t, registry.Config{Options: o})
			if err := pullAll(c, ref, img); err != nil {
				t.Errorf("%s with %+v: %v", ref, o, err)
			}
			got, err := c.Resolve(context.Background(), ref, linux)
			if err != nil {
				t.Fatal(err)
			}
			if at := got.Ref().RegistryStr(); at != "index.docker.io" {
				t.Errorf("%s is said to be at %s", ref, at)
			}
			if h, err := c.Head(context.Background(), ref); err != nil || h != hash(t, img) {
				t.Errorf("head of %s: %v, %v", ref, h, err)
			}
		}
	}
}

// TestMirror_order: mirrors are asked in the order given, maps first; what is wrong with
// one is said once, and the next has the answer.
func TestMirror_order(t *testing.T) {
	img := image(t, 2, 1000)
	for _, tc := range []struct {
		name, script string
		c            registrytest.Config
		away         bool // nobody listens
	}{
		{name: "has it not"},
		{name: "refuses", c: registrytest.Config{User: "u", Password: "p"}},
		{name: "is overloaded", script: "429 retry-after 200 always"},
		{name: "is broken", script: "GET manifest: 503 always\nHEAD manifest: 503 always"},
		{name: "lies", script: "GET manifest: corrupt always\nHEAD manifest: 500 always"},
		{name: "is away", away: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			first, second, origin := registrytest.Start(t, tc.c), registrytest.Start(t, registrytest.Config{}), registrytest.Start(t, registrytest.Config{})
			if tc.name == "lies" {
				seed(t, first, "app:1", img)
			}
			first.Script(tc.script)
			seed(t, second, "p/app:1", img)
			seed(t, origin, "app:1", img)
			at := first.Host()
			if tc.away {
				at = closed(t)
			}
			var said warnings
			c := client(t, registry.Config{Warn: said.add, Options: registry.Options{
				Maps: []string{origin.Host() + "=" + at, origin.Host() + "=" + second.Host() + "/p"},
			}})
			ref := origin.Host() + "/app@" + hash(t, img).String()
			for range 2 {
				if err := pullAll(c, ref, img); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Head(context.Background(), origin.Host()+"/app:1"); err != nil {
					t.Fatal(err)
				}
			}
			if n := origin.Requests(); len(n) > 0 {
				t.Errorf("the registry itself was asked: %q", n)
			}
			if n := second.Count("GET blob"); n == 0 {
				t.Error("the second mirror was not asked for blobs")
			}
			if len(said.all) != 1 || !strings.Contains(said.all[0], at) || !strings.Contains(said.all[0], second.Host()) {
				t.Errorf("said %q", said.all)
			}
		})
	}
}

// TestMirror_blob: a layer that the mirror of the manifest has not got, or does not bring
// to its end, comes from the others, and from where the first stopped.
func TestMirror_blob(t *testing.T) {
	img := image(t, 2, 300<<10)
	for name, script := range map[string]string{
		"lost": "", "breaks": "2nd GET blob: cut at 1000 always", "refused": "2nd GET blob: 403 always",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirror, origin := registrytest.Start(t, registrytest.Config{}), registrytest.Start(t, registrytest.Config{})
			seed(t, mirror, "app:1", img)
			seed(t, origin, "app:1", img)
			mirror.Script(script)
			if name == "lost" {
				mirror.Lose("app", hash(t, layer(t, img, 1)))
			}
			var said warnings
			c := client(t, registry.Config{Warn: said.add, Options: registry.Options{Maps: []string{origin.Host() + "=" + mirror.Host()}}})
			if err := pullAll(c, origin.Host()+"/app:1", img); err != nil {
				t.Fatal(err)
			}
			if len(said.all) != 1 {
				t.Errorf("said %q", said.all)
			}
			if origin.Count("GET manifest") != 0 || origin.Count("GET blob") == 0 {
				t.Errorf("the registry itself was asked %q", origin.Requests())
			}
			c = client(t, registry.Config{Options: registry.Options{SkipFallback: true, Maps: []string{origin.Host() + "=" + mirror.Host()}}})
			if err := pullAll(c, origin.Host()+"/app:1", img); err == nil || !strings.Contains(err.Error(), mirror.Host()) {
				t.Errorf("without the registry itself: %v", err)
			}
		})
	}
}

// TestMirror_none: where nobody has it, each is named with its reason, and the last one
// decides what kind of error it is. --skip-default-registry-fallback leaves out the
// registry itself.
func TestMirror_none(t *testing.T) {
	origin := registrytest.Start(t, registrytest.Config{User: "u", Password: "p"})
	empty := registrytest.Start(t, registrytest.Config{})
	away := closed(t)
	o := registry.Options{Maps: []string{origin.Host() + "=" + away + "/x", origin.Host() + "=" + empty.Host()}}
	_, err := client(t, registry.Config{Options: o}).Resolve(context.Background(), origin.Host()+"/app:1", linux)
	check(t, err, origin.Host()+"/app: ", 77)
	for _, want := range []string{
		"pull " + origin.Host() + "/app:1: ", away + "/x/app: ", "connection refused", empty.Host() + "/app: ", "404 Not Found",
		"401 Unauthorized", "scope repository:app:pull; no credentials",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	origin.Forget()
	o.SkipFallback = true
	c := client(t, registry.Config{Options: o})
	_, err = c.Resolve(context.Background(), origin.Host()+"/app:1", linux)
	check(t, err, "404 Not Found", 69)
	if !errors.Is(err, registry.ErrNotFound) || strings.Contains(err.Error(), "401") {
		t.Errorf("got %v", err)
	}
	if _, err = c.Head(context.Background(), origin.Host()+"/app:1"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("head: %v", err)
	}
	if n := origin.Requests(); len(n) > 0 {
		t.Errorf("the registry itself was asked: %q", n)
	}
}

// byPlace is a keychain of one password for a host and the repositories below a path.
type byPlace struct{ place, user, password string }

func (b byPlace) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if strings.HasPrefix(r.String(), b.place) {
		return authn.FromConfig(authn.AuthConfig{Username: b.user, Password: b.password}), nil
	}
	return authn.Anonymous, nil
}

// TestMirror_credentials: a mirror is shown the credentials of its own host and path, and
// none of the registry that it stands for.
func TestMirror_credentials(t *testing.T) {
	for name, token := range map[string]bool{"basic": false, "token": true} {
		t.Run(name, func(t *testing.T) {
			mirror := registrytest.Start(t, registrytest.Config{User: "u", Password: "p", Token: token})
			open := registrytest.Start(t, registrytest.Config{})
			img := image(t, 1, 1000)
			seed(t, open, "proxy/library/debian:12", img)
			c := client(t, registry.Config{Keychain: byPlace{mirror.Host() + "/proxy", "u", "p"}})
			if err := c.PushImage(context.Background(), tag(t, c, mirror.Host()+"/proxy/library/debian:12"), img); err != nil {
				t.Fatal(err)
			}
			o := registry.Options{Mirrors: []string{mirror.Host() + "/proxy"}, SkipFallback: true}
			if err := pullAll(client(t, registry.Config{Options: o, Keychain: byPlace{mirror.Host() + "/proxy/", "u", "p"}}), "debian:12", img); err != nil {
				t.Error(err)
			}
			err := pullAll(client(t, registry.Config{Options: o, Keychain: byPlace{"index.docker.io", "u", "p"}}), "debian:12", img)
			check(t, err, "401 Unauthorized", 77)
		})
	}
}

// TestMirror_pullsOnly: pushes, and what a layer cache asks for, go to the registry itself.
func TestMirror_pullsOnly(t *testing.T) {
	ctx := context.Background()
	mirror, origin := registrytest.Start(t, registrytest.Config{}), registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{Options: registry.Options{Maps: []string{origin.Host() + "=" + mirror.Host()}}})
	img := image(t, 1, 1000)
	ref := tag(t, c, origin.Host()+"/app:1")
	if err := c.CheckPush(ctx, ref.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(ctx, ref, img); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Manifest(ctx, ref, 1<<20); err != nil {
		t.Error(err)
	}
	h := hash(t, layer(t, img, 0))
	if _, err := c.Blob(ctx, ref.Context(), h, 1<<20); err != nil {
		t.Error(err)
	}
	size, err := layer(t, img, 0).Size()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Layer(ctx, ref.Context(), v1.Descriptor{Digest: h, Size: size}, v1.Hash{}).Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	if n := mirror.Requests(); len(n) > 0 {
		t.Errorf("the mirror was asked %q", n)
	}
}

// TestMirror_scheme: whether plain HTTP is spoken, and whose certificate is not looked
// at, goes by the mirror's host.
func TestMirror_scheme(t *testing.T) {
	img := image(t, 1, 1000)
	secure := registrytest.Start(t, registrytest.Config{TLS: true})
	c := client(t, registry.Config{Options: registry.Options{SkipTLSVerify: true}})
	if err := c.PushImage(context.Background(), tag(t, c, secure.Host()+"/library/debian:12"), img); err != nil {
		t.Fatal(err)
	}
	o := registry.Options{Mirrors: []string{secure.Host()}, SkipFallback: true}
	err := pullAll(client(t, registry.Config{Options: o}), "debian:12", img)
	check(t, err, "certificate", 69)
	o.SkipTLSVerifyRegistries = []string{"docker.io"}
	err = pullAll(client(t, registry.Config{Options: o}), "debian:12", img)
	check(t, err, "certificate", 69)
	o.SkipTLSVerifyRegistries = []string{secure.Host()}
	if err := pullAll(client(t, registry.Config{Options: o}), "debian:12", img); err != nil {
		t.Error(err)
	}
}

// TestMirror_real: Docker's own registry as the mirror of another, and nginx as one that
// has all below a prefix.
func TestMirror_real(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			origin := start(t, registrytest.RealConfig{})
			img := image(t, 3, 100<<10)
			c := client(t, registry.Config{})
			if err := c.PushImage(context.Background(), tag(t, c, origin+"/library/debian:12"), img); err != nil {
				t.Fatal(err)
			}
			through := start(t, registrytest.RealConfig{Mirrors: "http://" + origin})
			below := registrytest.Nginx(t, `
				location = /v2/ { return 200; }
				location /v2/hub/ { proxy_pass http://`+origin+`/v2/; }`)
			for _, at := range []string{through, below + "/hub"} {
				for _, ref := range []string{"debian:12", "debian@" + hash(t, img).String()} {
					c := client(t, registry.Config{Options: registry.Options{Mirrors: []string{at}, SkipFallback: true}})
					if err := pullAll(c, ref, img); err != nil {
						t.Errorf("%s from %s: %v", ref, at, err)
					}
				}
			}
			c = client(t, registry.Config{Options: registry.Options{Mirrors: []string{below + "/other"}, SkipFallback: true}})
			if err := pullAll(c, "debian:12", img); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("below another prefix: %v", err)
			}
		})
	}
}

// TestMirror_slow: one that takes connections and says nothing is not waited for as
// often as a registry that there is no other of.
func TestMirror_slow(t *testing.T) {
	img := image(t, 1, 1000)
	mirror, origin := registrytest.Start(t, registrytest.Config{Script: "stall always"}), registrytest.Start(t, registrytest.Config{})
	seed(t, origin, "app:1", img)
	c := client(t, registry.Config{
		Retry:   registry.Retry{Tries: 5, Wait: time.Millisecond, Stall: 50 * time.Millisecond},
		Options: registry.Options{Maps: []string{origin.Host() + "=" + mirror.Host()}},
	})
	if err := pullAll(c, origin.Host()+"/app:1", img); err != nil {
		t.Fatal(err)
	}
	if n := len(mirror.Requests()); n > 4 {
		t.Errorf("asked %d times: %q", n, mirror.Requests())
	}
}
