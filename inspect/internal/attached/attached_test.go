package attached

import (
	"errors"
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestKind(t *testing.T) {
	for _, c := range []struct{ artifactType, predicate, want string }{
		{"application/vnd.dev.cosign.artifact.sig.v1+json", "", Signature},
		{"application/vnd.dev.cosign.simplesigning.v1+json", "", Signature},
		{"application/vnd.cncf.notary.signature", "", Signature},
		{bundleType + ".v0.3+json", "", Signature},
		{bundleType + ".v0.3+json", SignType, Signature},
		{bundleType + ".v0.3+json", "https://slsa.dev/provenance/v1", Provenance},
		{inTotoType, "https://slsa.dev/provenance/v0.2", Provenance},
		{inTotoType, "https://spdx.dev/Document", SBOM},
		{inTotoType, "https://cyclonedx.org/bom", SBOM},
		{envelopeType, "https://in-toto.io/attestation/vulns", Attestation},
		{inTotoType, "", Attestation},
		{"application/vnd.cyclonedx+json", "", SBOM},
		{"application/spdx+json", "", SBOM},
		{"application/vnd.example", "", Other},
		{"", "", Other},
	} {
		if got := kindOf(c.artifactType, c.predicate); got != c.want {
			t.Errorf("%q with %q: %s, want %s", c.artifactType, c.predicate, got, c.want)
		}
	}
}

// What lists of referrers do not say, older tools left in configurations and layers.
func TestTypeOf(t *testing.T) {
	layers := []v1.Descriptor{{MediaType: "application/spdx+json"}}
	for _, c := range []struct {
		m    v1.Manifest
		want string
	}{
		{v1.Manifest{ArtifactType: "a", Config: v1.Descriptor{MediaType: "b"}, Layers: layers}, "a"},
		{v1.Manifest{Config: v1.Descriptor{MediaType: "b"}, Layers: layers}, "b"},
		{v1.Manifest{Config: v1.Descriptor{MediaType: emptyType}, Layers: layers}, "application/spdx+json"},
		{v1.Manifest{Config: v1.Descriptor{MediaType: types.OCIConfigJSON}, Layers: layers}, "application/spdx+json"},
		{v1.Manifest{Config: v1.Descriptor{MediaType: types.OCIConfigJSON}}, ""},
	} {
		if got := typeOf(&c.m); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// place is an image in a registry.
func place(t *testing.T, host string) (*Finder, v1.Descriptor) {
	t.Helper()
	client := registry.New(registry.Config{})
	img, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := client.Tag(host + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.PushImage(t.Context(), tag, img); err != nil {
		t.Fatal(err)
	}
	m, err := client.Manifest(t.Context(), tag, maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	return &Finder{Client: client, Repository: tag.Context()}, v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: m.Digest}
}

func refer(t *testing.T, f *Finder, to v1.Descriptor, n int) v1.Descriptor {
	t.Helper()
	h, err := f.Client.PushReferrer(t.Context(), f.Repository, to, registry.Referrer{ArtifactType: "application/vnd.example", Annotations: map[string]string{"n": fmt.Sprint(n)}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Client.Manifest(t.Context(), f.Repository.Digest(h.String()), maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: h}
}

// A chain of what refers to what refers ends, and so does a list.
func TestFind_bounds(t *testing.T) {
	for _, c := range []registrytest.Config{{Referrers: true}, {}} {
		f, img := place(t, registrytest.Start(t, c).Host())
		last := img
		for n := range 2 * maxDepth {
			last = refer(t, f, last, n)
		}
		all, err := f.Find(t.Context(), img.Digest)
		if err != nil {
			t.Fatal(err)
		}
		depth := 0
		for ; len(all) == 1; all = all[0].Referrers {
			depth++
		}
		if depth != maxDepth {
			t.Errorf("%d deep, want %d", depth, maxDepth)
		}
		f.left = 1
		for n := range 2 {
			refer(t, f, last, n)
		}
		if _, err := f.find(t.Context(), last.Digest, maxDepth); !errors.Is(err, registry.ErrTooLarge) {
			t.Errorf("more than may be, and %v", err)
		}
	}
}

// What is listed and is not there any more is listed all the same.
func TestFind_gone(t *testing.T) {
	f, img := place(t, registrytest.Start(t, registrytest.Config{}).Host())
	all, err := f.Find(t.Context(), img.Digest)
	if err != nil || all == nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	i, err := f.referrer(t.Context(), v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: img.Digest.Hex[:63] + "0"}, Size: 5})
	if err != nil || i.Kind != Other || i.Size != 5 {
		t.Errorf("%+v, %v", i, err)
	}
}
