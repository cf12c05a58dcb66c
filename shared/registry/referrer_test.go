package registry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// note is a referrer with one blob.
func note(text string) registry.Referrer {
	return registry.Referrer{
		ArtifactType: "application/vnd.example.note", Annotations: map[string]string{"text": text},
		Blobs: []registry.ReferrerBlob{{MediaType: "text/plain", Annotations: map[string]string{"title": text}, Raw: []byte(text)}},
	}
}

// texts are the notes of a list, which has nothing twice.
func texts(t *testing.T, all []v1.Descriptor) []string {
	t.Helper()
	var found []string
	for _, d := range all {
		if d.ArtifactType != "application/vnd.example.note" {
			t.Errorf("%s is a %q", d.Digest, d.ArtifactType)
		}
		found = append(found, d.Annotations["text"])
	}
	slices.Sort(found)
	return found
}

// subject pushes an image and describes it.
func subject(t *testing.T, c *registry.Client, at string) (name.Repository, v1.Descriptor) {
	t.Helper()
	img := image(t, 1, 1000)
	to := tag(t, c, at)
	if err := c.PushImage(context.Background(), to, img); err != nil {
		t.Fatal(err)
	}
	d, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	d.Platform = &linux // as in an index
	return to.Context(), *d
}

// TestReferrer: what refers to a manifest is found by us and by another client, in
// registries with and without lists of their own.
func TestReferrer(t *testing.T) {
	places := map[string]func(*testing.T) string{
		"lists": func(t *testing.T) string {
			return registrytest.Start(t, registrytest.Config{Token: true, Referrers: true}).Host()
		},
		"no lists": func(t *testing.T) string { return registrytest.Start(t, registrytest.Config{}).Host() },
	}
	for version, start := range versions() {
		places["real "+version] = func(t *testing.T) string { return start(t, registrytest.RealConfig{}) }
	}
	for place, start := range places {
		t.Run(place, func(t *testing.T) { testReferrer(t, start(t)) })
	}
}

func testReferrer(t *testing.T, host string) {
	ctx := context.Background()
	c := client(t, registry.Config{})
	repo, to := subject(t, c, host+"/app:1")
	if all, err := c.Referrers(ctx, repo, to.Digest, 1<<20); err != nil || len(all) != 0 {
		t.Fatalf("before there are any: %v, %v", all, err)
	}
	var last v1.Hash
	for _, text := range []string{"one", "two", "three", "two", "one"} {
		var err error
		// Another build each time: nothing is remembered.
		if last, err = client(t, registry.Config{}).PushReferrer(ctx, repo, to, note(text)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.Referrers(ctx, repo, to.Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "three", "two"}, texts(t, all)); diff != "" {
		t.Error(diff)
	}
	others(t, repo, to.Digest, last)

	m, err := c.Manifest(ctx, repo.Digest(last.String()), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := v1.ParseManifest(strings.NewReader(string(m.Raw)))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Subject == nil || parsed.Subject.Digest != to.Digest || parsed.Subject.Platform != nil {
		t.Errorf("it refers to %v", parsed.Subject)
	}
	raw, err := c.Blob(ctx, repo, parsed.Layers[0].Digest, 1<<20)
	if err != nil || string(raw) != "one" || parsed.Layers[0].Annotations["title"] != "one" {
		t.Errorf("content %q %v, %v", raw, parsed.Layers[0].Annotations, err)
	}
	if config, err := c.Blob(ctx, repo, parsed.Config.Digest, 1<<20); err != nil || string(config) != "{}" {
		t.Errorf("config %q, %v", config, err)
	}
}

// others checks that go-containerregistry's own client finds the referrer.
func others(t *testing.T, repo name.Repository, subject, want v1.Hash) {
	t.Helper()
	index, err := remote.Referrers(repo.Digest(subject.String()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	// Of a paged list it reads the first page.
	if len(list.Manifests) == 2 {
		return
	}
	if !slices.ContainsFunc(list.Manifests, func(d v1.Descriptor) bool { return d.Digest == want }) {
		t.Errorf("another client finds %v, which lacks %s", list.Manifests, want)
	}
}

// TestReferrer_empty: one that has nothing to say but what its annotations say.
func TestReferrer_empty(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{})
	ctx := context.Background()
	repo, to := subject(t, c, s.Host()+"/app:1")
	h, err := c.PushReferrer(ctx, repo, to, registry.Referrer{ArtifactType: "application/vnd.example.note"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := v1.ParseManifest(strings.NewReader(string(s.Manifest("app", h.String()))))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != "application/vnd.oci.empty.v1+json" {
		t.Errorf("layers %v", m.Layers)
	}
	if _, err := c.PushReferrer(ctx, repo, to, registry.Referrer{}); err == nil {
		t.Error("what is nothing was pushed")
	}
}

// TestReferrer_list: a list that is none is not overwritten, nor one that is too long.
func TestReferrer_list(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := client(t, registry.Config{})
	ctx := context.Background()
	repo, to := subject(t, c, s.Host()+"/app:1")
	tag := registry.ReferrersTag(repo, to.Digest).TagStr()
	for what, raw := range map[string]string{
		"an image":    `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`,
		"no manifest": `<html>`,
		"too long":    `{"manifests":[]}` + strings.Repeat(" ", 4<<20),
	} {
		s.Plant("app", tag, string(types.OCIImageIndex), []byte(raw))
		_, err := c.PushReferrer(ctx, repo, to, note("one"))
		var said *registry.Error
		if !errors.As(err, &said) || !strings.Contains(err.Error(), to.Digest.String()) {
			t.Errorf("%s: %v", what, err)
		}
		if string(s.Manifest("app", tag)) != raw {
			t.Errorf("%s was overwritten", what)
		}
	}
}
