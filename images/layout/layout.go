// Package layout reads an OCI layout that names one index of images: what a test wants
// to know of it, and what people are shown. Blobs are checked against their digests.
package layout

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxManifest bounds what is read whole, in bytes.
const maxManifest = 4 << 20

// Layout is an index and its images.
type Layout struct {
	Digest string // of the index
	Images []Image
	dir    string
}

// Image is one of them.
type Image struct {
	Digest      string
	Platform    string // OS/ARCH
	Annotations map[string]string
	Config      Config
	Compressed  int64 // bytes of the layers, as they are pulled
	layers      []descriptor
	dir         string
}

// Config is what an image says of how to run it.
type Config struct {
	Created string `json:"created"`
	Config  struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		WorkingDir string
		Labels     map[string]string
	} `json:"config"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

type manifest struct {
	Manifests   []descriptor      `json:"manifests"`
	Config      descriptor        `json:"config"`
	Layers      []descriptor      `json:"layers"`
	Annotations map[string]string `json:"annotations"`
}

// Read reads the layout in a directory.
func Read(dir string) (*Layout, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var top manifest
	if err := json.Unmarshal(raw, &top); err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	if len(top.Manifests) != 1 {
		return nil, fmt.Errorf("read %s: it names %d images", dir, len(top.Manifests))
	}
	l := &Layout{Digest: top.Manifests[0].Digest, dir: dir}
	var index manifest
	if err := document(dir, top.Manifests[0], &index); err != nil {
		return nil, err
	}
	for _, d := range index.Manifests {
		i, err := readImage(dir, d)
		if err != nil {
			return nil, err
		}
		l.Images = append(l.Images, i)
	}
	return l, nil
}

func readImage(dir string, d descriptor) (Image, error) {
	var m manifest
	if err := document(dir, d, &m); err != nil {
		return Image{}, err
	}
	i := Image{
		Digest: d.Digest, Platform: d.Platform.OS + "/" + d.Platform.Architecture, Annotations: m.Annotations, layers: m.Layers, dir: dir,
	}
	for _, l := range m.Layers {
		i.Compressed += l.Size
	}
	return i, document(dir, m.Config, &i.Config)
}

func blob(dir, digest string) string {
	return filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
}

// document reads a blob of JSON that is what its digest says.
func document(dir string, d descriptor, into any) error {
	if d.Size > maxManifest {
		return fmt.Errorf("read %s: %d bytes", d.Digest, d.Size)
	}
	raw, err := os.ReadFile(blob(dir, d.Digest))
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(raw)); got != d.Digest {
		return fmt.Errorf("read %s: its digest is %s", d.Digest, got)
	}
	return json.Unmarshal(raw, into)
}

// Files calls visit for each entry of the layers, the lowest first. The content may be
// read until visit returns.
func (i *Image) Files(visit func(h *tar.Header, content io.Reader) error) error {
	for _, l := range i.layers {
		if err := i.layer(l, visit); err != nil {
			return fmt.Errorf("read %s: %w", l.Digest, err)
		}
	}
	return nil
}

func (i *Image) layer(l descriptor, visit func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(blob(i.dir, l.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	z, err := gzip.NewReader(io.TeeReader(f, sum))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = visit(h, r)
		}
		if err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		return err
	}
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", sum.Sum(nil)); got != l.Digest {
		return fmt.Errorf("its digest is %s", got)
	}
	return nil
}

// Unpacked is the size of the files of an image, in bytes.
func (i *Image) Unpacked() (int64, error) {
	var n int64
	err := i.Files(func(h *tar.Header, _ io.Reader) error {
		n += h.Size
		return nil
	})
	return n, err
}
