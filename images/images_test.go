package images

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/images/layout"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// promise is what docs/images.md says of an image.
type promise struct {
	program string
	// most is what its files may have, in bytes, uncompressed.
	most  int64
	user  string
	shell bool
}

func promises() map[string]promise {
	return map[string]promise{
		"executor":       {program: "executor", most: 60e6},
		"executor-debug": {program: "executor", most: 60e6, shell: true},
		"executor-slim":  {program: "executor", most: 30e6},
		"warmer":         {program: "warmer", most: 23e6, user: "65532:65532"},
		"cachegc":        {program: "cachegc", most: 23e6, user: "65532:65532"},
		"inspect":        {program: "inspect", most: 23e6, user: "65532:65532"},
	}
}

// built is where an image is: beside the test if Bazel runs it, else where make images
// has put it.
func built(t *testing.T, name string) string {
	t.Helper()
	dir := name + "_image"
	if os.Getenv("TEST_SRCDIR") == "" {
		dir = filepath.Join("..", "bin", "images", name)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the images are not built: make images")
	}
	return dir
}

func TestImages(t *testing.T) {
	for name, want := range promises() {
		t.Run(name, func(t *testing.T) {
			l, err := layout.Read(built(t, name))
			if err != nil {
				t.Fatal(err)
			}
			var platforms []string
			for _, i := range l.Images {
				platforms = append(platforms, i.Platform)
				checkConfig(t, i, name, want)
				checkFiles(t, i, want)
			}
			if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
				t.Errorf("it is for %q", platforms)
			}
		})
	}
}

func checkConfig(t *testing.T, i layout.Image, name string, want promise) {
	t.Helper()
	c := i.Config.Config
	search := "/kaniko"
	if want.program == "executor" {
		search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/kaniko"
	}
	if want.shell {
		search += ":/busybox"
	}
	env := []string{"HOME=/root", "PATH=" + search, "SSL_CERT_DIR=/kaniko/ssl/certs", "DOCKER_CONFIG=/kaniko/.docker/"}
	if want.program == "executor" {
		env = append(env, "USER=root")
	}
	slices.Sort(env)
	slices.Sort(c.Env)
	if !slices.Equal(c.Env, env) {
		t.Errorf("%s: environment %q", i.Platform, c.Env)
	}
	if c.WorkingDir != "/workspace" || c.User != want.user || len(c.Cmd) != 0 || !slices.Equal(c.Entrypoint, []string{"/kaniko/" + want.program}) {
		t.Errorf("%s: directory %q, user %q, entrypoint %q, command %q", i.Platform, c.WorkingDir, c.User, c.Entrypoint, c.Cmd)
	}
	if !strings.HasPrefix(i.Config.Created, "1970-") && i.Config.Created != "" && !strings.HasPrefix(i.Config.Created, "0001-") {
		t.Errorf("%s: it was made at %s", i.Platform, i.Config.Created)
	}
	licenses := "Apache-2.0"
	if want.shell {
		licenses += " AND GPL-2.0-only"
	}
	for key, value := range map[string]string{
		"title": "kaniko " + name, "licenses": licenses, "version": command.Release, "source": "https://github.com/kaniko-suite/kaniko",
	} {
		key = "org.opencontainers.image." + key
		if c.Labels[key] != value || i.Annotations[key] != value {
			t.Errorf("%s: %s is %q as a label, and %q as an annotation; not %q", i.Platform, key, c.Labels[key], i.Annotations[key], value)
		}
	}
	if c.Labels["org.opencontainers.image.description"] == "" || want.shell && c.Labels["com.github.kaniko-suite.busybox"] == "" {
		t.Errorf("%s: labels %q", i.Platform, c.Labels)
	}
}

// machine is the platform of a program with these first bytes: an ELF file of 64 bits,
// little endian, has its machine in the byte at 18.
func machine(head []byte) string {
	if len(head) < 20 || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return "no program"
	}
	return map[byte]string{62: "linux/amd64", 183: "linux/arm64"}[head[18]]
}

func checkFiles(t *testing.T, i layout.Image, want promise) {
	t.Helper()
	programs := []string{"kaniko/" + want.program}
	if want.shell {
		programs = append(programs, "busybox/busybox")
	}
	var size int64
	seen := map[string]*tar.Header{}
	err := i.Files(func(h *tar.Header, content io.Reader) error {
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		seen[name] = h
		size += h.Size
		if h.Typeflag == tar.TypeDir && h.Mode&0o555 != 0o555 {
			t.Errorf("%s: not everybody can enter /%s, with mode %o", i.Platform, name, h.Mode)
		}
		switch {
		case slices.Contains(programs, name):
			head := make([]byte, 20)
			if _, err := io.ReadFull(content, head); err != nil {
				return err
			}
			if m := machine(head); m != i.Platform || h.Mode != 0o755 {
				t.Errorf("%s: %s is for %s, with mode %o", i.Platform, name, m, h.Mode)
			}
		case name == "kaniko/ssl/certs/ca-certificates.crt":
			raw, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			if n := bytes.Count(raw, []byte("-----BEGIN CERTIFICATE-----")); n < 100 || !x509.NewCertPool().AppendCertsFromPEM(raw) {
				t.Errorf("%s: %d certificates", i.Platform, n)
			}
		}
		if h.Uid != 0 && name != "cache" {
			t.Errorf("%s: %s belongs to %d", i.Platform, name, h.Uid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(programs, "kaniko/ssl/certs/ca-certificates.crt", "etc/nsswitch.conf", "workspace") {
		if seen[name] == nil {
			t.Errorf("%s: there is no /%s", i.Platform, name)
		}
	}
	if want.user != "" {
		for name, mode := range map[string]int64{"etc/passwd": 0o644, "etc/group": 0o644, "cache": 0o755, "tmp": 0o1777} {
			if h := seen[name]; h == nil || h.Mode != mode {
				t.Errorf("%s: /%s is %+v", i.Platform, name, h)
			}
		}
	}
	for _, name := range []string{"sh", "cat", "wget", "mkdir", "printf"} {
		if h := seen["busybox/"+name]; (h != nil) != want.shell || h != nil && h.Linkname != "busybox" {
			t.Errorf("%s: /busybox/%s is %+v", i.Platform, name, h)
		}
	}
	if seen["bin/sh"] != nil {
		t.Errorf("%s: there is a /bin/sh, which would be in the way of a build in place", i.Platform)
	}
	t.Logf("%s: %.1f MB to pull, %.1f MB unpacked", i.Platform, float64(i.Compressed)/1e6, float64(size)/1e6)
	if size > want.most {
		t.Errorf("%s: its files have %d bytes, and may have %d", i.Platform, size, want.most)
	}
}

// What is said of an image beside it is of both platforms, and the same wherever it was
// built.
func TestImages_attestations(t *testing.T) {
	for name := range promises() {
		dir := built(t, name) + ".attestations"
		for _, file := range []string{"linux-amd64.sbom.spdx.json", "linux-arm64.sbom.cyclonedx.json", "linux-amd64.provenance.json", "provenance.json"} {
			raw, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Error(err)
				continue
			}
			if strings.Contains(file, "sbom") && !bytes.Contains(raw, []byte("github.com/spf13/cobra")) {
				t.Errorf("%s: %s does not list what is linked", name, file)
			}
			if bytes.Contains(raw, []byte("/tmp")) || bytes.Contains(raw, []byte("bazel")) && strings.Contains(file, "provenance") {
				t.Errorf("%s: %s tells where it was built", name, file)
			}
		}
	}
}
