package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// archiveWith is an archive of one file.
func archiveWith(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(raw)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sample(t *testing.T, architecture string) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	plain := archiveWith(t, "etc/note", "for "+architecture)
	diffID, _, err := v1.SHA256(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(zipped(t, plain), types.OCILayer), MediaType: types.OCILayer})
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: architecture, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{diffID}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func push(t *testing.T, c *registry.Client, ref string, img v1.Image) {
	t.Helper()
	tag, err := c.Tag(ref)
	if err == nil {
		err = c.PushImage(t.Context(), tag, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// note is what an image's only file says.
func note(t *testing.T, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, "etc/note") {
			raw, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
}

func skopeo(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--insecure-policy", "copy", "--src-tls-verify=false"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("skopeo %v: %v\n%s", args, err, out)
	}
}

// What skopeo makes of an image in a registry is opened wherever it puts it.
func TestOpen_skopeo(t *testing.T) {
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	c := registry.New(registry.Config{})
	push(t, c, host+"/app:1", sample(t, "amd64"))
	dir := t.TempDir()
	skopeo(t, "docker://"+host+"/app:1", "oci:"+dir+"/layout:one")
	skopeo(t, "docker://"+host+"/app:1", "docker-archive:"+dir+"/plain.tar:example.com/app:1")
	raw, err := os.ReadFile(dir + "/plain.tar")
	if err == nil {
		err = os.WriteFile(dir+"/zipped.tar.gz", zipped(t, raw), 0o600)
	}
	if err == nil {
		err = os.WriteFile(dir+"/root.tar", archiveWith(t, "./etc/note", "for amd64"), 0o600)
	}
	if err == nil {
		err = os.WriteFile(dir+"/root.tar.gz", zipped(t, archiveWith(t, "./etc/note", "for amd64")), 0o600)
	}
	if err == nil {
		err = os.MkdirAll(dir+"/root/etc", 0o755)
	}
	if err == nil {
		err = os.WriteFile(dir+"/root/etc/note", []byte("for amd64"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	top, err := c.Head(t.Context(), host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{
		host + "/app:1", host + "/app@" + top.String(), "oci:" + dir + "/layout", "oci:" + dir + "/layout:one", "oci:" + dir + "/layout@" + top.String(),
		"docker-archive:" + dir + "/plain.tar", "docker-archive:" + dir + "/zipped.tar.gz",
		"tar:" + dir + "/root.tar", "tar:" + dir + "/root.tar.gz", "dir:" + dir + "/root",
	} {
		s, err := Open(t.Context(), c, spec)
		if err != nil {
			t.Error(err)
			continue
		}
		bare := strings.HasPrefix(spec, "tar:") || strings.HasPrefix(spec, "dir:")
		exact := IsReference(spec) || strings.HasPrefix(spec, "oci:")
		if s.Name != spec || s.Bare != bare || (s.Repository != nil) != IsReference(spec) || (s.Digest == top) != exact {
			t.Errorf("%s: %+v", spec, s)
		}
		if got, _, _ := v1.SHA256(bytes.NewReader(s.Raw)); got != s.Digest {
			t.Errorf("%s: %s is the digest of other bytes", spec, s.Digest)
		}
		img, err := s.One(nil, v1.Platform{OS: "linux", Architecture: "arm64"})
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if !bare && img.Platform.Architecture != "amd64" {
			t.Errorf("%s is for %s", spec, img.Platform)
		}
		if got := note(t, img); got != "for amd64" {
			t.Errorf("%s: %q", spec, got)
		}
	}
	for _, spec := range []string{
		host + "/app:2", host + "/other:1", "oci:" + dir + "/layout:two", "oci:" + dir + "/nowhere", "docker-archive:" + dir + "/nowhere", "tar:" + dir + "/nowhere", "dir:" + dir + "/nowhere",
	} {
		_, err := Open(t.Context(), c, spec)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	if _, err := Open(t.Context(), c, "docker-archive:"+dir+"/root.tar"); err == nil {
		t.Error("an archive of files was taken for one for docker load")
	}
}

// Of an index the images are found by platform, attestations apart, and no layer is read.
func TestImages(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := registry.New(registry.Config{})
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range []string{"amd64", "arm64", "unknown"} {
		img := sample(t, architecture)
		push(t, c, s.Host()+"/app:"+architecture, img)
		add := mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}}
		if architecture == "unknown" {
			add.Platform.OS = "unknown"
		}
		index = mutate.AppendManifests(index, add)
	}
	raw, err := index.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := c.Tag(s.Host() + "/app:all")
	if err == nil {
		err = c.PushManifest(t.Context(), tag, raw, types.OCIImageIndex)
	}
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), registry.New(registry.Config{}), s.Host()+"/app:all")
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	all, err := opened.Images(nil)
	if err != nil || len(all) != 2 || all[0].Platform.Architecture != "amd64" || all[1].Platform.Architecture != "arm64" {
		t.Errorf("%v, %v", all, err)
	}
	one, err := opened.One(nil, v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil || one.Platform.Architecture != "arm64" {
		t.Errorf("%v, %v", one.Platform, err)
	}
	if _, err := opened.Images(&v1.Platform{OS: "linux", Architecture: "s390x"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("%v", err)
	}
	if got := s.Count("GET blob"); got != 0 {
		t.Errorf("%d blobs were read:\n%s", got, strings.Join(s.Requests(), "\n"))
	}
}

// Layers in a registry and in a layout can be read in part.
func TestRanged(t *testing.T) {
	s := registrytest.Start(t, registrytest.Config{})
	c := registry.New(registry.Config{})
	push(t, c, s.Host()+"/app:1", sample(t, "amd64"))
	dir := filepath.Join(t.TempDir(), "layout")
	skopeo(t, "docker://"+s.Host()+"/app:1", "oci:"+dir+":one")
	for _, spec := range []string{s.Host() + "/app:1", "oci:" + dir} {
		opened, err := Open(t.Context(), c, spec)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := opened.Image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		ranged, ok := layer.As[Ranged](layers[0])
		if !ok {
			t.Errorf("%s: no parts", spec)
			continue
		}
		whole, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(whole)
		if err = errors.Join(err, whole.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := ranged.Range(t.Context(), 10, 5)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want[10:15]) {
			t.Errorf("%s: %x, %v", spec, got, err)
		}
	}
}
