package exporter_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	form "github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// attacher notes what it is called for, if that is where it should be.
type attacher struct {
	server *registrytest.Server
	calls  []string
	err    error
}

func (a *attacher) Attach(_ context.Context, s exporter.Subject) error {
	repo := s.Repository.RepositoryStr()
	if a.server.Manifest(repo, s.Descriptor.Digest.String()) == nil {
		return fmt.Errorf("%s is not in %s", s.Descriptor.Digest, repo)
	}
	what := "index"
	if s.Image != nil {
		what = "image"
	}
	if s.Descriptor.Platform != nil {
		what += " for " + s.Descriptor.Platform.String()
	}
	for _, t := range s.Identities {
		what += " " + t.TagStr()
		if a.server.Manifest(repo, t.TagStr()) == nil {
			return fmt.Errorf("%s is not there", t)
		}
	}
	a.calls = append(a.calls, repo+" "+what)
	return a.err
}

// TestAttach: what accompanies an image follows it to every repository.
func TestAttach(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	c := client()
	at := &attacher{server: server}
	img := imageFor(t, "amd64")
	cfg := exporter.Config{
		Client: c, Destinations: tags(t, c, server.Host()+"/one:1", server.Host()+"/two:1", server.Host()+"/one:2"),
		Attachers: []exporter.Attacher{at},
	}
	if err := export(t, exporter.New(cfg), img); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one image 1 2", "two image 1"}; !slices.Equal(at.calls, want) {
		t.Errorf("called for %q, want %q", at.calls, want)
	}
}

// TestAttach_index: the images of an index come before it.
func TestAttach_index(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	c := client()
	at := &attacher{server: server}
	cfg := exporter.Config{
		Client: c, Destinations: tags(t, c, server.Host()+"/one:1", server.Host()+"/two:1"), Attachers: []exporter.Attacher{at},
	}
	x := exporter.NewIndex(cfg, form.Form{})
	for _, arch := range []string{"amd64", "arm64"} {
		if err := export(t, x, imageFor(t, arch)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"one image for linux/amd64 1", "one image for linux/arm64 1", "one index 1",
		"two image for linux/amd64 1", "two image for linux/arm64 1", "two index 1",
	}
	if !slices.Equal(at.calls, want) {
		t.Errorf("called for %q, want %q", at.calls, want)
	}
}

// TestAttach_failed: a build whose image has not all that belongs to it leaves no note.
func TestAttach_failed(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	c := client()
	at := &attacher{server: server, err: errors.New("no key")}
	note := exporter.DigestFile(filepath.Join(t.TempDir(), "digest"))
	cfg := exporter.Config{
		Client: c, Destinations: tags(t, c, server.Host()+"/one:1"), Attachers: []exporter.Attacher{at}, Notes: []*exporter.Note{note},
	}
	if err := export(t, exporter.New(cfg), imageFor(t, "amd64")); !errors.Is(err, at.err) {
		t.Errorf("the export ended with %v", err)
	}
	if left, _ := filepath.Glob(note.Path); left != nil {
		t.Error("there is a digest file")
	}
}
