package main

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// attach is the script's command
//
//	attach REF refers|SUFFIX TYPE [ANNOTATION=VALUE]…
//
// that attaches something to an image, as what refers to it or as a layer under the tag
// of cosign's with that suffix. The digest of the manifest is $ATTACHED.
func attach(t testing.TB, ts *testscript.TestScript, args []string) {
	client := registry.New(registry.Config{})
	ref, err := client.Reference(args[0])
	ts.Check(err)
	m, err := client.Manifest(t.Context(), ref, 1<<20)
	ts.Check(err)
	annotations := map[string]string{}
	for _, a := range args[3:] {
		key, value, _ := strings.Cut(a, "=")
		annotations[key] = value
	}
	if args[1] != "refers" {
		layer := mutate.Addendum{Layer: static.NewLayer([]byte("{}"), types.MediaType(args[2])), MediaType: types.MediaType(args[2]), Annotations: annotations}
		img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
		ts.Check(err)
		push(t, ref.Context().Tag(m.Digest.Algorithm+"-"+m.Digest.Hex+args[1]).Name(), img)
		return
	}
	digest, err := client.PushReferrer(t.Context(), ref.Context(), v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: m.Digest},
		registry.Referrer{ArtifactType: args[2], Annotations: annotations})
	ts.Check(err)
	ts.Setenv("ATTACHED", digest.String())
}

// attested is the script's command "attested REF REF…": an index of images in one
// repository, each with a manifest of a list of software and provenance, as BuildKit
// makes it.
func attested(t testing.TB, ts *testscript.TestScript, args []string) {
	all := described(t, ts, args[1:])
	for i, about := range all {
		ref, err := registry.New(registry.Config{}).Reference(args[1+i])
		ts.Check(err)
		all = append(all, statementsOf(t, ref.Context(), about.Digest))
	}
	pushIndex(t, ts, args[0], all)
}

// statementsOf pushes what BuildKit says of an image, and returns what its index says
// of that.
func statementsOf(t testing.TB, repo name.Repository, about v1.Hash) v1.Descriptor {
	t.Helper()
	const inToto = types.MediaType("application/vnd.in-toto+json")
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, predicate := range []string{"https://spdx.dev/Document", "https://slsa.dev/provenance/v1"} {
		layer := static.NewLayer([]byte(`{"predicateType":"`+predicate+`","subject":[{"digest":{"sha256":"`+about.Hex+`"}}]}`), inToto)
		var err error
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: inToto, Annotations: map[string]string{"in-toto.io/predicate-type": predicate}})
		if err != nil {
			t.Fatal(err)
		}
	}
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "unknown", Architecture: "unknown", RootFS: v1.RootFS{Type: "layers"}, Author: about.Hex})
	if err != nil {
		t.Fatal(err)
	}
	push(t, repo.Tag("statements-"+about.Hex[:12]).Name(), img)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Size: int64(len(raw)), Digest: digest, Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about.String()},
	}
}
