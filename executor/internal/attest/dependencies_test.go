package attest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/attest"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// TestDependencies: whatever a plan takes from elsewhere is among them, and nothing
// that gives access to it.
func TestDependencies(t *testing.T) {
	image := func(ref, hex string) *plan.Image {
		return &plan.Image{Ref: ref, Digest: v1.Hash{Algorithm: "sha256", Hex: hex}, Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
	}
	commit := strings.Repeat("ab", 20)
	p := &plan.Plan{Stages: []*plan.Stage{{
		Base: plan.Base{Image: image("debian:12", "01")},
		Steps: []*plan.Step{
			{Op: plan.Copy{From: &plan.Source{Image: image("registry.example.com/team/tools@sha256:"+strings.Repeat("02", 32), "02")}}},
			{Op: plan.Copy{From: &plan.Source{Context: "more"}}},
			{Op: plan.Copy{Remotes: []plan.Remote{
				{URL: "https://me:s3cret@example.com/a.tar?token=t0k3n", Checksum: "sha256:03"},
				{URL: "https://example.com/r.git", Git: true, Checksum: commit},
				{URL: "https://example.com/b"},
				{URL: "https://me:s3cret@example.com/q.git#main", Git: true, Checksum: "abab"},
			}}},
			{Op: plan.Run{Mounts: []plan.Mount{{From: &plan.Source{Image: image("oci-layout:///srv/base", "04")}}, {}}}},
			{Op: plan.Meta{}},
		},
	}, {Base: plan.Base{}}}}
	sha256 := func(hex string) map[string]string { return map[string]string{"sha256": hex} }
	want := []attest.Resource{
		{URI: "pkg:oci/debian@sha256:01?platform=linux%2Famd64&repository_url=index.docker.io%2Flibrary%2Fdebian&tag=12", Digest: sha256("01")},
		{URI: "pkg:oci/tools@sha256:02?platform=linux%2Famd64&repository_url=registry.example.com%2Fteam%2Ftools", Digest: sha256("02")},
		{URI: "https://example.com/a.tar?token=…", Digest: sha256("03")},
		{URI: "https://example.com/r.git", Digest: attest.Commit(commit)},
		{URI: "https://example.com/b", Digest: sha256("05")},
		{URI: "https://example.com/q.git#main"},
		{URI: "oci-layout:///srv/base", Digest: sha256("04")},
	}
	if diff := cmp.Diff(want, attest.Dependencies(p, map[string]map[string]string{"https://example.com/q.git": nil, "https://example.com/b": sha256("05")})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
