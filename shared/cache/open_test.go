package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		spec     string
		readOnly bool
		is, err  string
	}{
		{spec: "registry.example/app/cache", is: "registry.example/app/cache"},
		{spec: "app", is: "index.docker.io/library/app"},
		{spec: "oci:" + dir + "/new/cache", is: "oci:" + dir + "/new/cache"},
		{spec: "oci:" + dir, is: "oci:" + dir},
		{spec: "oci:" + dir, readOnly: true, is: "oci:" + dir},
		{spec: "oci:" + dir + "/none", readOnly: true, err: "no such file or directory"},
		{spec: "registry.example/app:tag", err: "can only contain the characters"},
		{spec: "registry.example/app@sha256:" + strings.Repeat("a", 64), err: "can only contain the characters"},
		{spec: "Registry.example/App", err: "can only contain the characters"},
		{spec: "", err: `open the cache ""`},
		{spec: "oci:", err: "it names no directory"},
		{spec: "oci:" + file, err: "not a directory"},
		{spec: "oci:" + file + "/cache", err: "not a directory"},
		{spec: "oci:/proc/self/cache", err: "open the cache"},
		{spec: "oci:/proc/self", err: "cannot be written to"},
	} {
		p, err := cache.Open(tc.spec, client(registry.Config{}), cache.Options{ReadOnly: tc.readOnly})
		if tc.err == "" {
			if err != nil || p.String() != tc.is {
				t.Errorf("%q: %v, %v", tc.spec, p, err)
			}
			continue
		}
		var e *cache.SpecError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.err) || e.Hint() == "" || e.ExitCode() != 65 {
			t.Errorf("%q: %v", tc.spec, err)
		}
	}
}

// TestOpen_plain: plain HTTP is spoken with a repository if it is allowed for either
// direction.
func TestOpen_plain(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	for _, o := range []registry.Options{{Insecure: true}, {InsecurePull: true}, {InsecureRegistries: []string{"registry.example:5000"}}} {
		repo, err := client(registry.Config{Options: o}).Repository("registry.example:5000/app")
		if err != nil || repo.Scheme() != "http" {
			t.Errorf("%+v: %s, %v", o, repo.Scheme(), err)
		}
	}
	repo, err := client(registry.Config{}).Repository("registry.example:5000/app")
	if err != nil || repo.Scheme() != "https" {
		t.Errorf("%s, %v", repo.Scheme(), err)
	}
	put(t, in(t, s.Host()+"/cache", cache.Options{}), result(t, "a", 10))
}

// TestLayout_tools: other tools find in a directory what they find in a repository.
func TestLayout_tools(t *testing.T) {
	dir := t.TempDir()
	s := registrytest.Start(t, registrytest.Config{})
	j := journal(t, 1)
	var keys []string
	for _, spec := range []string{"oci:" + dir, s.Host() + "/cache"} {
		place := in(t, spec, cache.Options{})
		for _, word := range []string{"a", "b"} {
			r := result(t, word, 1000)
			put(t, place, r)
			keys = append(keys, string(r.Definition.Key()))
		}
		if err := place.Record(context.Background(), j); err != nil {
			t.Fatal(err)
		}
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	for _, d := range m.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := img.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		there[string(raw)]++
	}
	for _, key := range keys[:2] {
		if there[string(s.Manifest("cache", key))] != 1 {
			t.Errorf("the manifest of %s is not there, or another", key)
		}
	}
	if last := s.Manifest("cache", cache.LastPrefix+j.Lineage); there[string(last)] != 3 {
		t.Errorf("the journal is there %d times", there[string(last)])
	}
}

// TestLayout_readOnly: a directory that is only read is found as it is.
func TestLayout_readOnly(t *testing.T) {
	dir := t.TempDir()
	r := result(t, "a", 1000)
	put(t, in(t, "oci:"+dir, cache.Options{}), r)
	before := files(t, dir)
	place := in(t, "oci:"+dir, cache.Options{ReadOnly: true})
	sameLayer(t, get(t, place, r.Definition.Key()), r)
	if _, err := place.Get(context.Background(), definition("b").Key()); err != cache.ErrMiss {
		t.Error(err)
	}
	if after := files(t, dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		b.WriteString(p + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
