package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/executor/internal/attest"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// attestCommands are for what is attached to images:
//
//	attested REPOSITORY:TAG   prints the statements attached to an image in $REGISTRY, or
//	                          to an index and then to its images, a line for each: what
//	                          it is attached to, its type, and the statement
func attestCommands(t *testing.T, host string) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"attested": func(ts *testscript.TestScript, _ bool, args []string) {
			ref, err := name.ParseReference(host + "/" + args[0])
			ts.Check(err)
			desc, err := remote.Get(ref)
			ts.Check(err)
			statements(t, ts, ref.Context(), desc.Descriptor, "image")
			if !desc.MediaType.IsIndex() {
				return
			}
			index, err := desc.ImageIndex()
			ts.Check(err)
			m, err := index.IndexManifest()
			ts.Check(err)
			for _, d := range m.Manifests {
				statements(t, ts, ref.Context(), d, d.Platform.String())
			}
		},
	}
}

// statements prints what is attached to one manifest.
func statements(t *testing.T, ts *testscript.TestScript, repo name.Repository, at v1.Descriptor, what string) {
	if at.MediaType.IsIndex() {
		what = "index"
	}
	list, err := registry.New(registry.Config{}).Referrers(t.Context(), repo, at.Digest, 1<<20)
	ts.Check(err)
	const kind = "in-toto.io/predicate-type"
	slices.SortFunc(list, func(a, b v1.Descriptor) int {
		return cmp.Compare(a.Annotations[kind], b.Annotations[kind])
	})
	for _, d := range list {
		if d.ArtifactType != attest.MediaType {
			ts.Fatalf("%s is attached", d.ArtifactType)
		}
		img, err := remote.Image(repo.Digest(d.Digest.String()))
		ts.Check(err)
		layers, err := img.Layers()
		ts.Check(err)
		r, err := layers[0].Compressed()
		ts.Check(err)
		raw, err := io.ReadAll(r)
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "%s %s %s\n", what, strings.TrimPrefix(d.Annotations[kind], "https://"), raw)
	}
}
