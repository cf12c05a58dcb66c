package sign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/executor/internal/exporter"
	"github.com/kaniko-suite/kaniko/executor/internal/sign"
	form "github.com/kaniko-suite/kaniko/shared/image"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

// formats are all of them.
func formats() []sign.Format { return []sign.Format{sign.Tag, sign.Referrers, sign.Both} }

// TestKey: cosign verifies what a key signed, with what was signed along with it, and
// by no other key.
func TestKey(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	_, other := cosign.KeyPair(t)
	for version, start := range versions() {
		host := start(t, registrytest.RealConfig{})
		for _, f := range formats() {
			t.Run(version+" "+string(f), func(t *testing.T) {
				c := client()
				subject, image := push(t, c, host+"/app/"+string(f)+":1")
				o := keyed(c, key, f)
				o.Annotations = map[string]string{"commit": "abc"}
				attach(t, open(t, o), subject)
				out, err := cosign.Verify(t, public, image, "-a", "commit=abc")
				if err != nil {
					t.Error(err)
				}
				if !strings.Contains(out, subject.Descriptor.Digest.String()) {
					t.Errorf("verified %s", out)
				}
				if _, err := cosign.Verify(t, public, image, "-a", "commit=def"); err == nil {
					t.Error("verified with an annotation that was not signed")
				}
				if _, err := cosign.Verify(t, other, image); err == nil {
					t.Error("verified by another key")
				}
			})
		}
	}
}

// TestKey_kinds: keys of other kinds, which are not encrypted, with no password at all.
func TestKey_kinds(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	host := registrytest.Real(t, registrytest.RealConfig{})
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]struct {
		key, public any
		verify      []string
	}{
		"p256":    {p256, p256.Public(), nil},
		"p384":    {p384, p384.Public(), []string{"--signature-digest-algorithm=sha384"}}, // as cosign wants it for its own, too
		"rsa":     {short, short.Public(), nil},
		"ed25519": {edwards, edwards.Public(), nil},
	} {
		for _, f := range []sign.Format{sign.Tag, sign.Referrers} {
			t.Run(name+" "+string(f), func(t *testing.T) {
				key, public := write(t, kind.key, kind.public)
				c := client()
				subject, image := push(t, c, host+"/"+name+"/"+string(f)+":1")
				o := keyed(c, key, f)
				o.Key.LookupEnv = environment()
				attach(t, open(t, o), subject)
				if _, err := cosign.Verify(t, public, image, kind.verify...); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// write writes a key pair in PEM.
func write(t *testing.T, key, pub any) (private, public string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "pub.pem")
	put(t, private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if der, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	put(t, public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return private, public
}

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKey_places: a key in the environment, and a mounted secret with its password.
func TestKey_places(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	host := registrytest.Real(t, registrytest.RealConfig{})
	key, public := cosign.KeyPair(t)
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := t.TempDir()
	put(t, filepath.Join(secret, "cosign.key"), text)
	put(t, filepath.Join(secret, "cosign.password"), []byte(signtest.Password))
	password := filepath.Join(t.TempDir(), "password")
	put(t, password, []byte(signtest.Password+"\n"))
	for name, o := range map[string]sign.KeyOptions{
		"environment":   {Key: "env://KEY", LookupEnv: environment("KEY="+string(text), "COSIGN_PASSWORD="+signtest.Password)},
		"secret":        {Key: secret, LookupEnv: environment()},
		"password-file": {Key: key, PasswordFile: password, LookupEnv: environment("COSIGN_PASSWORD=another")},
	} {
		t.Run(name, func(t *testing.T) {
			c := client()
			subject, image := push(t, c, host+"/"+name+":1")
			attach(t, open(t, sign.Options{Client: c, Format: sign.Tag, Key: o}), subject)
			if _, err := cosign.Verify(t, public, image); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIndex: every image of an index is signed, and the index, in all repositories.
func TestIndex(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	key, public := cosign.KeyPair(t)
	for _, f := range formats() {
		t.Run(string(f), func(t *testing.T) {
			c := client()
			var tags []name.Tag
			for _, repo := range []string{"one", "two"} {
				tag, err := c.Tag(host + "/" + string(f) + "/" + repo + ":1")
				if err != nil {
					t.Fatal(err)
				}
				tags = append(tags, tag)
			}
			x := exporter.NewIndex(exporter.Config{
				Client: c, Destinations: tags, Attachers: []exporter.Attacher{open(t, keyed(c, key, f))},
			}, form.Form{})
			for _, arch := range []string{"amd64", "arm64"} {
				if err := x.Image(t.Context(), imageFor(t, arch)); err != nil {
					t.Fatal(err)
				}
			}
			index, err := x.Finish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list, err := v1.ParseIndexManifest(bytes.NewReader(index.Raw))
			if err != nil {
				t.Fatal(err)
			}
			all := []v1.Hash{index.Digest}
			for _, d := range list.Manifests {
				all = append(all, d.Digest)
			}
			if len(all) != 3 {
				t.Fatalf("an index of %v", list.Manifests)
			}
			for _, tag := range tags {
				for _, h := range all {
					if _, err := cosign.Verify(t, public, tag.Context().Digest(h.String()).Name()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// imageFor is an image for a platform.
func imageFor(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestAgain: to sign the same image again adds nothing, and what others signed stays.
func TestAgain(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	theirs, theirPublic := cosign.KeyPair(t)
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			host := start(t, registrytest.RealConfig{})
			c := client()
			subject, image := push(t, c, host+"/app:1")
			for _, args := range [][]string{
				{"--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"},
				{"--use-signing-config=false", "--tlog-upload=false"},
			} {
				if _, err := cosign.Run(t, append(append([]string{"sign", "--yes", "--key", theirs}, args...), image)...); err != nil {
					t.Fatal(err)
				}
			}
			before := count(t, c, subject)
			for range 3 {
				attach(t, open(t, keyed(client(), key, sign.Both)), subject)
			}
			if got, want := count(t, c, subject), (counts{before.tagged + 1, before.referring + 1}); got != want {
				t.Errorf("signatures: %+v, want %+v", got, want)
			}
			for _, by := range []string{public, theirPublic} {
				if _, err := cosign.Verify(t, by, image); err != nil {
					t.Error(err)
				}
				if _, err := cosign.Verify(t, by, image, "--new-bundle-format=false"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// counts are how many signatures an image has.
type counts struct{ tagged, referring int }

func count(t *testing.T, c *registry.Client, of exporter.Subject) counts {
	t.Helper()
	m, err := c.Manifest(t.Context(), sigTag(of), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Referrers(t.Context(), of.Repository, of.Descriptor.Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return counts{len(parsed.Layers), len(all)}
}

func sigTag(of exporter.Subject) name.Tag {
	return of.Repository.Tag("sha256-" + of.Descriptor.Digest.Hex + ".sig")
}

// TestTampered: what was signed, and nothing that was made of it.
func TestTampered(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	for _, f := range []sign.Format{sign.Tag, sign.Referrers} {
		t.Run(string(f), func(t *testing.T) {
			c := client()
			at := host + "/" + string(f) + ":1"
			subject, image := push(t, c, at)
			attach(t, open(t, keyed(c, key, f)), subject)
			if _, err := cosign.Verify(t, public, at); err != nil {
				t.Fatal(err)
			}

			// Another image under the same tag.
			forged, forgedImage := push(t, c, at)
			rejected(t, cosign, public, at)

			// Another image with the signatures of this one.
			copySignatures(t, c, subject, forged)
			rejected(t, cosign, public, forgedImage)

			// This image, with what was signed changed.
			change(t, c, subject, f)
			rejected(t, cosign, public, image)
		})
	}
}

func rejected(t *testing.T, cosign *signtest.Cosign, public, image string) {
	t.Helper()
	if out, err := cosign.Verify(t, public, image); err == nil {
		t.Errorf("%s is verified: %s", image, out)
	}
}

// copySignatures says of one image what was signed of another.
func copySignatures(t *testing.T, c *registry.Client, from, to exporter.Subject) {
	t.Helper()
	ctx := t.Context()
	if m, err := c.Manifest(ctx, sigTag(from), 1<<20); err == nil {
		if err := c.PushManifest(ctx, sigTag(to), m.Raw, m.MediaType); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.Referrers(ctx, from.Repository, from.Descriptor.Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		m, err := c.Manifest(ctx, from.Repository.Digest(d.Digest.String()), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.Blob(ctx, from.Repository, parsed.Layers[0].Digest, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.PushReferrer(ctx, to.Repository, to.Descriptor, registry.Referrer{
			ArtifactType: parsed.ArtifactType, Annotations: parsed.Annotations,
			Blobs: []registry.ReferrerBlob{{MediaType: string(parsed.Layers[0].MediaType), Raw: raw}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// change puts another text under the signature that is there.
func change(t *testing.T, c *registry.Client, of exporter.Subject, f sign.Format) {
	t.Helper()
	at := name.Reference(sigTag(of))
	if f == sign.Referrers {
		all, err := c.Referrers(t.Context(), of.Repository, of.Descriptor.Digest, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		at = of.Repository.Digest(all[0].Digest.String())
	}
	m, err := c.Manifest(t.Context(), at, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(m.Raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Blob(t.Context(), of.Repository, parsed.Layers[0].Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if f == sign.Referrers {
		list(t, c, of, parsed, forge(t, text))
		return
	}
	changed := bytes.Replace(text, []byte(`"optional":null`), []byte(`"optional":{"a":"b"}`), 1)
	if bytes.Equal(changed, text) {
		t.Fatalf("what is signed is %s", text)
	}
	if err := c.PushBlob(t.Context(), of.Repository, changed); err != nil {
		t.Fatal(err)
	}
	if parsed.Layers[0].Digest, parsed.Layers[0].Size, err = v1.SHA256(bytes.NewReader(changed)); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PushManifest(t.Context(), at, raw, m.MediaType); err != nil {
		t.Fatal(err)
	}
}

// forge changes the statement of a bundle.
func forge(t *testing.T, bundle []byte) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	envelope := b["dsseEnvelope"].(map[string]any)
	text, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	envelope["payload"] = base64.StdEncoding.EncodeToString(append(text, ' '))
	changed, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// list has a bundle be all that refers to an image.
func list(t *testing.T, c *registry.Client, of exporter.Subject, like *v1.Manifest, bundle []byte) {
	t.Helper()
	tag := registry.ReferrersTag(of.Repository, of.Descriptor.Digest)
	if err := c.PushManifest(t.Context(), tag, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), types.OCIImageIndex); err != nil {
		t.Fatal(err)
	}
	_, err := c.PushReferrer(t.Context(), of.Repository, of.Descriptor, registry.Referrer{
		ArtifactType: like.ArtifactType, Annotations: like.Annotations,
		Blobs: []registry.ReferrerBlob{{MediaType: string(like.Layers[0].MediaType), Raw: bundle}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
