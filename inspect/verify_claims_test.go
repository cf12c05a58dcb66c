package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

const (
	slsaType      = "https://slsa.dev/provenance/v1"
	spdxType      = "https://spdx.dev/Document"
	cyclonedxType = "https://cyclonedx.org/bom"

	spdxList      = `{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "app", "packages": [{"name": "a"}]}`
	cyclonedxList = `{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}`
	commit        = "0123456789012345678901234567890123456789"
	digest1       = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
)

// provenance is SLSA's, as the executor writes it.
func provenance(builder string) string {
	return fmt.Sprintf(`{"buildDefinition": {"buildType": "x", "externalParameters": {}, "resolvedDependencies": [
		{"name": "context", "uri": "https://user@github.com/example/app.git#refs/heads/main", "digest": {"gitCommit": %q}},
		{"uri": "pkg:oci/debian", "digest": {"sha256": %q}}]},
		"runDetails": {"builder": {"id": %q}}}`, commit, strings.TrimPrefix(digest1, "sha256:"), builder)
}

// state attaches an unsigned statement about a digest to an image, as the executor does
// without a key.
func state(t *testing.T, image name.Digest, about, predicateType, predicate string) {
	t.Helper()
	c := registry.New(registry.Config{})
	m, err := c.Manifest(t.Context(), image, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PushReferrer(t.Context(), image.Context(), v1.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Raw))}, registry.Referrer{
		ArtifactType: "application/vnd.in-toto+json", Annotations: map[string]string{"in-toto.io/predicate-type": predicateType},
		Blobs: []registry.ReferrerBlob{{MediaType: "application/vnd.in-toto+json", Raw: statementOf(about, predicateType, predicate)}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func statementOf(about, predicateType, predicate string) []byte {
	return fmt.Appendf(nil, `{"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "app", "digest": {"sha256": %q}}], "predicateType": %q, "predicate": %s}`,
		strings.TrimPrefix(about, "sha256:"), predicateType, predicate)
}

// How an image was built is what its provenance says, if that is about it.
func TestVerify_provenance(t *testing.T) {
	for version, start := range registries() {
		t.Run(version, func(t *testing.T) {
			host := start(t, registrytest.RealConfig{})
			image := pushed(t, host+"/app:1", "annotation.org.opencontainers.image.base.digest="+digest1, "etc/a=1")
			at := image.Name()
			state(t, image, image.DigestStr(), slsaType, provenance("https://builder.example"))
			verifies(t, 0, "builder https://builder.example", "--provenance", at)
			verifies(t, 0, "commit "+commit, "--builder-id", "https://builder.example", "--source-uri", "git+https://github.com/example/app@refs/heads/main",
				"--source-commit", commit, "--dependency", digest1, "--dependency", "gitCommit:"+commit, "--base-in-provenance", at)
			verifies(t, 0, "", "--source-uri", "https://github.com/example/app", at)
			for _, c := range [][]string{
				{`the builder is "https://builder.example"`, "--builder-id", "https://builder.example/other"},
				{"the source is ", "--source-uri", "https://github.com/example/app2"},
				{"the source is ", "--source-uri", "https://github.com/evil/x@github.com/example/app"},
				{"the source is ", "--source-commit", strings.Repeat("1", 40)},
				{"not among what was built from", "--dependency", "sha256:" + strings.Repeat("2", 64)},
			} {
				verifies(t, 4, c[0], append(c[1:], at)...)
			}

			// A statement about another image, and none at all.
			second := pushed(t, host+"/app:2", "annotation.org.opencontainers.image.base.digest=sha256:"+strings.Repeat("2", 64), "etc/a=2")
			verifies(t, 4, "it has no provenance", "--provenance", second.Name())
			state(t, second, image.DigestStr(), slsaType, provenance("https://builder.example"))
			verifies(t, 4, "a statement about something else", "--provenance", second.Name())
			state(t, second, second.DigestStr(), slsaType, provenance("https://builder.example"))
			verifies(t, 0, "", "--provenance", second.Name())
			verifies(t, 4, "the base: ", "--base-in-provenance", second.Name())
		})
	}
}

// Lists of software are those of the image, and lists.
func TestVerify_sbom(t *testing.T) {
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	image := pushed(t, host+"/app:1", "etc/a=1")
	at := image.Name()
	state(t, image, image.DigestStr(), spdxType, spdxList)
	verifies(t, 0, "spdx 1 packages", "--sbom", "spdx", at)
	verifies(t, 0, "spdx 1 packages", "--sbom", "any", at)
	verifies(t, 4, "it has no list of software (cyclonedx)", "--sbom", "spdx,cyclonedx", at)
	state(t, image, image.DigestStr(), cyclonedxType, cyclonedxList)
	verifies(t, 0, `"value": "0 packages"`, "--sbom", "spdx", "--sbom", "cyclonedx", "--output", "json", at)

	broken := pushed(t, host+"/app:2", "etc/a=2")
	state(t, broken, broken.DigestStr(), spdxType, cyclonedxList)
	verifies(t, 4, "it is no document of SPDX", "--sbom", "spdx", broken.Name())
	state(t, broken, broken.DigestStr(), cyclonedxType, `"text"`)
	verifies(t, 4, "read the list", "--sbom", "cyclonedx", broken.Name())
	other := pushed(t, host+"/app:3", "etc/a=3")
	state(t, other, image.DigestStr(), spdxType, spdxList)
	verifies(t, 4, "about something else", "--sbom", "spdx", other.Name())
}

// Where a key has to have signed, statements are by it too, in either form.
func TestVerify_signedStatements(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	theirs, _ := cosign.KeyPair(t)
	for version, start := range registries() {
		host := start(t, registrytest.RealConfig{})
		for form, flags := range cosignForms() {
			t.Run(version+" "+form, func(t *testing.T) {
				image := pushed(t, host+"/"+form+":1", "etc/a=1")
				gate := func(status int, says string, of name.Digest) {
					t.Helper()
					verifies(t, status, says, "--key", public, "--builder-id", "https://builder.example", "--sbom", "spdx", of.Name())
				}
				attest := func(by, kind, predicate string) {
					t.Helper()
					file := filepath.Join(t.TempDir(), "predicate.json")
					write(t, file, predicate)
					run(t, cosign, append(append([]string{"attest", "--yes", "--key", by, "--tlog-upload=false", "--type", kind, "--predicate", file}, flags...), image.Name()))
				}
				run(t, cosign, append(append([]string{"sign", "--yes", "--key", key, "--tlog-upload=false"}, flags...), image.Name()))
				state(t, image, image.DigestStr(), slsaType, provenance("https://builder.example"))
				state(t, image, image.DigestStr(), spdxType, spdxList)
				gate(4, "nobody signed it", image)
				attest(theirs, "slsaprovenance1", provenance("https://builder.example"))
				attest(key, "spdxjson", spdxList)
				gate(4, "not a signature of that text by that key", image)
				attest(key, "slsaprovenance1", provenance("https://other.example"))
				gate(4, `the builder is "https://other.example"`, image)
				attest(key, "slsaprovenance1", provenance("https://builder.example"))
				gate(0, "pass: 3 of 3 checks passed", image)

				// What was said of this one, of another.
				forged := pushed(t, host+"/"+form+":2", "etc/a=2")
				copyAttached(t, image, forged)
				gate(4, "about something else", forged)
			})
		}
	}
}

// What lies in an index is covered by the index's signature, and what was said of an
// index is said of its images.
func TestVerify_index(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	c := registry.New(registry.Config{})
	amd, arm := pushed(t, host+"/app:amd", "etc/a=1"), pushed(t, host+"/app:arm", "arch=arm64", "etc/a=1")
	tag := indexWith(t, host+"/app:all", spdxList, amd, arm)
	at := tag.Name()
	verifies(t, 0, "signed nobody was asked for", "--sbom", "spdx", "--platforms", "linux/amd64,linux/arm64", at)
	verifies(t, 4, "nobody signed it", "--key", public, "--sbom", "spdx", at)
	sign := []string{"--yes", "--key", key, "--tlog-upload=false", "--use-signing-config=false"}
	run(t, cosign, append(append([]string{"sign"}, sign...), at))
	verifies(t, 0, "signed with the index that it is in", "--key", public, "--sbom", "spdx", at)
	verifies(t, 4, "the image for linux/amd64: it has no signature", "--key", public, "--signature-recursive", at)
	run(t, cosign, append(append([]string{"sign", "--recursive"}, sign...), at))
	verifies(t, 0, `"name": "linux/arm64: signed by"`, "--key", public, "--signature-recursive", "--output", "json", at)

	h, err := c.Head(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	verifies(t, 4, "it has no provenance", "--provenance", at)
	state(t, tag.Context().Digest(h.String()), h.String(), slsaType, provenance("https://builder.example"))
	out := verifies(t, 0, "pass: 2 of 2 checks passed", "--provenance", at)
	if !strings.Contains(out, "linux/amd64") || !strings.Contains(out, "linux/arm64") {
		t.Error(out)
	}
	// Statements of another build are others, and the images are the same.
	rebuilt := indexWith(t, host+"/app:rebuilt", strings.Replace(spdxList, `"app"`, `"rebuilt"`, 1), amd, arm)
	verifies(t, 0, "pass: 3 of 5 checks passed, 2 skipped", "--rebuild", rebuilt.Name(), at)
	verifies(t, 0, `<skipped message="statements about an image are of one build`, "--rebuild", rebuilt.Name(), "--output", "junit", at)
	verifies(t, 0, "pass: 3 of 3", "--oci-media-types", "--no-foreign-layers", at)
}

// indexWith is an index of images with a list of software of each in it, as BuildKit
// makes it.
func indexWith(t *testing.T, ref, list string, images ...name.Digest) name.Tag {
	t.Helper()
	c := registry.New(registry.Config{})
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	add := func(of name.Digest, d v1.Descriptor) {
		m, err := c.Manifest(t.Context(), of, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		d.MediaType, d.Digest, d.Size = m.MediaType, m.Digest, int64(len(m.Raw))
		index.Manifests = append(index.Manifests, d)
	}
	for i, of := range images {
		add(of, v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: []string{"amd64", "arm64"}[i]}})
	}
	for _, of := range images {
		add(inToto(t, of, spdxType, list), v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of.DigestStr()},
		})
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := c.Tag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushManifest(t.Context(), tag, raw, types.OCIImageIndex); err != nil {
		t.Fatal(err)
	}
	return tag
}

// inToto pushes a manifest with a statement about an image, as BuildKit puts it into an
// index.
func inToto(t *testing.T, of name.Digest, predicateType, predicate string) name.Digest {
	t.Helper()
	c := registry.New(registry.Config{})
	raw := statementOf(of.DigestStr(), predicateType, predicate)
	if err := c.PushBlob(t.Context(), of.Context(), raw); err != nil {
		t.Fatal(err)
	}
	img, err := c.Manifest(t.Context(), of, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if err := json.Unmarshal(img.Raw, &m); err != nil {
		t.Fatal(err)
	}
	m.Layers = []v1.Descriptor{describe(raw, "application/vnd.in-toto+json", map[string]string{"in-toto.io/predicate-type": predicateType})}
	return pushManifest(t, of, m)
}

func describe(raw []byte, mt types.MediaType, annotations map[string]string) v1.Descriptor {
	h, n, _ := v1.SHA256(strings.NewReader(string(raw))) // memory can be read
	return v1.Descriptor{MediaType: mt, Digest: h, Size: n, Annotations: annotations}
}

// pushManifest pushes a manifest beside another.
func pushManifest(t *testing.T, beside name.Digest, m v1.Manifest) name.Digest {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	at := beside.Context().Digest(describe(raw, "", nil).Digest.String())
	if err := registry.New(registry.Config{}).PushManifest(t.Context(), at, raw, m.MediaType); err != nil {
		t.Fatal(err)
	}
	return at
}

// changed is an image of whose manifest something is otherwise.
func changed(t *testing.T, image name.Digest, change func(*v1.Manifest)) name.Digest {
	t.Helper()
	raw, err := registry.New(registry.Config{}).Manifest(t.Context(), image, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw.Raw, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	return pushManifest(t, image, m)
}

// Manifests and indexes of layers are what they should be, or are not.
func TestVerify_layers(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{}) // takes manifests with layers that are elsewhere
	image := pushed(t, s.Host()+"/app:1", "by=estargz", "etc/a=1", "etc/b=2")
	other := pushed(t, s.Host()+"/app:2", "by=estargz", "etc/a=1", "etc/b=3")
	for _, mode := range []string{"index", "full"} {
		verifies(t, 0, "1 of 1", "--estargz", mode, image.Name())
		bad := changed(t, image, func(m *v1.Manifest) {
			m.Layers[0].Annotations["containerd.io/snapshot/stargz/toc.digest"] = digest1
		})
		verifies(t, 4, "layer 1: ", "--estargz", mode, bad.Name())
	}
	// An index that is right, of an archive that is not the configuration's: only all
	// of the layer tells.
	swapped := changed(t, image, func(m *v1.Manifest) {
		c := registry.New(registry.Config{})
		raw, err := c.Manifest(t.Context(), other, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var its v1.Manifest
		if err := json.Unmarshal(raw.Raw, &its); err != nil {
			t.Fatal(err)
		}
		m.Layers = its.Layers
	})
	verifies(t, 0, "", "--estargz", "index", swapped.Name())
	verifies(t, 4, "the configuration says", "--estargz", "full", swapped.Name())

	verifies(t, 0, "", "--no-foreign-layers", "--oci-media-types", image.Name())
	foreign := changed(t, image, func(m *v1.Manifest) { m.Layers[0].URLs = []string{"https://example.com/layer"} })
	verifies(t, 4, "layer 1 is kept elsewhere", "--no-foreign-layers", foreign.Name())
	limited := changed(t, image, func(m *v1.Manifest) { m.Layers[0].MediaType = types.OCIRestrictedLayer })
	verifies(t, 4, "layer 1 is kept elsewhere", "--no-foreign-layers", limited.Name())
	docker := changed(t, image, func(m *v1.Manifest) { m.Layers[0].MediaType = types.DockerLayer })
	verifies(t, 4, "layer 1 is application/vnd.docker", "--oci-media-types", docker.Name())
	docker = changed(t, image, func(m *v1.Manifest) { m.MediaType = types.DockerManifestSchema2 })
	verifies(t, 4, "the manifest is application/vnd.docker", "--oci-media-types", docker.Name())
}

// The answer is the predicate of an attestation that cosign makes and verifies.
func TestVerify_predicate(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	image := pushed(t, host+"/app:1", "user=1000", "etc/a=1")
	file := filepath.Join(t.TempDir(), "verified.json")
	verifies(t, 0, "", "--non-root", "--digest", image.DigestStr(), "--predicate", file, image.Name())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	run(t, cosign, []string{
		"attest", "--yes", "--key", key, "--tlog-upload=false", "--use-signing-config=false", "--type", want.PredicateType, "--predicate", file, image.Name(),
	})
	out, err := cosign.Run(t, "verify-attestation", "--key", public, "--insecure-ignore-tlog=true", "--type", want.PredicateType, image.Name())
	if err != nil {
		t.Fatal(out, err)
	}
	var envelope struct {
		Payload []byte `json:"payload"`
	}
	if err := json.Unmarshal([]byte(out), &envelope); err != nil {
		t.Fatal(err)
	}
	var statement struct {
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(envelope.Payload, &statement); err != nil {
		t.Fatal(err)
	}
	var got, sent any
	if err := json.Unmarshal(statement.Predicate, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(sent) || statement.PredicateType != want.PredicateType {
		t.Errorf("%s: %s, and was %s", statement.PredicateType, statement.Predicate, text)
	}
	// It is the same each time.
	verifies(t, 0, string(text), "--non-root", "--digest", image.DigestStr(), "--output", "json", "--predicate", file, image.Name())
}
