package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

// registries are the real ones: one keeps lists of what refers to an image, and one has
// to be given the list under a tag.
func registries() map[string]func(testing.TB, registrytest.RealConfig) string {
	return map[string]func(testing.TB, registrytest.RealConfig) string{"2.8": registrytest.Real, "3": registrytest.RealV3}
}

// pushed pushes an image and returns its name by digest.
func pushed(t *testing.T, ref string, words ...string) name.Digest {
	t.Helper()
	img := imageOf(t, words)
	push(t, ref, img)
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	return tag.Context().Digest(h.String())
}

// verifies runs inspect verify and requires its status, and that it says something.
func verifies(t *testing.T, status int, says string, args ...string) string {
	t.Helper()
	got, out := inspect(t, append([]string{"verify"}, args...)...)
	if got != status || !strings.Contains(out, says) {
		t.Errorf("verify %s: status %d, want %d and %q:\n%s", strings.Join(args, " "), got, status, says, out)
	}
	return out
}

// cosignForms are the two ways in which cosign keeps signatures.
func cosignForms() map[string][]string {
	return map[string][]string{
		"tag":      {"--new-bundle-format=false", "--use-signing-config=false"},
		"referrer": {"--use-signing-config=false"},
	}
}

// What a key signed is verified, and nothing else: no other image, no other text, by no
// other key.
func TestVerify_key(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	_, other := cosign.KeyPair(t)
	for version, start := range registries() {
		host := start(t, registrytest.RealConfig{})
		for form, flags := range cosignForms() {
			t.Run(version+" "+form, func(t *testing.T) {
				at := host + "/" + form + ":1"
				image := pushed(t, at, "etc/a=1")
				verifies(t, 4, "it has no signature", "--key", public, at)
				run(t, cosign, append(append([]string{"sign", "--yes", "--key", key, "--tlog-upload=false", "-a", "commit=abc"}, flags...), image.Name()))
				verifies(t, 0, "signed by sha256:", "--key", public, "--annotation", "commit=abc", at)
				verifies(t, 0, form, "--key", public, "--output", "json", image.Name())
				verifies(t, 4, "commit=def is not signed with it", "--key", public, "--annotation", "commit=def", at)
				verifies(t, 4, "not a signature of that text by that key", "--key", other, at)

				// Another image with the signatures of this one.
				forged := pushed(t, host+"/"+form+":2", "etc/a=2")
				copyAttached(t, image, forged)
				verifies(t, 4, "something else", "--key", public, forged.Name())
				// This image with what was signed changed.
				third := pushed(t, host+"/"+form+":3", "etc/a=3")
				forge(t, image, third)
				verifies(t, 4, "not a signature of that text by that key", "--key", public, third.Name())
				// A good one beside bad ones counts.
				run(t, cosign, append(append([]string{"sign", "--yes", "--key", key, "--tlog-upload=false"}, flags...), third.Name()))
				verifies(t, 0, "", "--key", public, third.Name())
				// No entry of a log is there, so none is found.
				root := filepath.Join(t.TempDir(), "root.json")
				write(t, root, `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
				verifies(t, 4, "no entry of a transparency log", "--key", public, "--require-tlog", "--trusted-root", root, at)
			})
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, cosign *signtest.Cosign, args []string) {
	t.Helper()
	if out, err := cosign.Run(t, args...); err != nil {
		t.Fatal(out, err)
	}
}

// attachedTo calls do for every layer that is attached to an image, under a tag of
// cosign's or as a referrer, with where it is.
func attachedTo(t *testing.T, image name.Digest, do func(tag string, m *v1.Manifest, l v1.Descriptor, raw []byte)) {
	t.Helper()
	c := registry.New(registry.Config{})
	each := func(tag string, ref name.Reference) {
		m, err := c.Manifest(t.Context(), ref, 1<<20)
		if err != nil {
			return // there is none
		}
		parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range parsed.Layers {
			raw, err := c.Blob(t.Context(), image.Context(), l.Digest, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			do(tag, parsed, l, raw)
		}
	}
	h := hashOf(t, image)
	for _, suffix := range []string{"sig", "att"} {
		each(suffix, image.Context().Tag("sha256-"+h.Hex+"."+suffix))
	}
	all, err := c.Referrers(t.Context(), image.Context(), h, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		each("", image.Context().Digest(d.Digest.String()))
	}
}

func hashOf(t *testing.T, image name.Digest) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(image.DigestStr())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// attachLayer puts a layer to an image as the one that it was made of.
func attachLayer(t *testing.T, image name.Digest, tag string, m *v1.Manifest, l v1.Descriptor, raw []byte) {
	t.Helper()
	c := registry.New(registry.Config{})
	if err := c.PushBlob(t.Context(), image.Context(), raw); err != nil {
		t.Fatal(err)
	}
	h, n, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if tag == "" {
		subject, err := c.Manifest(t.Context(), image, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.PushReferrer(t.Context(), image.Context(), v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: int64(len(subject.Raw))}, registry.Referrer{
			ArtifactType: string(l.MediaType), Annotations: m.Annotations,
			Blobs: []registry.ReferrerBlob{{MediaType: string(l.MediaType), Raw: raw}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	one := *m
	l.Digest, l.Size = h, n
	one.Layers = []v1.Descriptor{l}
	text, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushManifest(t.Context(), image.Context().Tag("sha256-"+hashOf(t, image).Hex+"."+tag), text, m.MediaType); err != nil {
		t.Fatal(err)
	}
}

// copyAttached says of one image what was said of another.
func copyAttached(t *testing.T, from, to name.Digest) {
	t.Helper()
	n := 0
	attachedTo(t, from, func(tag string, m *v1.Manifest, l v1.Descriptor, raw []byte) {
		n++
		attachLayer(t, to, tag, m, l, raw)
	})
	if n == 0 {
		t.Fatal("nothing was attached")
	}
}

// forge is copyAttached, and what was said is said of the other image: its digest is put
// in the place of the first's, in envelopes as well.
func forge(t *testing.T, from, to name.Digest) {
	t.Helper()
	n := 0
	old, now := []byte(hashOf(t, from).Hex), []byte(hashOf(t, to).Hex)
	attachedTo(t, from, func(tag string, m *v1.Manifest, l v1.Descriptor, raw []byte) {
		if bytes.Contains(raw, old) {
			raw = bytes.ReplaceAll(raw, old, now)
		} else {
			var doc map[string]any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			envelope, ok := doc["dsseEnvelope"].(map[string]any)
			if !ok {
				envelope = doc
			}
			payload := unbase64(t, envelope["payload"].(string))
			if !bytes.Contains(payload, old) {
				t.Fatalf("what was signed is %s", payload)
			}
			envelope["payload"] = bytes.ReplaceAll(payload, old, now)
			var err error
			if raw, err = json.Marshal(doc); err != nil {
				t.Fatal(err)
			}
		}
		n++
		attachLayer(t, to, tag, m, l, raw)
	})
	if n == 0 {
		t.Fatal("nothing was attached")
	}
}

func unbase64(t *testing.T, text string) []byte {
	t.Helper()
	var b []byte
	if err := json.Unmarshal(fmt.Appendf(nil, "%q", text), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// What an identity signed is verified with the roots of its services, by its name and
// no other, and not without what says when.
func TestVerify_identity(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	services := signtest.StartServices(t, cosign)
	foreign := signtest.StartServices(t, cosign)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	token := services.Issuer.Token(t, "ci@example.com", time.Now().Add(time.Hour))
	by := func(identity, issuer, root string, more ...string) []string {
		return append([]string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer, "--trusted-root", root, "--insecure-ignore-sct"}, more...)
	}
	// With an entry of a log and a timestamp, with a timestamp alone, and that under a
	// tag. Entries of a log of the first version, which cannot run here, are tested
	// where they are read.
	for kind, c := range map[string]struct {
		sign []string
		says string
		more []string
	}{
		"log":   {[]string{"--signing-config", signingConfig(t, services, services.Log, services.Timestamp)}, "log index ", nil},
		"stamp": {[]string{"--signing-config", signingConfig(t, services, "", services.Timestamp)}, "signed at ", []string{"--insecure-ignore-tlog"}},
		"tag": {[]string{
			"--use-signing-config=false", "--fulcio-url", services.Authority, "--timestamp-server-url", services.Timestamp, "--tlog-upload=false", "--new-bundle-format=false",
		}, "found at tag sha256-", []string{"--insecure-ignore-tlog"}},
	} {
		t.Run(kind, func(t *testing.T) {
			repo := host + "/" + kind
			image := pushed(t, repo+":1", "etc/a=1")
			run(t, cosign, append(append([]string{"sign", "--yes", "--identity-token", token, "--trusted-root", services.Root}, c.sign...), image.Name()))
			good := by("ci@example.com", services.Issuer.URL, services.Root, c.more...)
			verifies(t, 0, "signed by ci@example.com", append(good, image.Name())...)
			verifies(t, 0, c.says, append(good, image.Name())...)
			verifies(t, 0, "issuer "+services.Issuer.URL, append([]string{
				"--certificate-identity-regexp", `^ci@.*\.com$`, "--certificate-oidc-issuer-regexp", "^http://127", "--trusted-root", services.Root, "--insecure-ignore-sct",
			}, append(c.more, image.Name())...)...)
			verifies(t, 4, "which is not who should sign", append(by("other@example.com", services.Issuer.URL, services.Root, c.more...), image.Name())...)
			verifies(t, 4, "which is not who should vouch", append(by("ci@example.com", "https://other.example", services.Root, c.more...), image.Name())...)
			verifies(t, 4, "not good", append(by("ci@example.com", services.Issuer.URL, foreign.Root, c.more...), image.Name())...)
			verifies(t, 4, "log of certificates", append([]string{
				"--certificate-identity", "ci@example.com", "--certificate-oidc-issuer", services.Issuer.URL, "--trusted-root", services.Root,
			}, append(c.more, image.Name())...)...)
			if c.more != nil {
				verifies(t, 4, "no entry of a transparency log", append(by("ci@example.com", services.Issuer.URL, services.Root), image.Name())...)
			}
			file := filepath.Join(t.TempDir(), "provenance.json")
			write(t, file, provenance("https://builder.example"))
			run(t, cosign, append(append([]string{
				"attest", "--yes", "--identity-token", token, "--trusted-root", services.Root, "--type", "slsaprovenance1", "--predicate", file,
			}, c.sign...), image.Name()))
			verifies(t, 0, "pass: 2 of 2", append(good, "--builder-id", "https://builder.example", image.Name())...)
			verifies(t, 4, "it has no provenance", append(good, "--provenance", pushed(t, repo+":4", "etc/a=4").Name())...)
			out := verifies(t, 4, "its provenance is not good", append(by("other@example.com", services.Issuer.URL, services.Root, c.more...), "--provenance", image.Name())...)
			if !strings.Contains(out, "0 of 2 checks passed, 2 failed") {
				t.Error(out)
			}
			forged := pushed(t, repo+":2", "etc/a=2")
			copyAttached(t, image, forged)
			verifies(t, 4, "something else", append(good, forged.Name())...)
			third := pushed(t, repo+":3", "etc/a=3")
			forge(t, image, third)
			verifies(t, 4, "not a signature of that text by that key", append(good, third.Name())...)
		})
	}
}

// signingConfig is where cosign is told to have signatures logged and stamped.
func signingConfig(t *testing.T, s *signtest.Services, log, stamps string) string {
	t.Helper()
	service := func(url string, version int) string {
		if url == "" {
			return "[]"
		}
		return fmt.Sprintf(`[{"url": %q, "majorApiVersion": %d, "operator": "test", "validFor": {"start": "2024-01-01T00:00:00Z"}}]`, url, version)
	}
	file := filepath.Join(t.TempDir(), "signing.json")
	text := fmt.Sprintf(`{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "caUrls": %s, "tsaUrls": %s, "tsaConfig": {"selector": "ANY"}`,
		service(s.Authority, 1), service(stamps, 1))
	if log != "" {
		text += fmt.Sprintf(`, "rekorTlogUrls": %s, "rekorTlogConfig": {"selector": "ANY"}`, service(log, 2))
	}
	write(t, file, text+"}")
	return file
}
