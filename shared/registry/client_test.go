package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// quick is patience for tests.
var quick = registry.Retry{Wait: time.Millisecond, Stall: 2 * time.Second}

var linux = v1.Platform{OS: "linux", Architecture: "amd64"}

func client(t *testing.T, c registry.Config) *registry.Client {
	t.Helper()
	if c.Retry == (registry.Retry{}) {
		c.Retry = quick
	}
	return registry.New(c)
}

func image(t *testing.T, layers int, size int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, int64(layers))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func tag(t *testing.T, c *registry.Client, s string) name.Tag {
	t.Helper()
	got, err := c.Tag(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// seed puts an image into a server by another client.
func seed(t *testing.T, s *registrytest.Server, at string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(s.Host() + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	s.Forget()
}

func hash(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func layer(t *testing.T, img v1.Image, n int) v1.Layer {
	t.Helper()
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return ls[n]
}

// slow is a layer that is still being written: it knows its digest once the
// rest has been let through.
type slow struct {
	v1.Layer
	raw  []byte
	mu   sync.Mutex
	more *sync.Cond
	have int
	fail error
}

func newSlow(t *testing.T, l v1.Layer, have int) *slow {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{Layer: l, raw: raw, have: have}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *slow) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.have = len(s.raw)
	}
	s.fail = err
	s.more.Broadcast()
}

func (s *slow) Digest() (v1.Hash, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have < len(s.raw) {
		return v1.Hash{}, stream.ErrNotComputed
	}
	return s.Layer.Digest()
}

func (s *slow) Size() (int64, error) {
	if _, err := s.Digest(); err != nil {
		return 0, err
	}
	return s.Layer.Size()
}

func (s *slow) Compressed() (io.ReadCloser, error) { return &slowReader{s: s}, nil }

type slowReader struct {
	s      *slow
	off    int
	closed bool
}

func (r *slowReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for {
		switch {
		case r.closed:
			return 0, errors.New("read after close")
		case r.off < r.s.have:
			n := copy(p, r.s.raw[r.off:r.s.have])
			r.off += n
			return n, nil
		case r.s.fail != nil:
			return 0, r.s.fail
		case r.s.have == len(r.s.raw):
			return 0, io.EOF
		}
		r.s.more.Wait()
	}
}

func (r *slowReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.closed = true
	r.s.more.Broadcast()
	return nil
}

// TestFaults_pull: whatever happens on the way, a pull ends in the right bytes
// or in an error with a name.
func TestFaults_pull(t *testing.T) {
	const size = 300 << 10
	for _, tc := range []struct {
		script string
		c      registrytest.Config
		err    string // what it must say; empty for success
		code   int
	}{
		{script: ""},
		{script: "GET blob: cut at 1000 x3"},
		{script: "2nd GET blob: cut at 1000\n3rd GET blob: cut at 70000"},
		{script: "2nd GET blob: cut at 1000", c: registrytest.Config{NoRanges: true}},
		{script: "GET blob: reset x2"},
		{script: "GET blob: 503 x2"},
		{script: "GET manifest: 502 x3"},
		{script: "ping: 500"},
		{script: "429 retry-after 1"},
		{script: "GET blob: stall"},
		{script: "2nd GET blob: stall"},
		{script: "2nd GET blob: hang at 1000"},
		{script: "2nd GET blob: hang at 1000 always", err: "no answer within", code: 75},
		{script: "GET manifest: token expires", c: registrytest.Config{Token: true}},
		{script: "2nd GET blob: token expires", c: registrytest.Config{Token: true}},
		{script: "GET token: 503 x2", c: registrytest.Config{Token: true}},
		{script: "2nd GET blob: corrupt", err: "corrupt", code: 69},
		{script: "GET blob: corrupt", err: "corrupt", code: 69},
		{script: "GET blob: cut at 1000 always", err: "the connection broke 5 times", code: 75},
		{script: "GET blob: 503 always", err: "503 Service Unavailable: UNAVAILABLE: as the script says", code: 75},
		{script: "GET manifest: 404", err: "404 Not Found", code: 69},
		{script: "GET manifest: 403", err: "403 Forbidden: UNAVAILABLE: as the script says (repository base/img at ", code: 77},
		{script: "GET manifest: 429 always", err: "429 Too Many Requests", code: 75},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, tc.c)
			img := image(t, 2, size)
			seed(t, s, "base/img:1", img)
			s.Script(tc.script)
			retry := quick
			if strings.Contains(tc.script, "stall") || strings.Contains(tc.script, "hang") {
				retry.Stall = 100 * time.Millisecond
			}
			err := pullAll(client(t, registry.Config{Retry: retry}), s.Host()+"/base/img:1", img)
			if n := s.Unused(); n != 0 {
				t.Errorf("%d lines of the script were not used: %q", n, s.Requests())
			}
			check(t, err, tc.err, tc.code)
		})
	}
}

func pullAll(c *registry.Client, ref string, want v1.Image) error {
	got, err := c.Resolve(context.Background(), ref, linux)
	if err != nil {
		return err
	}
	wd, err := want.Digest()
	if err != nil {
		return err
	}
	if gd, _ := got.Digest(); gd != wd {
		return fmt.Errorf("pulled %s, not %s", gd, wd)
	}
	layers, err := got.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return validate.Image(got)
}

// check compares an error with what it should say and how the program should end.
func check(t *testing.T, err error, says string, code int) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Fatalf("got error %v, want one with %q", err, says)
	}
	var e *registry.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v has no name", err)
	}
	if got := e.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d (%v)", got, code, err)
	}
	if e.Host == "" || e.Repository == "" {
		t.Errorf("the error does not say where: %+v", e)
	}
}

// TestFaults_push: the same of pushes, of layers known and unfinished.
func TestFaults_push(t *testing.T) {
	for _, tc := range []struct {
		script string
		c      registrytest.Config
		err    string
		code   int
	}{
		{script: ""},
		{script: "", c: registrytest.Config{Token: true}},
		{script: "", c: registrytest.Config{User: "u", Password: "p"}},
		{script: "", c: registrytest.Config{User: "u", Password: "p", Token: true}},
		{script: "POST upload: 503 x2"},
		{script: "PUT upload: 503 x2"},
		{script: "PUT upload: cut at 100000 x2"},
		{script: "PUT upload: reset x2"},
		{script: "PUT manifest: 503 x2"},
		{script: "PUT manifest: reset"},
		{script: "HEAD blob: 500 x2"},
		{script: "429 retry-after 1"},
		{script: "PUT upload: token expires", c: registrytest.Config{Token: true}},
		{script: "2nd POST upload: token expires", c: registrytest.Config{Token: true}},
		{script: "PUT manifest: token expires", c: registrytest.Config{Token: true}},
		{script: "PUT upload: stall"},
		{script: "PUT manifest: stall"},
		{script: "POST upload: stall always", err: "no answer within 50ms", code: 75},
		{script: "PUT upload: 413", err: "413 Request Entity Too Large", code: 69},
		{script: "PUT upload: 503 always", err: "503", code: 75},
		{script: "PUT manifest: 400", err: "push ", code: 69},
		{script: "", c: registrytest.Config{ReadOnly: true}, err: "DENIED: this registry is read-only (repository app at ", code: 77},
	} {
		t.Run(fmt.Sprintf("%s%+v", tc.script, tc.c), func(t *testing.T) {
			t.Parallel()
			tc.c.Script = tc.script
			s := registrytest.Start(t, tc.c)
			retry := quick
			if strings.Contains(tc.script, "stall") {
				retry.Stall = 50 * time.Millisecond
			}
			c := client(t, registry.Config{Keychain: login{tc.c.User, tc.c.Password}, Retry: retry})
			img := image(t, 3, 200<<10)
			err := c.PushImage(context.Background(), tag(t, c, s.Host()+"/app:1"), img)
			if n := s.Unused(); n != 0 {
				t.Errorf("%d lines of the script were not used: %q", n, s.Requests())
			}
			check(t, err, tc.err, tc.code)
			if got := s.Manifest("app", "1"); tc.err == "" {
				if want, _ := img.RawManifest(); !bytes.Equal(got, want) {
					t.Errorf("the registry has %q", got)
				}
			} else if got != nil {
				t.Error("there is a manifest although the push failed")
			}
		})
	}
}

type login struct{ user, password string }

func (l login) Resolve(authn.Resource) (authn.Authenticator, error) {
	if l.user == "" {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: l.user, Password: l.password}, nil
}

// TestFaults_unfinished: a layer still being written arrives too, in one piece.
func TestFaults_unfinished(t *testing.T) {
	for _, tc := range []struct {
		script string
		c      registrytest.Config
		err    string
		code   int
	}{
		{script: ""},
		{script: "PATCH: 503 x2"},
		{script: "PATCH: cut at 1500000 x2"},
		{script: "PATCH: reset"},
		{script: "PUT upload: 503 x2"},
		{script: "PUT upload: reset"},
		{script: "POST upload: 503"},
		{script: "PATCH: stall"},
		{script: "PATCH: token expires", c: registrytest.Config{Token: true}},
		{script: "PUT upload: token expires", c: registrytest.Config{Token: true}},
		{script: "PATCH: 403", err: "403 Forbidden", code: 77},
	} {
		t.Run(tc.script, func(t *testing.T) {
			t.Parallel()
			tc.c.Script = tc.script
			s := registrytest.Start(t, tc.c)
			retry := quick
			if strings.Contains(tc.script, "stall") {
				retry.Stall = 50 * time.Millisecond
			}
			c := client(t, registry.Config{Retry: retry})
			whole := layer(t, image(t, 1, 2500<<10), 0)
			l := newSlow(t, whole, 2<<20)
			go func() {
				time.Sleep(50 * time.Millisecond)
				l.finish(nil)
			}()
			repo := tag(t, c, s.Host()+"/app").Context()
			err := c.PushLayer(context.Background(), repo, l)
			if n := s.Unused(); n != 0 {
				t.Errorf("%d lines of the script were not used: %q", n, s.Requests())
			}
			check(t, err, tc.err, tc.code)
			if tc.err == "" && !bytes.Equal(s.Blob("app", hash(t, whole)), l.raw) {
				t.Errorf("the layer did not arrive: %q", s.Requests())
			}
		})
	}
}

// TestPushLayer_beginsBeforeTheEnd: the upload starts while the layer is written.
func TestPushLayer_beginsBeforeTheEnd(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	moved := make(chan int64, 1000)
	c := client(t, registry.Config{Observe: func(ctx context.Context, kind, _ string, size int64) (context.Context, func(int64), func(error)) {
		if kind != "push" || size != -1 {
			t.Errorf("observed a %s of %d bytes", kind, size)
		}
		return ctx, func(n int64) { moved <- n }, func(error) {}
	}})
	l := newSlow(t, layer(t, image(t, 1, 4<<20), 0), 2<<20)
	done := make(chan error, 1)
	repo := tag(t, c, s.Host()+"/app").Context()
	go func() { done <- c.PushLayer(context.Background(), repo, l) }()
	var sum int64
	for sum < 2<<20 {
		select {
		case n := <-moved:
			sum += n
		case err := <-done:
			t.Fatalf("the push ended before the layer: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d bytes were sent before the end of the layer was there", sum)
		}
	}
	l.finish(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// Asked for once more, finished now, it is known to be there.
	s.Forget()
	if err := c.PushLayer(context.Background(), repo, l); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests(); len(got) != 0 {
		t.Errorf("a layer that was sent was asked about again: %q", got)
	}
}

// TestPushLayer_slowSource: a layer that takes its time is no silence of the registry's.
func TestPushLayer_slowSource(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{Retry: registry.Retry{Tries: 1, Stall: 50 * time.Millisecond}})
	l := newSlow(t, layer(t, image(t, 1, 2500<<10), 0), 2<<20)
	time.AfterFunc(time.Second, func() { l.finish(nil) })
	if err := c.PushLayer(context.Background(), tag(t, c, s.Host()+"/app").Context(), l); err != nil {
		t.Fatal(err)
	}
}

// TestPushLayer_shortUnfinished: a small layer is asked for before it is sent.
func TestPushLayer_shortUnfinished(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	img := image(t, 1, 10<<10)
	seed(t, s, "app:0", img)
	c := client(t, registry.Config{})
	l := newSlow(t, layer(t, img, 0), 5<<10)
	time.AfterFunc(20*time.Millisecond, func() { l.finish(nil) })
	if err := c.PushLayer(context.Background(), tag(t, c, s.Host()+"/app").Context(), l); err != nil {
		t.Fatal(err)
	}
	if n := s.Count("POST") + s.Count("PATCH") + s.Count("PUT"); n != 0 {
		t.Errorf("a layer that is there was sent: %q", s.Requests())
	}
}

// TestPushLayer_brokenSource: a layer that cannot be made is no fault of the registry.
func TestPushLayer_brokenSource(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{})
	l := newSlow(t, layer(t, image(t, 1, 4<<20), 0), 2<<20)
	boom := errors.New("disk on fire")
	time.AfterFunc(20*time.Millisecond, func() { l.finish(boom) })
	err := c.PushLayer(context.Background(), tag(t, c, s.Host()+"/app").Context(), l)
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want the layer's own error", err)
	}
	if n := s.Count("POST"); n != 1 {
		t.Errorf("%d uploads were begun for a layer that cannot be read", n)
	}
}

// TestPushLayer_cancelled: a push of a layer that never ends stops when told to.
func TestPushLayer_cancelled(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{})
	l := newSlow(t, layer(t, image(t, 1, 4<<20), 0), 2<<20)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := c.PushLayer(ctx, tag(t, c, s.Host()+"/app").Context(), l)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

// TestPush_once: a second push to the repository sends nothing again, and the
// registry is asked nothing again.
func TestPush_once(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Token: true})
	c := client(t, registry.Config{})
	ctx := context.Background()
	img := image(t, 3, 1000)
	one := tag(t, c, s.Host()+"/app:1")
	for range 2 {
		if err := c.CheckPush(ctx, one.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Count("POST"); n != 1 {
		t.Errorf("the permission was asked for %d times", n)
	}
	s.Forget()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := c.PushLayer(ctx, one.Context(), layer(t, img, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, n := range []string{"1", "2"} {
		if err := c.PushImage(ctx, tag(t, c, s.Host()+"/app:"+n), img); err != nil {
			t.Fatal(err)
		}
	}
	if up, head := s.Count("PUT upload"), s.Count("HEAD blob"); up != 4 || head != 4 {
		t.Errorf("%d uploads and %d questions for three layers and a config", up, head)
	}
	if n := s.Count("GET ping") + s.Count("GET token"); n != 0 {
		t.Errorf("the session was opened again: %q", s.Requests())
	}
}

// TestResolve_once: what a tag stands for is asked once in a build.
func TestResolve_once(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Token: true})
	c := client(t, registry.Config{})
	ctx := context.Background()
	img := image(t, 1, 1000)
	if err := c.PushImage(ctx, tag(t, c, s.Host()+"/app:1"), img); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := c.Resolve(ctx, s.Host()+"/app:1", linux); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := c.Open(ctx, s.Host()+"/app:1", hash(t, img)); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests(); s.Count("GET manifest") != 1 || s.Count("GET blob") != 1 || s.Count("GET token") != 1 || s.Count("GET ping") != 0 {
		t.Errorf("asked too much: %q", got)
	}
}

// TestPush_mount: a base layer in the same registry is mounted, not sent.
func TestPush_mount(t *testing.T) {
	for _, tc := range []struct {
		name   string
		c      registrytest.Config
		mounts int
		sent   int
	}{
		{"granted", registrytest.Config{Mounts: true}, 2, 2},
		{"granted with a token", registrytest.Config{Mounts: true, Token: true}, 2, 2},
		{"refused", registrytest.Config{Mounts: true, Script: "mount: refuse x2"}, 2, 4},
		{"forbidden", registrytest.Config{Mounts: true, Script: "mount: 403 x2"}, 2, 4},
		{"not offered", registrytest.Config{}, 2, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := registrytest.Start(t, tc.c)
			base := image(t, 2, 1000)
			seed(t, s, "library/base:1", base)
			s.Script(tc.c.Script)
			c := client(t, registry.Config{})
			ctx := context.Background()
			from, err := c.Resolve(ctx, s.Host()+"/library/base:1", linux)
			if err != nil {
				t.Fatal(err)
			}
			img, err := mutate.AppendLayers(from, layer(t, image(t, 1, 500), 0))
			if err != nil {
				t.Fatal(err)
			}
			s.Forget()
			if err := c.PushImage(ctx, tag(t, c, s.Host()+"/me/app:1"), img); err != nil {
				t.Fatal(err)
			}
			if m, u := s.Count("POST mount"), s.Count("PUT upload"); m != tc.mounts || u != tc.sent {
				t.Errorf("%d mounts, %d uploads; want %d, %d: %q", m, u, tc.mounts, tc.sent, s.Requests())
			}
			if pulled := s.Count("GET blob library/base"); (pulled > 0) != (tc.sent == 4) {
				t.Errorf("%d layers were pulled", pulled)
			}
			if s.Manifest("me/app", "1") == nil {
				t.Error("no manifest")
			}
		})
	}
}

// TestPush_sameRepository: a base of the repository pushed to needs no question.
func TestPush_sameRepository(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	seed(t, s, "app:base", image(t, 3, 1000))
	c := client(t, registry.Config{})
	from, err := c.Resolve(context.Background(), s.Host()+"/app:base", linux)
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	if err := c.PushImage(context.Background(), tag(t, c, s.Host()+"/app:2"), from); err != nil {
		t.Fatal(err)
	}
	if n := s.Count("HEAD blob"); n != 1 { // the config's
		t.Errorf("asked for %d blobs: %q", n, s.Requests())
	}
}

// TestPush_across: a base layer goes from one registry to another.
func TestPush_across(t *testing.T) {
	here, there := registrytest.Start(t, registrytest.Config{}), registrytest.Start(t, registrytest.Config{})
	img := image(t, 2, 100<<10)
	seed(t, here, "base:1", img)
	here.Script("2nd GET blob: cut at 5000")
	c := client(t, registry.Config{})
	from, err := c.Resolve(context.Background(), here.Host()+"/base:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushImage(context.Background(), tag(t, c, there.Host()+"/base:2"), from); err != nil {
		t.Fatal(err)
	}
	want, _ := img.RawManifest()
	if !bytes.Equal(there.Manifest("base", "2"), want) {
		t.Error("the manifest differs")
	}
	if there.Count("POST mount") != 0 {
		t.Error("a mount was asked for across registries")
	}
}

// TestPush_immutable: pushing what is there already succeeds, moving it does not.
func TestPush_immutable(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Immutable: true})
	img := image(t, 1, 1000)
	seed(t, s, "app:1", img)
	c := client(t, registry.Config{})
	to := tag(t, c, s.Host()+"/app:1")
	if err := c.PushImage(context.Background(), to, img); err != nil {
		t.Errorf("the same image again: %v", err)
	}
	if err := c.PushImage(context.Background(), to, image(t, 1, 1000)); err == nil {
		t.Error("the tag was moved")
	}
}

// TestPush_foreign: a layer that is kept elsewhere is read from there, and stays there.
func TestPush_foreign(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	l := layer(t, image(t, 1, 1000), 0)
	raw, err := io.ReadAll(must(l.Compressed()))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := registrytest.Start(t, registrytest.Config{})
	seed(t, elsewhere, "x:1", must(mutate.AppendLayers(empty.Image, l)))
	img, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer: l, MediaType: types.DockerForeignLayer,
		URLs: []string{"http://" + elsewhere.Host() + "/v2/x/blobs/" + hash(t, l).String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	seed(t, s, "win:1", img)
	c := client(t, registry.Config{})
	got, err := c.Resolve(context.Background(), s.Host()+"/win:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := io.ReadAll(must(layer(t, got, 0).Compressed()))
	if err != nil || !bytes.Equal(pulled, raw) {
		t.Fatalf("read %d bytes from where the manifest says, error %v", len(pulled), err)
	}
	if err := c.PushImage(context.Background(), tag(t, c, s.Host()+"/win2:1"), got); err != nil {
		t.Fatal(err)
	}
	if s.Blob("win2", hash(t, l)) != nil {
		t.Error("a layer that may not be distributed was pushed")
	}
	if !bytes.Contains(s.Manifest("win2", "1"), []byte(elsewhere.Host())) {
		t.Error("the layer's addresses are gone")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestErrors: what an error says, and what it advises.
func TestErrors(t *testing.T) {
	open := registrytest.Start(t, registrytest.Config{})
	closed := registrytest.Start(t, registrytest.Config{User: "u", Password: "p", Token: true})
	secure := registrytest.Start(t, registrytest.Config{TLS: true})
	for _, tc := range []struct {
		name, ref  string
		says, hint string
		code       int
		keys       authn.Keychain
	}{
		{"no such tag", open.Host() + "/app:9", "pull " + open.Host() + "/app:9: GET http://" + open.Host() + "/v2/app/manifests/9: 404 Not Found: MANIFEST_UNKNOWN: manifest unknown",
			"check the spelling", 69, nil},
		{"no credentials", closed.Host() + "/app:9", "UNAUTHORIZED", "put credentials for " + closed.Host(), 77, nil},
		{"wrong credentials", closed.Host() + "/app:9", "credentials from the moon", "came from the moon", 77, moon{}},
		{"unknown authority", secure.Host() + "/app:9", "certificate", "--skip-tls-verify-registry=" + secure.Host(), 69, nil},
		{"nobody there", "127.0.0.1:1/app:9", "connection refused", "nothing listens at 127.0.0.1:1", 69, nil},
		{"no such host", "registry.invalid/app:9", "registry.invalid", "DNS", 69, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := client(t, registry.Config{Keychain: tc.keys})
			_, err := c.Resolve(context.Background(), tc.ref, linux)
			check(t, err, tc.says, tc.code)
			var e *registry.Error
			if errors.As(err, &e); !strings.Contains(e.Hint(), tc.hint) {
				t.Errorf("hint %q, want one with %q", e.Hint(), tc.hint)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password in %q", err)
			}
		})
	}
	var bad *registry.ReferenceError
	if _, err := client(t, registry.Config{}).Resolve(context.Background(), "Not a name", linux); !errors.As(err, &bad) {
		t.Errorf("a name that is none: %v", err)
	}
}

// TestErrors_keychain: what is wrong with the credentials' file is said as such.
func TestErrors_keychain(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{Keychain: &keychain.Docker{Dirs: []string{dir}}})
	_, err := c.Resolve(context.Background(), s.Host()+"/app:1", linux)
	check(t, err, "pull "+s.Host()+"/app:1: read credentials from "+dir+"/config.json: line 1", 78)
	var e *registry.Error
	if errors.As(err, &e); !strings.Contains(e.Hint(), "docker login") {
		t.Errorf("hint %q", e.Hint())
	}
}

type moon struct{}

func (moon) Resolve(authn.Resource) (authn.Authenticator, error) { return moonAuth{}, nil }

type moonAuth struct{}

func (moonAuth) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{Username: "u", Password: "hunter2"}, nil
}
func (moonAuth) Source() string { return "the moon" }

// TestOptions: which registries may go without TLS, or with any certificate.
func TestOptions(t *testing.T) {
	secure := registrytest.Start(t, registrytest.Config{TLS: true})
	img := image(t, 1, 100)
	ctx := context.Background()
	for _, tc := range []struct {
		name       string
		o          registry.Options
		pull, push bool
	}{
		{"neither", registry.Options{}, false, false},
		{"push", registry.Options{SkipTLSVerify: true}, false, true},
		{"both", registry.Options{SkipTLSVerify: true, SkipTLSVerifyPull: true}, true, true},
		{"by name", registry.Options{SkipTLSVerifyRegistries: []string{"other:1", secure.Host()}}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := client(t, registry.Config{Options: tc.o})
			if err := c.PushImage(ctx, tag(t, c, secure.Host()+"/app:1"), img); (err == nil) != tc.push {
				t.Errorf("push: %v", err)
			}
			if !tc.push {
				return
			}
			if _, err := c.Resolve(ctx, secure.Host()+"/app:1", linux); (err == nil) != tc.pull {
				t.Errorf("pull: %v", err)
			}
		})
	}
	plain := registry.Options{InsecurePull: true, InsecureRegistries: []string{"docker.io"}}
	c := client(t, registry.Config{Options: plain})
	for ref, want := range map[string]string{"registry.example/a": "http", "127.0.0.1:5000/a": "http"} {
		if r := must(c.Reference(ref)); r.Context().Scheme() != want {
			t.Errorf("pull of %s by %s", ref, r.Context().Scheme())
		}
	}
	for ref, want := range map[string]string{"registry.example/a": "https", "a": "http", "localhost:5000/a": "http"} {
		if r := must(c.Tag(ref)); r.Scheme() != want {
			t.Errorf("push of %s by %s", ref, r.Scheme())
		}
	}
}

// TestWrap: every request passes the wrapper, and says who asks.
func TestWrap(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{Token: true})
	var mu sync.Mutex
	var agents []string
	c := client(t, registry.Config{UserAgent: "kaniko/9", Wrap: func(rt http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			agents = append(agents, r.Header.Get("User-Agent"))
			mu.Unlock()
			return rt.RoundTrip(r)
		})
	}})
	if err := c.PushImage(context.Background(), tag(t, c, s.Host()+"/app:1"), image(t, 1, 100)); err != nil {
		t.Fatal(err)
	}
	if want := len(s.Requests()); len(agents) < want {
		t.Errorf("saw %d of %d requests", len(agents), want)
	}
	for _, a := range agents {
		if !strings.HasPrefix(a, "kaniko/9 ") {
			t.Errorf("a request says it is from %q", a)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
