package base_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

var arm = v1.Platform{OS: "linux", Architecture: "arm64"}

// tarLayer is a layer with one file beside the accounts.
func tarLayer(t *testing.T, file, content string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range [][2]string{{"etc/passwd", "root:x:0:0::/root:/bin/sh\n"}, {file, content}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f[0], Size: int64(len(f[1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// makeImage is an image for a platform with a layer for each content.
func makeImage(t *testing.T, p v1.Platform, contents ...string) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	var err error
	for n, c := range contents {
		if img, err = mutate.AppendLayers(img, tarLayer(t, fmt.Sprintf("file%d", n), c)); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// makeIndex is an index of an image for linux and, unless it is nil, one for arm.
func makeIndex(forLinux, forArm v1.Image) v1.ImageIndex {
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: forLinux, Descriptor: v1.Descriptor{Platform: linux.DeepCopy()}})
	if forArm != nil {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: forArm, Descriptor: v1.Descriptor{Platform: arm.DeepCopy()}})
	}
	return index
}

func seedIndex(t *testing.T, s *registrytest.Server, at string, index v1.ImageIndex) {
	t.Helper()
	ref, err := name.ParseReference(s.Host() + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
}

// shop is a registry, and a store with a cache in front of it.
type shop struct {
	server *registrytest.Server
	client *registry.Client
	store  *base.Store
	cached *base.Cached
	warned []string
	now    time.Time
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{server: registrytest.Start(t, registrytest.Config{}), now: time.Now()}
	var err error
	if s.store, err = base.CreateStore(filepath.Join(t.TempDir(), "cache")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.restart(t)
	return s
}

// restart is a new process: nothing is remembered.
func (s *shop) restart(t *testing.T) {
	t.Helper()
	s.client = registry.New(registry.Config{Retry: registry.Retry{Tries: 2, Wait: time.Millisecond, Stall: 10 * time.Second}})
	dir, err := base.Open(t.Context(), t.TempDir(), s.client, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	s.warned = nil
	s.cached = &base.Cached{
		Store: s.store, Next: dir,
		Now:  func() time.Time { return s.now },
		Warn: func(text string) { s.warned = append(s.warned, text) },
	}
	s.server.Forget()
}

// add warms an image.
func (s *shop) add(t *testing.T, at string, p v1.Platform) {
	t.Helper()
	if err := s.tryAdd(t.Context(), at, p); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
}

func (s *shop) tryAdd(ctx context.Context, at string, p v1.Platform) error {
	ref := s.server.Host() + "/" + at
	img, err := s.client.Resolve(ctx, ref, p)
	if err != nil {
		return err
	}
	release, err := s.store.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, l := range img.Blobs() {
		if err := s.store.AddLayer(ctx, l, false); err != nil {
			return err
		}
	}
	r, err := s.client.Reference(ref)
	if err != nil {
		return err
	}
	return s.store.AddImage(ctx, r, p, img, s.now)
}

// get resolves and opens an image, and reads all of it.
func (s *shop) get(t *testing.T, at string, p v1.Platform) (v1.Image, error) {
	t.Helper()
	resolved, err := s.cached.Resolve(t.Context(), s.server.Host()+"/"+at, p)
	if err != nil {
		return nil, err
	}
	img, err := s.cached.Image(t.Context(), resolved)
	if err != nil {
		return nil, err
	}
	return img, validate.Image(img)
}

func (s *shop) mustGet(t *testing.T, at string, p v1.Platform, want v1.Image) v1.Image {
	t.Helper()
	img, err := s.get(t, at, p)
	if err != nil {
		t.Fatal(err)
	}
	if got, wanted := digest(t, img), digest(t, want); got != wanted {
		t.Fatalf("%s is %s, want %s", at, got, wanted)
	}
	return img
}

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	h, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func layersOf(t *testing.T, img v1.Image) []v1.Layer {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	return layers
}

func (s *shop) blob(h v1.Hash) string {
	return filepath.Join(s.store.Path(), "blobs", "sha256", h.Hex)
}

// damage changes one byte in the middle of a file, or cuts it off.
func damage(t *testing.T, file string, cut bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if cut {
		data = data[:len(data)/2]
	}
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestCached_tag(t *testing.T) {
	s := open(t)
	img := makeImage(t, linux, "one", "two")
	seed(t, s.server, "app:1", img)
	s.add(t, "app:1", linux)
	got := s.mustGet(t, "app:1", linux, img)
	if asked := slices.DeleteFunc(s.server.Requests(), isPing); !slices.Equal(asked, []string{"HEAD manifest app 200"}) {
		t.Errorf("asked %q", asked)
	}
	for n, l := range layersOf(t, got) {
		at, ok := layer.As[registry.Located](l)
		if want := s.server.Host() + "/app@" + digest(t, l).String(); !ok || at.Ref().Name() != want {
			t.Errorf("layer %d is at %v, want %s", n, at, want)
		}
		indexed, ok := layer.As[layer.Indexed](l)
		if !ok {
			t.Fatal("a layer has no index")
		}
		changes, ok := indexed.Index()
		if !ok {
			t.Fatal("the index is not there")
		}
		var paths []tree.Path
		for c, err := range changes {
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, c.Path)
		}
		if want := []tree.Path{"etc/passwd", tree.Path(fmt.Sprintf("file%d", n))}; !slices.Equal(paths, want) {
			t.Errorf("the index has %q, want %q", paths, want)
		}
	}

	// The tag moves: nothing old is taken, and what the new image shares is not fetched.
	moved := makeImage(t, linux, "one", "three")
	seed(t, s.server, "app:1", moved)
	s.restart(t)
	s.mustGet(t, "app:1", linux, moved)
	s.restart(t)
	if err := s.tryAdd(t.Context(), "app:1", linux); err != nil {
		t.Fatal(err)
	}
	if n := s.server.Count("GET blob"); n != 2 { // the config, a layer
		t.Errorf("%d blobs were fetched: %q", n, s.server.Requests())
	}
	s.restart(t)
	s.mustGet(t, "app:1", linux, moved)
	s.cached.Offline = true
	s.mustGet(t, "app@"+digest(t, img).String(), linux, img)
	if len(s.warned) > 0 {
		t.Errorf("warned: %q", s.warned)
	}
}

func isPing(r string) bool { return strings.Contains(r, " ping ") }

func TestCached_platforms(t *testing.T) {
	s := open(t)
	forLinux, forArm := makeImage(t, linux, "amd"), makeImage(t, arm, "arm")
	index := makeIndex(forLinux, forArm)
	seedIndex(t, s.server, "app:1", index)
	s.add(t, "app:1", linux)
	for _, at := range []string{"app:1", "app@" + digest(t, index).String(), "app:2@" + digest(t, index).String(), "app@" + digest(t, forLinux).String()} {
		s.restart(t)
		s.mustGet(t, at, linux, forLinux)
		if n := s.server.Count("GET"); at != "app:1" && n != 0 {
			t.Errorf("%s: asked %q", at, s.server.Requests())
		}
		s.mustGet(t, at, v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}, forLinux)
		if n := s.server.Count("GET manifest") + s.server.Count("GET blob"); n != 0 {
			t.Errorf("%s: asked %q", at, s.server.Requests())
		}
		s.cached.Offline = true
		s.mustGet(t, at, linux, forLinux)
		if strings.HasSuffix(at, digest(t, forLinux).Hex) {
			continue
		}
		_, err := s.get(t, at, arm)
		var missing *base.MissingError
		if !errors.As(err, &missing) || !strings.Contains(missing.Hint(), "--platform=linux/arm64") || !strings.Contains(missing.Hint(), at) {
			t.Errorf("%s for another platform: %v", at, err)
		}
		s.cached.Offline = false
		s.mustGet(t, at, arm, forArm)
	}
	s.add(t, "app:1", arm)
	s.cached.Offline = true
	s.mustGet(t, "app:1", arm, forArm)
	s.mustGet(t, "app:1", linux, forLinux)
	if len(s.server.Requests()) > 0 {
		t.Errorf("asked %q", s.server.Requests())
	}
}

func TestCached_offline(t *testing.T) {
	s := open(t)
	s.cached.Offline = true
	_, err := s.get(t, "app:1", linux)
	var missing *base.MissingError
	want := fmt.Sprintf("%s/app:1 for linux/amd64 is not in %s", s.server.Host(), s.store.Path())
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), want) || missing.ExitCode() != 69 {
		t.Errorf("what is not there: %v", err)
	}
	img := makeImage(t, linux, "one")
	if _, err := s.cached.Image(t.Context(), &plan.Image{Ref: "app", Digest: digest(t, img)}); !errors.As(err, &missing) {
		t.Errorf("an image that is not there: %v", err)
	}
	if len(s.server.Requests()) > 0 {
		t.Errorf("asked %q", s.server.Requests())
	}
}

func TestCached_maxAge(t *testing.T) {
	s := open(t)
	img := makeImage(t, linux, "one")
	seed(t, s.server, "app:1", img)
	s.add(t, "app:1", linux)
	seed(t, s.server, "app:1", makeImage(t, linux, "two"))
	s.restart(t)
	s.cached.MaxAge = time.Hour
	s.now = s.now.Add(59 * time.Minute)
	s.mustGet(t, "app:1", linux, img)
	if len(s.server.Requests()) > 0 {
		t.Errorf("asked %q", s.server.Requests())
	}
	s.now = s.now.Add(time.Minute)
	if got, err := s.get(t, "app:1", linux); err != nil || digest(t, got) == digest(t, img) {
		t.Errorf("after an hour the old image was taken (%v)", err)
	}
}

func TestCached_staleIfError(t *testing.T) {
	for script, stale := range map[string]bool{
		"manifest: 503 always":     true,
		"manifest: 429 always":     true,
		"manifest: reset always":   true,
		"ping: 502 always":         true,
		"manifest: 404 always":     false,
		"manifest: 403 always":     false,
		"manifest: 401 always":     false,
		"HEAD manifest: 405 x1":    false, // but the image is got otherwise
		"GET manifest: 503 always": false, // not needed
	} {
		t.Run(script, func(t *testing.T) {
			s := open(t)
			img := makeImage(t, linux, "one")
			seed(t, s.server, "app:1", img)
			s.add(t, "app:1", linux)
			s.server.Script(strings.ReplaceAll(script, "reset always", "reset x99"))
			s.now = s.now.Add(90 * time.Minute)
			works := strings.HasPrefix(script, "HEAD") || strings.HasPrefix(script, "GET")
			if _, err := s.get(t, "app:1", linux); err == nil != works {
				t.Errorf("without the option: %v", err)
			}
			s.cached.StaleIfError = true
			_, err := s.get(t, "app:1", linux)
			if err == nil != (stale || works) {
				t.Errorf("with the option: %v", err)
			}
			if told := strings.Join(s.warned, "\n"); strings.Contains(told, "1h30m0s ago") != stale {
				t.Errorf("warned: %q", told)
			}
		})
	}
}

func TestCached_damaged(t *testing.T) {
	for _, cut := range []bool{false, true} {
		for what, file := range map[string]func(*shop, v1.Image) string{
			"layer": func(s *shop, img v1.Image) string { return s.blob(digest(t, layersOf(t, img)[1])) },
			"config": func(s *shop, img v1.Image) string {
				h, err := img.ConfigName()
				if err != nil {
					t.Fatal(err)
				}
				return s.blob(h)
			},
			"manifest": func(s *shop, img v1.Image) string { return s.blob(digest(t, img)) },
			"ref": func(s *shop, img v1.Image) string {
				return filepath.Join(s.store.Path(), "refs", "digest", digest(t, img).Hex)
			},
		} {
			t.Run(fmt.Sprintf("%s cut %v", what, cut), func(t *testing.T) {
				s := open(t)
				img := makeImage(t, linux, "one", strings.Repeat("two", 10000))
				seed(t, s.server, "app:1", img)
				s.add(t, "app:1", linux)
				damage(t, file(s, img), cut)
				s.mustGet(t, "app:1", linux, img)
				if len(s.warned) == 0 {
					t.Error("nobody was told")
				}
				s.restart(t)
				s.mustGet(t, "app:1", linux, img)
				s.cached.Offline = true
				if _, err := s.get(t, "app:1", linux); err == nil {
					t.Error("offline: no error")
				}
				s.add(t, "app:1", linux)
				s.cached.Offline = true
				s.mustGet(t, "app:1", linux, img)
			})
		}
	}
}

// An index that is damaged costs no more than reading the layer.
func TestCached_damagedIndex(t *testing.T) {
	s := open(t)
	img := makeImage(t, linux, "one")
	seed(t, s.server, "app:1", img)
	s.add(t, "app:1", linux)
	keep := map[string]bool{digest(t, img).Hex: true, digest(t, layersOf(t, img)[0]).Hex: true}
	if h, err := img.ConfigName(); err == nil {
		keep[h.Hex] = true
	}
	entries, err := os.ReadDir(filepath.Join(s.store.Path(), "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			damage(t, filepath.Join(s.store.Path(), "blobs", "sha256", e.Name()), false)
		}
	}
	got := s.mustGet(t, "app:1", linux, img)
	n := 0
	for _, err := range layer.Metadata(layersOf(t, got)[0]) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d changes", n)
	}
	if _, ok := layersOf(t, got)[0].(layer.Indexed).Index(); ok {
		t.Error("the damaged index was taken")
	}
	s.add(t, "app:1", linux)
	got = s.mustGet(t, "app:1", linux, img)
	if _, ok := layersOf(t, got)[0].(layer.Indexed).Index(); !ok {
		t.Error("the index was not made again")
	}
	if n := s.server.Count("GET blob"); n != 0 {
		t.Errorf("asked %q", s.server.Requests())
	}
}

// What is no tar archive is kept all the same, and has no index.
func TestStore_otherLayers(t *testing.T) {
	s := open(t)
	img, err := mutate.AppendLayers(empty.Image, &encrypted{tarLayer(t, "f", "x")})
	if err != nil {
		t.Fatal(err)
	}
	seed(t, s.server, "app:1", img)
	s.add(t, "app:1", linux)
	resolved, err := s.cached.Resolve(t.Context(), s.server.Host()+"/app:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.cached.Image(t.Context(), resolved)
	if err != nil {
		t.Fatal(err)
	}
	l := layersOf(t, got)[0]
	if _, ok := l.(layer.Indexed).Index(); ok || string(content(t, l)) != secret {
		t.Error("it has an index, or another content")
	}
}

const secret = "\x1f\x8bnothing that anybody can unpack"

type encrypted struct{ v1.Layer }

func (*encrypted) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(secret)), nil
}
func (*encrypted) Size() (int64, error) { return int64(len(secret)), nil }
func (*encrypted) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(strings.NewReader(secret))
	return h, err
}

// kanikoEntry writes an image as kaniko's warmer did.
func kanikoEntry(t *testing.T, dir string, img v1.Image, withManifest bool) string {
	t.Helper()
	path := filepath.Join(dir, digest(t, img).String())
	tag, err := name.NewTag("temp/kaniko:x")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		t.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err == nil && withManifest {
		err = os.WriteFile(path+".json", raw, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCached_kanikoLayout(t *testing.T) {
	for name, withManifest := range map[string]bool{"with the manifest": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			img := makeImage(t, linux, "one", "two")
			other := makeImage(t, arm, "arm")
			seed(t, s.server, "app:1", img)
			seedIndex(t, s.server, "app:all", makeIndex(img, other))
			kanikoEntry(t, s.store.Path(), img, withManifest)
			for at, asked := range map[string][]string{
				"app@" + digest(t, img).String(): nil,
				"app:1":                          {"HEAD manifest app 200"},
			} {
				s.restart(t)
				got := s.mustGet(t, at, linux, img)
				if r := slices.DeleteFunc(s.server.Requests(), isPing); !slices.Equal(r, asked) {
					t.Errorf("%s: asked %q", at, r)
				}
				if _, ok := layer.As[registry.Located](layersOf(t, got)[0]); !ok {
					t.Error("a layer is nowhere")
				}
			}
			s.restart(t)
			s.mustGet(t, "app:all", linux, img)
			if n := s.server.Count("GET blob"); n != 1 { // the config
				t.Errorf("asked %q", s.server.Requests())
			}
			s.restart(t)
			s.cached.Offline = true
			s.mustGet(t, "app@"+digest(t, img).String(), linux, img)
		})
	}
}

func TestCached_kanikoLayoutDamaged(t *testing.T) {
	big := make([]string, 3)
	for i := range big {
		var b strings.Builder
		for n := range 5000 {
			fmt.Fprint(&b, n*n*(i+7)%9973)
		}
		big[i] = b.String()
	}
	for name, spoil := range map[string]func(path string) error{
		"cut off":       func(path string) error { return os.Truncate(path, 3000) },
		"empty":         func(path string) error { return os.Truncate(path, 0) },
		"bit":           func(path string) error { damage(t, path, false); return nil },
		"manifest":      func(path string) error { damage(t, path+".json", false); return nil },
		"manifest gone": func(path string) error { return os.Truncate(path+".json", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			img := makeImage(t, linux, big...)
			seed(t, s.server, "app:1", img)
			path := kanikoEntry(t, s.store.Path(), img, true)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			s.mustGet(t, "app:1", linux, img)
			if len(s.warned) == 0 {
				t.Error("nobody was told")
			}
			s.cached.Offline = true
			if _, err := s.get(t, "app@"+digest(t, img).String(), linux); err == nil {
				t.Error("offline: no error")
			}
		})
	}
}

func TestStore_refresh(t *testing.T) {
	s := open(t)
	img := makeImage(t, linux, "one")
	seed(t, s.server, "app:1", img)
	s.add(t, "app:1", linux)
	ref, err := s.cached.Reference(s.server.Host() + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.store.Record(ref, linux)
	if err != nil || rec.Digest != digest(t, img) || rec.Root != rec.Digest || !rec.Resolved.Equal(s.now) {
		t.Fatalf("record %+v, %v", rec, err)
	}
	later := s.now.Add(time.Hour)
	if err := s.store.Refresh(t.Context(), ref, rec, later); err != nil {
		t.Fatal(err)
	}
	if rec, err = s.store.Record(ref, linux); err != nil || !rec.Resolved.Equal(later) || rec.Digest != digest(t, img) {
		t.Errorf("record %+v, %v", rec, err)
	}
	if _, err := s.store.Record(ref, arm); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("record of another platform: %v", err)
	}
	s.cached.Offline = true
	s.mustGet(t, "app:1", linux, img)
}

func TestStore_evict(t *testing.T) {
	s := open(t)
	noise := func(seed int) string {
		var b strings.Builder
		for n := range 20000 {
			fmt.Fprint(&b, n*n*(seed+3)%10007)
		}
		return b.String()
	}
	shared := noise(1)
	images := map[string]v1.Image{}
	for n, tag := range []string{"a", "b", "c"} {
		images[tag] = makeImage(t, linux, shared, noise(n+10))
		seed(t, s.server, "app:"+tag, images[tag])
		s.add(t, "app:"+tag, linux)
	}
	use := func(tag string, ago time.Duration) {
		for _, name := range []string{"digest/" + digest(t, images[tag]).Hex, "base/" + strings.ReplaceAll(strings.ReplaceAll(s.server.Host(), ":", "%3a"), "/", ",") + ",app%3a" + tag + "/linux,amd64"} {
			at := s.now.Add(-ago)
			if err := os.Chtimes(filepath.Join(s.store.Path(), "refs", name), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	use("a", time.Hour)
	use("b", 3*time.Hour)
	use("c", 2*time.Hour)
	total := int64(0)
	for _, l := range append(layersOf(t, images["a"]), layersOf(t, images["b"])[1], layersOf(t, images["c"])[1]) {
		size, err := l.Size()
		if err != nil {
			t.Fatal(err)
		}
		total += size
	}
	later := s.now.Add(time.Minute)
	evict := func(r base.Retention) []v1.Hash {
		t.Helper()
		out, err := s.store.Evict(t.Context(), r, later)
		if err != nil {
			t.Fatal(err)
		}
		return out.Images
	}
	if got := evict(base.Retention{}); len(got) > 0 {
		t.Errorf("evicted %v without a reason", got)
	}
	if got := evict(base.Retention{MaxBytes: 2 * total}); len(got) > 0 {
		t.Errorf("evicted %v although there is room", got)
	}
	if got := evict(base.Retention{MaxBytes: total * 9 / 10}); !slices.Equal(got, []v1.Hash{digest(t, images["b"])}) {
		t.Errorf("evicted %v, want b", got)
	}
	s.cached.Offline = true
	for tag, there := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, err := s.get(t, "app:"+tag, linux); err == nil != there {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if got := evict(base.Retention{MaxBytes: 1, Keep: map[v1.Hash]bool{digest(t, images["c"]): true}}); !slices.Equal(got, []v1.Hash{digest(t, images["a"])}) {
		t.Errorf("evicted %v, want a", got)
	}
	s.mustGet(t, "app:c", linux, images["c"])
	out, err := s.store.Evict(t.Context(), base.Retention{MaxBytes: 1}, later)
	if err != nil || len(out.Images) != 1 || out.Over != 0 {
		t.Errorf("evicted %+v, %v", out, err)
	}
	left, err := os.ReadDir(filepath.Join(s.store.Path(), "blobs", "sha256"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := s.store.Export(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStore_remove: what is named goes, unless it was used since, and takes nothing along
// that others need.
func TestStore_remove(t *testing.T) {
	s := open(t)
	shared := makeImage(t, linux, "shared")
	for _, tag := range []string{"app:a", "app:b"} {
		seed(t, s.server, tag, shared)
		s.add(t, tag, linux)
	}
	other := makeImage(t, linux, "other")
	seed(t, s.server, "lib:1", other)
	s.add(t, "lib:1", linux)
	images, err := s.store.Images()
	if err != nil || len(images) != 2 {
		t.Fatalf("there are %d images, %v", len(images), err)
	}
	at := slices.IndexFunc(images, func(h base.Held) bool { return h.Digest == digest(t, shared) })
	one := images[at]
	if want := []string{s.server.Host() + "/app:a", s.server.Host() + "/app:b"}; !slices.Equal(one.Names, want) || len(one.Refs) != 3 || one.Warmed.IsZero() || one.Used.IsZero() || len(one.Blobs) < 3 {
		t.Errorf("it is %+v", one)
	}
	for _, ref := range one.Refs {
		if h, err := s.store.Lookup(ref); err != nil || h != one.Digest {
			t.Errorf("%s leads to %s, %v", ref, h, err)
		}
	}
	remove := func(until time.Time) int {
		t.Helper()
		out, err := s.store.Remove(t.Context(), map[v1.Hash]time.Time{one.Digest: until}, 0, s.now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Images)
	}
	if n := remove(one.Used.Add(-time.Second)); n != 0 {
		t.Error("it was removed, although used since")
	}
	if n := remove(one.Used); n != 1 {
		t.Error("it was not removed")
	}
	if _, err := s.store.Lookup(one.Refs[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a ref is still there: %v", err)
	}
	s.cached.Offline = true
	s.mustGet(t, "lib:1", linux, other)
	if _, err := s.get(t, "app:a", linux); err == nil {
		t.Error("it can still be had")
	}
}

// Who pinned an index can still have it after the tag has gone on, for a while.
func TestStore_evictSuperseded(t *testing.T) {
	s := open(t)
	old := makeImage(t, linux, "old")
	index := makeIndex(old, nil)
	seedIndex(t, s.server, "app:1", index)
	s.add(t, "app:1", linux)
	// The same image by another index, as if another platform's had changed.
	seedIndex(t, s.server, "app:1", makeIndex(old, makeImage(t, arm, "arm")))
	s.add(t, "app:1", linux)
	seed(t, s.server, "app:1", makeImage(t, linux, "new"))
	s.add(t, "app:1", linux)
	pinned := "app@" + digest(t, index).String()
	for _, c := range []struct {
		after time.Duration
		there bool
	}{{59 * time.Minute, true}, {2 * time.Hour, false}} {
		if _, err := s.store.Evict(t.Context(), base.Retention{Superseded: time.Hour}, s.now.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		s.cached.Offline = true
		if _, err := s.get(t, pinned, linux); err == nil != c.there {
			t.Errorf("after %s: %v", c.after, err)
		}
		if _, err := s.get(t, "app:1", linux); err != nil {
			t.Errorf("after %s: %v", c.after, err)
		}
	}
}
