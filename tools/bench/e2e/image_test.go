//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// An image is what the registry has of one, read without our own code.
type image struct {
	Config struct {
		Architecture, OS, Variant string
		Config                    struct {
			User, WorkingDir, StopSignal string
			Env, Cmd, Entrypoint         []string
			Labels                       map[string]string
			Volumes, ExposedPorts        map[string]any
			Healthcheck                  *struct{ Test []string }
		}
	}
	layers    []string // digests
	repo      string
	registry  string
	rawConfig []byte
}

func (w world) image(t *testing.T, repo string) image {
	t.Helper()
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	img := image{repo: repo, registry: w.Registry}
	if err := json.Unmarshal(img.get(t, "manifests/1"), &manifest); err != nil {
		t.Fatal(err)
	}
	img.rawConfig = img.get(t, "blobs/"+manifest.Config.Digest)
	if err := json.Unmarshal(img.rawConfig, &img.Config); err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		img.layers = append(img.layers, l.Digest)
	}
	return img
}

func (i image) get(t *testing.T, what string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.registry+"/v2/"+i.repo+"/"+what, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", req.URL, resp.Status, err)
	}
	return b
}

// layer is a layer's tar archive.
func (i image) layer(t *testing.T, digest string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(i.get(t, "blobs/"+digest)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file is the content of a regular file, from the uppermost layer that has it.
func (i image) file(t *testing.T, name string) []byte {
	t.Helper()
	for n := len(i.layers) - 1; n >= 0; n-- {
		r := tar.NewReader(bytes.NewReader(i.layer(t, i.layers[n])))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimPrefix(h.Name, "/") == name && h.Typeflag == tar.TypeReg {
				b, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
		}
	}
	t.Fatalf("no layer of %s has %s", i.repo, name)
	return nil
}

// mustNotHold fails if the words are anywhere in the config or in a layer.
func (i image) mustNotHold(t *testing.T, words string) {
	t.Helper()
	if bytes.Contains(i.rawConfig, []byte(words)) {
		t.Errorf("the config of %s has %q: %s", i.repo, words, i.rawConfig)
	}
	for _, digest := range i.layers {
		if bytes.Contains(i.layer(t, digest), []byte(words)) {
			t.Errorf("layer %s of %s has %q", digest, i.repo, words)
		}
	}
}
