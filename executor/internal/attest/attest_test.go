package attest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kaniko-suite/kaniko/executor/internal/attest"
	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// whole is a build of which everything is known.
func whole() attest.Build {
	epoch := int64(1700000000)
	return attest.Build{
		External: attest.External{
			Context: attest.Source{URI: "https://example.com/app.git#main", SubPath: "sub"}, Dockerfile: "Dockerfile", Targets: []string{"final"},
			Platforms: []string{"linux/amd64"}, Arguments: []string{"ONE", "TWO"}, Contexts: map[string]string{"more": "dir:///more"},
		},
		Internal: attest.Internal{Compression: "zstd", Level: 3, Format: "oci", Reproducible: true, Epoch: &epoch, SnapshotMode: "full", Isolation: "auto", Cache: true},
		Dependencies: []attest.Resource{
			{Name: "dockerfile", Digest: attest.SHA256([]byte("FROM scratch"))},
			{Name: "context", URI: "https://example.com/app.git#main", Digest: attest.Commit(strings.Repeat("ab", 20))},
			{URI: "https://example.com/file"}, {URI: "https://example.com/file"},
		},
		Builder: attest.BuilderID, Versions: map[string]string{"kaniko": "v0.1.0"}, Invocation: "https://ci.example.com/1",
		Started: time.Unix(epoch, 0), Finished: time.Unix(epoch+60, 500),
	}
}

// decode reads a statement as in-toto's own types are defined, in which no field may be
// unknown, and has them validated.
func decode(t *testing.T, raw []byte) *intoto.Statement {
	t.Helper()
	var s intoto.Statement
	if err := protojson.Unmarshal(raw, &s); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if err := s.Validate(); err != nil {
		t.Errorf("%v\n%s", err, raw)
	}
	return &s
}

// provenance is the same of a statement's predicate.
func provenance(t *testing.T, s *intoto.Statement) *slsa.Provenance {
	t.Helper()
	raw, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(raw, &p); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if err := p.Validate(); err != nil {
		t.Errorf("%v\n%s", err, raw)
	}
	return &p
}

// documents are of a build.
func documents(t *testing.T, b attest.Build, formats ...string) *attest.Documents {
	t.Helper()
	f, err := attest.ParseFormats(formats)
	if err != nil {
		t.Fatal(err)
	}
	return &attest.Documents{Formats: f, Provenance: func(v1.Hash) attest.Build { return b }, Name: "example.com/app", Tool: "test", Version: "1", Spool: t.TempDir()}
}

// TestProvenance: it is what SLSA's own types can read, and says what was told.
func TestProvenance(t *testing.T) {
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0f", 32)}
	all, err := documents(t, whole()).Of(t.Context(), v1.Descriptor{Digest: digest}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := attest.Statement(all[0], "example.com/app", digest)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(raw, "\n") {
		t.Errorf("not on one line: %s", raw)
	}
	s := decode(t, raw)
	p := provenance(t, s)
	got := map[string]any{
		"subject":      s.Subject[0].Name + "@" + s.Subject[0].Digest["sha256"],
		"predicate":    s.PredicateType,
		"builder":      p.RunDetails.Builder.Id,
		"type":         p.BuildDefinition.BuildType,
		"invocation":   p.RunDetails.Metadata.InvocationId,
		"started":      p.RunDetails.Metadata.StartedOn.AsTime().String(),
		"finished":     p.RunDetails.Metadata.FinishedOn.AsTime().String(),
		"dependencies": len(p.BuildDefinition.ResolvedDependencies), // one was there twice
		"external":     p.BuildDefinition.ExternalParameters.AsMap(),
		"internal":     p.BuildDefinition.InternalParameters.AsMap(),
	}
	want := map[string]any{
		"subject": "example.com/app@" + digest.Hex, "predicate": "https://slsa.dev/provenance/v1", "builder": attest.BuilderID, "type": attest.BuildType,
		"invocation": "https://ci.example.com/1", "started": "2023-11-14 22:13:20 +0000 UTC", "finished": "2023-11-14 22:14:20 +0000 UTC", "dependencies": 3,
		"external": map[string]any{
			"context": map[string]any{"uri": "https://example.com/app.git#main", "subPath": "sub"}, "dockerfile": "Dockerfile", "targets": []any{"final"},
			"platforms": []any{"linux/amd64"}, "buildArgs": []any{"ONE", "TWO"}, "buildContexts": map[string]any{"more": "dir:///more"},
		},
		"internal": map[string]any{
			"compression": "zstd", "compressionLevel": 3.0, "imageFormat": "oci", "reproducible": true, "sourceDateEpoch": 1700000000.0,
			"snapshotMode": "full", "isolation": "auto", "cache": true,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestProvenance_untimed: without times, and without a run, there are no metadata.
func TestProvenance_untimed(t *testing.T) {
	b := whole()
	b.Started, b.Finished, b.Invocation = time.Time{}, time.Time{}, ""
	all, err := documents(t, b).Of(t.Context(), v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "00"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all[0].Body), "metadata") {
		t.Errorf("%s", all[0].Body)
	}
}

// pushed is an image that is in a repository.
func pushed(t *testing.T, repo name.Repository) exporter.Subject {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	at, err := image.Describe(img)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("1"), img); err != nil {
		t.Fatal(err)
	}
	return exporter.Subject{Repository: repo, Descriptor: at, Image: img, Identities: []name.Tag{repo.Tag("1")}}
}

// attached are the statements that a registry has of an image, by predicate.
func attached(t *testing.T, c *registry.Client, s exporter.Subject) map[string][]byte {
	t.Helper()
	list, err := c.Referrers(t.Context(), s.Repository, s.Descriptor.Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, d := range list {
		kind := d.Annotations["in-toto.io/predicate-type"]
		if d.ArtifactType != attest.MediaType || kind == "" || all[kind] != nil {
			t.Errorf("%s of %q is listed", d.ArtifactType, kind)
		}
		img, err := remote.Image(s.Repository.Digest(d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		r, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if all[kind], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestAttacher: statements come to lie beside the image in real registries, and what is
// attached twice is there once.
func TestAttacher(t *testing.T) {
	for what, start := range map[string]func(testing.TB) string{
		"registry 2": func(t testing.TB) string { return registrytest.Real(t, registrytest.RealConfig{}) },
		"registry 3": func(t testing.TB) string { return registrytest.RealV3(t, registrytest.RealConfig{}) },
		"one that lists": func(t testing.TB) string { // none of the real ones does
			return registrytest.Start(t, registrytest.Config{Referrers: true}).Host()
		},
	} {
		t.Run(what, func(t *testing.T) {
			host := start(t)
			client := registry.New(registry.Config{})
			repo, err := name.NewRepository(host + "/team/app")
			if err != nil {
				t.Fatal(err)
			}
			s := pushed(t, repo)
			for range 2 {
				a := &attest.Attacher{Client: client, Documents: documents(t, whole(), "spdx", "cyclonedx")}
				if err := a.Attach(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			all := attached(t, client, s)
			if len(all) != 3 {
				t.Errorf("%d statements, want 3", len(all))
			}
			for kind, raw := range all {
				st := decode(t, raw)
				if st.PredicateType != kind || st.Subject[0].Name != host+"/team/app" || st.Subject[0].Digest["sha256"] != s.Descriptor.Digest.Hex {
					t.Errorf("%s: it says %s of %s", kind, st.PredicateType, st.Subject)
				}
			}
			provenance(t, decode(t, all[attest.ProvenanceType]))
		})
	}
}

// signer notes what it is to sign.
type signer struct{ types []string }

func (s *signer) AttestStatement(_ context.Context, at exporter.Subject, kind string, statement []byte) error {
	var got struct{ PredicateType string }
	if err := json.Unmarshal(statement, &got); err != nil {
		return err
	}
	s.types = append(s.types, kind, got.PredicateType)
	return nil
}

// TestAttacher_signed: where there is a signer, nothing is attached but by it; an index
// has no list of software.
func TestAttacher_signed(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	repo, err := name.NewRepository(server.Host() + "/app")
	if err != nil {
		t.Fatal(err)
	}
	s := pushed(t, repo)
	var by signer
	a := &attest.Attacher{Client: registry.New(registry.Config{}), Documents: documents(t, whole(), "spdx"), Signer: &by}
	if err := a.Attach(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	index := exporter.Subject{Repository: repo, Descriptor: v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "00"}}}
	if err := a.Attach(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	want := []string{"https://spdx.dev/Document", "https://spdx.dev/Document", attest.ProvenanceType, attest.ProvenanceType, attest.ProvenanceType, attest.ProvenanceType}
	if !slices.Equal(by.types, want) {
		t.Errorf("signed %q, want %q", by.types, want)
	}
	if all := attached(t, a.Client, s); len(all) > 0 {
		t.Errorf("%d are attached without a signature", len(all))
	}
}

// TestAttacher_fails: what went wrong names the image, and says that it is there.
func TestAttacher_fails(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	repo, err := name.NewRepository(server.Host() + "/app")
	if err != nil {
		t.Fatal(err)
	}
	s := pushed(t, repo)
	server.Script("PUT manifest: 403 always")
	a := &attest.Attacher{Client: registry.New(registry.Config{}), Documents: documents(t, whole())}
	err = a.Attach(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), repo.Name()+"@"+s.Descriptor.Digest.String()+", which is pushed") {
		t.Errorf("error %v", err)
	}
}

func TestParseFormats(t *testing.T) {
	all, err := attest.ParseFormats([]string{"cyclonedx", "spdx", "spdx"})
	if err != nil || len(all) != 2 || all[0].Name != "spdx" || all[1].Name != "cyclonedx" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := attest.ParseFormats([]string{"spdx", "swid"}); err == nil || !strings.Contains(err.Error(), `"swid"`) {
		t.Errorf("error %v", err)
	}
}

func TestInvocation(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"": {"CI": "true"},
		"https://github.com/o/r/actions/runs/7/attempts/2":              {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"},
		"https://gitlab.example.com/o/r/-/jobs/1":                       {"CI_JOB_URL": "https://gitlab-ci-token:s3cret@gitlab.example.com/o/r/-/jobs/1"},
		"https://buildkite.com/o/p/builds/1#x":                          {"BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/1", "BUILDKITE_JOB_ID": "x"},
		"https://dev.azure.com/o/my%20project/_build/results?buildId=9": {"SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": "https://dev.azure.com/o/", "SYSTEM_TEAMPROJECT": "my project", "BUILD_BUILDID": "9"},
		"https://jenkins.example.com/job/a/1/":                          {"BUILD_URL": "https://jenkins.example.com/job/a/1/"},
		"https://circleci.com/gh/o/r/1":                                 {"CIRCLE_BUILD_URL": "https://circleci.com/gh/o/r/1", "BUILD_URL": "not an address"},
		"https://drone.example.com/o/r/1":                               {"DRONE_BUILD_LINK": "https://drone.example.com/o/r/1"},
	} {
		if got := attest.Invocation(func(name string) string { return env[name] }); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
}
