package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
)

// block is a block of code of the README, to which testdata has a link: the first in a
// language after a heading.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(raw), "\n## "+heading+"\n")
	section, _, _ := strings.Cut(after, "\n## ")
	_, after, found := strings.Cut(section, "\n```"+language+"\n")
	code, _, ended := strings.Cut(after, "\n```\n")
	if !ok || !found || !ended {
		t.Fatalf("the README has no %s under %q", language, heading)
	}
	return code + "\n"
}

// release is an image with all that the README's policy asks for, signed by cosign.
func release(t *testing.T, cosign *signtest.Cosign, key, ref string, words ...string) name.Digest {
	t.Helper()
	image := pushed(t, ref, append([]string{"user=1000", "label.org.opencontainers.image.source=https://github.com/example/app", "etc/passwd=root"}, words...)...)
	dir := t.TempDir()
	provenance, list := filepath.Join(dir, "provenance.json"), filepath.Join(dir, "sbom.json")
	write(t, provenance, `{"buildDefinition": {"buildType": "x", "externalParameters": {}, "resolvedDependencies": [
		{"uri": "git+https://github.com/example/app@refs/heads/main", "digest": {"gitCommit": "0123456789012345678901234567890123456789"}},
		{"uri": "pkg:oci/debian@sha256:11", "digest": {"sha256": "11"}}]},
		"runDetails": {"builder": {"id": "https://github.com/kaniko-suite/kaniko/executor"}}}`)
	write(t, list, `{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "app", "dataLicense": "CC0-1.0",
		"documentNamespace": "https://example.com/app", "creationInfo": {"created": "2026-11-23T16:00:00Z", "creators": ["Tool: test"]}, "packages": []}`)
	flags := []string{"--yes", "--key", key, "--tlog-upload=false", "--use-signing-config=false"}
	run(t, cosign, append(append([]string{"sign"}, flags...), image.Name()))
	run(t, cosign, append(append([]string{"attest", "--type", "slsaprovenance1", "--predicate", provenance}, flags...), image.Name()))
	run(t, cosign, append(append([]string{"attest", "--type", "spdxjson", "--predicate", list}, flags...), image.Name()))
	return image
}

// The README's example of a release runs as it is written, with what it names.
func TestReadme_release(t *testing.T) {
	cosign := signtest.OpenCosign(t)
	key, public := cosign.KeyPair(t)
	here, there := registrytest.RealV3(t, registrytest.RealConfig{}), registrytest.Real(t, registrytest.RealConfig{})
	image := release(t, cosign, key, here+"/readme:1")
	pushed(t, there+"/readme:1", "user=1000", "label.org.opencontainers.image.source=https://github.com/example/app", "etc/passwd=root")
	pushed(t, here+"/readme:rebuilt", "user=1000", "mtime=7", "label.org.opencontainers.image.source=https://github.com/example/app", "etc/passwd=root")
	pushed(t, here+"/readme:other", "user=1000", "label.org.opencontainers.image.source=https://github.com/example/app", "etc/passwd=admin")

	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cosign.pub"), string(pem))
	write(t, filepath.Join(dir, "release.yaml"), block(t, "Release verification", "yaml"))
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "inspect")); err != nil {
		t.Fatal(err)
	}
	shell := func(image, mirror, rebuild string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", block(t, "Release verification", "sh"))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"), "IMAGE="+image, "MIRROR="+mirror, "REBUILD="+rebuild)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := shell(image.Name(), there+"/readme:1", here+"/readme:rebuilt")
	if err != nil || !strings.Contains(out, "pass: 10 of 10 checks passed") || !strings.Contains(out, "equal under the rules of semantic") || !strings.Contains(out, image.DigestStr()+"\n") {
		t.Errorf("%v: %s", err, out)
	}
	for what, with := range map[string][3]string{
		"it differs from the rebuild": {image.Name(), there + "/readme:1", here + "/readme:other"},
		"it has no signature":         {here + "/readme:other", there + "/readme:1", here + "/readme:other"},
		" there, and ":                {image.Name(), here + "/readme:other", here + "/readme:rebuilt"},
	} {
		out, err := shell(with[0], with[1], with[2])
		if err == nil || !strings.Contains(out, what) {
			t.Errorf("%v, without %q: %s", err, what, out)
		}
	}
}
