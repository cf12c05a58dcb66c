package ocilayout

import (
	"context"
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/shared/plan"
)

// next answers for everything that is no layout.
type next struct{}

var errNext = errors.New("asked the registry")

func (next) Resolve(context.Context, string, v1.Platform) (*plan.Image, error) { return nil, errNext }

func (next) Image(context.Context, *plan.Image) (v1.Image, error) { return nil, errNext }

// image makes an image for an architecture of linux.
func image(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestBases(t *testing.T) {
	dir := t.TempDir()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	amd, arm, other := image(t, "amd64"), image(t, "arm64"), image(t, "amd64")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	named := func(name string) layout.Option {
		return layout.WithAnnotations(map[string]string{refName: name})
	}
	if err := errors.Join(l.AppendIndex(index, named("multi")), l.AppendImage(other, named("example.com/x:one"))); err != nil {
		t.Fatal(err)
	}
	b := Bases{next{}}
	linux := func(arch string) v1.Platform { return v1.Platform{OS: "linux", Architecture: arch} }
	for _, c := range []struct {
		ref  string
		p    v1.Platform
		want string
	}{
		{Scheme + dir + ":multi", linux("amd64"), digest(t, amd)},
		{Scheme + dir + ":multi", linux("arm64"), digest(t, arm)},
		{Scheme + dir + ":one", linux("amd64"), digest(t, other)},
		{Scheme + dir + "@" + digest(t, other), linux("amd64"), digest(t, other)},
		{Scheme + dir + ":one@" + digest(t, other), linux("amd64"), digest(t, other)},
	} {
		got, err := b.Resolve(t.Context(), c.ref, c.p)
		if err != nil || got.Digest.String() != c.want || got.Ref != c.ref {
			t.Errorf("%s: %v, %v", c.ref, got, err)
			continue
		}
		img, err := b.Image(t.Context(), got)
		if err != nil || digest(t, img) != c.want {
			t.Errorf("open %s: %v", c.ref, err)
		}
	}
	for ref, want := range map[string]string{
		Scheme + dir + ":none":                              "no image in it has that tag",
		Scheme + dir + "@sha256:" + strings.Repeat("0", 64): "no image in it has that tag or digest",
		Scheme + dir + "/none":                              "no such file",
		Scheme + t.TempDir():                                "no such file",
		"docker.io/library/debian":                          "asked the registry",
	} {
		if _, err := b.Resolve(t.Context(), ref, linux("amd64")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := b.Resolve(t.Context(), Scheme+dir+":multi", linux("s390x")); err == nil {
		t.Error("an image for another machine is taken")
	}
	if got, ok := Dir(Scheme + "/a/b:c@d"); got != "/a/b" || !ok {
		t.Errorf("%q", got)
	}
	if _, ok := Dir("debian"); ok {
		t.Error("debian is a layout")
	}
}
