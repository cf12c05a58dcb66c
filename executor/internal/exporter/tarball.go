package exporter

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// Tarball writes a file that docker load reads, as docker save writes it since
// version 25: an OCI layout with Docker's own list of contents beside it, so that
// the manifest keeps its digest and older versions find what they look for.
type Tarball struct {
	Path string
	Tags []name.Tag // that loading gives the image; none is possible
}

var _ engine.Exporter = (*Tarball)(nil)

// Layer does nothing: a tarball says first how long a file in it will be.
func (t *Tarball) Layer(context.Context, v1.Layer) error { return nil }

// Image writes the tarball. Errors are an [OutputError].
func (t *Tarball) Image(ctx context.Context, img v1.Image) error {
	c, err := gather(img)
	if err == nil {
		err = writeFile(t.Path, func(w io.Writer) error { return t.write(ctx, w, c) })
	}
	if err != nil {
		return &OutputError{"tarball", t.Path, err}
	}
	return nil
}

// saved is an entry of manifest.json.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (t *Tarball) write(ctx context.Context, w io.Writer, c *contents) error {
	tw := tar.NewWriter(w)
	header := func(name string, size int64) error {
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatUSTAR})
	}
	for _, b := range c.blobs {
		if b.size >= maxUSTAR {
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path(b.digest), Size: b.size, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
				return err
			}
		} else if err := header(path(b.digest), b.size); err != nil {
			return err
		}
		if err := b.copy(ctx, tw); err != nil {
			return err
		}
	}
	list := saved{Config: path(c.config.digest), RepoTags: []string{}, Layers: []string{}}
	for _, l := range c.layers {
		list.Layers = append(list.Layers, path(l.digest))
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, tag := range t.Tags {
		// Docker knows a tag by what was written, containerd by the whole of it.
		written := tag.String()
		if !strings.HasSuffix(written, ":"+tag.TagStr()) {
			written += ":" + tag.TagStr()
		}
		list.RepoTags = append(list.RepoTags, written)
		d := c.manifest
		d.Annotations = map[string]string{
			"io.containerd.image.name":          strings.Replace(tag.Name(), name.DefaultRegistry+"/", "docker.io/", 1),
			"org.opencontainers.image.ref.name": tag.TagStr(),
		}
		index.Manifests = append(index.Manifests, d)
	}
	if len(t.Tags) == 0 {
		index.Manifests = append(index.Manifests, c.manifest)
	}
	for _, f := range []struct {
		name    string
		content any
	}{
		{layoutFile, json.RawMessage(layoutText)}, {indexFile, index}, {"manifest.json", []saved{list}},
	} {
		raw, err := json.Marshal(f.content)
		if err != nil {
			return err
		}
		if err := header(f.name, int64(len(raw))); err != nil {
			return err
		}
		if _, err := tw.Write(raw); err != nil {
			return err
		}
	}
	return tw.Close()
}

// maxUSTAR is the size in bytes from which a file needs more than tar's oldest format.
const maxUSTAR = 1 << 33

func path(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }
