package exporter_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	form "github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// imageFor is an image for an architecture.
func imageFor(t *testing.T, arch string) v1.Image {
	t.Helper()
	img := image(t, 2, 1000)
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestIndex: images are pushed without a tag, the tags are the index's, and files tell
// of it.
func TestIndex(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	c, dir := client(), t.TempDir()
	cfg := exporter.Config{
		Client: c, Destinations: tags(t, c, server.Host()+"/one:1", server.Host()+"/one:2", server.Host()+"/two:1"),
		LayoutPath: filepath.Join(dir, "layout"), Notes: []*exporter.Note{exporter.DigestFile(filepath.Join(dir, "digest"))},
	}
	x := exporter.NewIndex(cfg, form.Form{})
	members := []v1.Image{imageFor(t, "amd64"), imageFor(t, "arm64")}
	for _, img := range members {
		if err := export(t, x, img); err != nil {
			t.Fatal(err)
		}
		for _, repo := range []string{"one", "two"} {
			if server.Manifest(repo, digest(t, img)) == nil {
				t.Errorf("%s has no image %s", repo, digest(t, img))
			}
			if server.Manifest(repo, "1") != nil {
				t.Errorf("%s has a tag before the index is complete", repo)
			}
		}
	}
	if _, err := os.Stat(cfg.Notes[0].Path); err == nil {
		t.Error("there is a digest before there is an index")
	}
	made, err := x.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]string{{"one", "1"}, {"one", "2"}, {"two", "1"}} {
		if got := server.Manifest(at[0], at[1]); string(got) != string(made.Raw) {
			t.Errorf("%s:%s is %s", at[0], at[1], got)
		}
	}
	if got, err := os.ReadFile(cfg.Notes[0].Path); err != nil || string(got) != made.Digest.String() {
		t.Errorf("the digest file holds %q, error %v", got, err)
	}
	p, err := layout.ImageIndexFromPath(cfg.LayoutPath)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := p.ImageIndex(made.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(inner); err != nil {
		t.Error(err)
	}
}

// TestIndex_partly: what does not arrive moves no tag.
func TestIndex_partly(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{ReadOnly: true})
	c := client()
	x := exporter.NewIndex(exporter.Config{Client: c, Destinations: tags(t, c, server.Host()+"/one:1")}, form.Form{})
	if err := export(t, x, imageFor(t, "amd64")); err == nil {
		t.Error("an image was pushed")
	}
	if _, err := x.Finish(context.Background()); err == nil {
		t.Error("an index of what is not there was pushed")
	}
}
