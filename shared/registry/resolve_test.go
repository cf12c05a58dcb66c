package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// index puts an index into a server: an image for each platform, in this order,
// and an attestation as BuildKit adds them.
func index(t *testing.T, s *registrytest.Server, at string, platforms ...string) map[string]v1.Hash {
	t.Helper()
	idx := v1.ImageIndex(empty.Index)
	digests := map[string]v1.Hash{}
	for _, p := range append(platforms, "unknown/unknown") {
		img := image(t, 1, 100)
		parsed, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		digests[p] = hash(t, img)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: parsed}})
	}
	write(t, s, at, idx)
	return digests
}

func write(t *testing.T, s *registrytest.Server, at string, idx v1.ImageIndex) {
	t.Helper()
	ref, err := name.ParseReference(s.Host() + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	s.Forget()
}

func TestResolve_platform(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	digests := index(t, s, "multi:1", "linux/amd64", "linux/arm64/v8", "linux/arm/v6", "windows/amd64")
	c := client(t, registry.Config{})
	for want, of := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/arm64": "linux/arm64/v8", "linux/arm/v7": "linux/arm/v6", "linux/x86_64": "linux/amd64",
	} {
		p, err := v1.ParsePlatform(want)
		if err != nil {
			t.Fatal(err)
		}
		img, err := c.Resolve(context.Background(), s.Host()+"/multi:1", *p)
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if hash(t, img) != digests[of] || img.Ref().DigestStr() != digests[of].String() {
			t.Errorf("%s: got another than that for %s", want, of)
		}
	}
	if n := s.Count("GET manifest"); n != 4 { // the index and three images
		t.Errorf("%d manifests were fetched", n)
	}

	_, err := c.Resolve(context.Background(), s.Host()+"/multi:1", v1.Platform{OS: "linux", Architecture: "s390x"})
	check(t, err, "no image for platform linux/s390x; there is linux/amd64, linux/arm64/v8, linux/arm/v6, windows/amd64", 69)
	var none *registry.PlatformError
	if !errors.As(err, &none) || none.Hint() == "" {
		t.Errorf("error %v gives no hint", err)
	}
}

// TestResolve_nested: an index may be in an index.
func TestResolve_nested(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	inner := v1.ImageIndex(empty.Index)
	img := image(t, 1, 100)
	inner = mutate.AppendManifests(inner, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	write(t, s, "nested:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: inner}))
	c := client(t, registry.Config{})
	got, err := c.Resolve(context.Background(), s.Host()+"/nested:1", linux)
	if err != nil || hash(t, got) != hash(t, img) {
		t.Errorf("got %v, error %v", got, err)
	}
	if _, err := c.Resolve(context.Background(), s.Host()+"/nested:1", v1.Platform{Architecture: "arm64"}); err == nil || !strings.Contains(err.Error(), "there is linux/amd64") {
		t.Errorf("another platform: %v", err)
	}
}

// TestResolve_single: an image that is for one platform only is taken as it is.
func TestResolve_single(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	img, err := mutate.ConfigFile(image(t, 1, 100), &v1.ConfigFile{OS: "linux", Architecture: "aarch64"})
	if err != nil {
		t.Fatal(err)
	}
	seed(t, s, "one:1", mutate.MediaType(img, types.OCIManifestSchema1))
	c := client(t, registry.Config{})
	got, err := c.Resolve(context.Background(), s.Host()+"/one:1", linux)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := got.Platform(); err != nil || p.String() != "linux/arm64" {
		t.Errorf("the platform is %s, error %v", p, err)
	}
	// By digest, also along with a tag.
	for _, ref := range []string{"/one@", "/one:anything@"} {
		if again, err := c.Resolve(context.Background(), s.Host()+ref+hash(t, got).String(), linux); err != nil || hash(t, again) != hash(t, got) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if n := s.Count("GET manifest"); n != 1 {
		t.Errorf("%d manifests were fetched", n)
	}
}

// TestOptions_Bind: the flags, as users of kaniko know them.
func TestOptions_Bind(t *testing.T) {
	var o registry.Options
	f := pflag.NewFlagSet("executor", pflag.ContinueOnError)
	o.Bind(f)
	err := f.Parse([]string{
		"--insecure", "--insecure-pull=true", "--insecure-registry", "a:1", "--insecure-registry=b,c",
		"--skip-tls-verify", "--skip-tls-verify-pull", "--skip-tls-verify-registry=d", "--skip-tls-verify-registry=e",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !o.Insecure || !o.InsecurePull || !o.SkipTLSVerify || !o.SkipTLSVerifyPull ||
		strings.Join(o.InsecureRegistries, " ") != "a:1 b,c" || strings.Join(o.SkipTLSVerifyRegistries, " ") != "d e" {
		t.Errorf("read %+v", o)
	}
}
