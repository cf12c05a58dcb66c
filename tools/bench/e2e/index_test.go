//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// writeIndex makes an OCI layout whose tag 1 is an index with an image for each architecture: a user nonroot, and a file that names the architecture.
func writeIndex(dir string, architectures ...string) error {
	l := layout{dir: filepath.Join(dir, "blobs/sha256")}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	var images []descriptor
	for _, arch := range architectures {
		images = append(images, l.image(arch))
	}
	index := l.add("application/vnd.oci.image.index.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": images,
	})
	index.Annotations = map[string]string{"org.opencontainers.image.ref.name": "1"}
	l.write(filepath.Join(dir, "index.json"), marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{index}}))
	l.write(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return l.err
}

// A layout remembers the first error of its writing.
type layout struct {
	dir string
	err error
}

func (l *layout) image(arch string) descriptor {
	content := tarred(map[string]string{"etc/passwd": "root:x:0:0::/root:/\nnonroot:x:65532:65532::/home/nonroot:/\n", "etc/base-arch": arch + "\n"})
	layer := l.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzipped(content))
	config := l.add("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": arch, "os": "linux", "config": map[string]any{"Env": []string{"PATH=/usr/bin:/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(content)}},
	})
	manifest := l.add("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []descriptor{layer},
	})
	manifest.Platform = map[string]string{"os": "linux", "architecture": arch}
	return manifest
}

func (l *layout) add(mediaType string, v any) descriptor { return l.blob(mediaType, marshal(v)) }

func (l *layout) blob(mediaType string, b []byte) descriptor {
	d := digest(b)
	l.write(filepath.Join(l.dir, d[len("sha256:"):]), b)
	return descriptor{MediaType: mediaType, Digest: d, Size: len(b)}
}

func (l *layout) write(file string, b []byte) {
	if err := os.WriteFile(file, b, 0o644); err != nil && l.err == nil {
		l.err = err
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// marshal is for maps and structs that have a JSON form.
func marshal(v any) []byte {
	var out bytes.Buffer
	_ = json.NewEncoder(&out).Encode(v)
	return bytes.TrimSpace(out.Bytes())
}
