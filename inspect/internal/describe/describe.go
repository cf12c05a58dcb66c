// Package describe says what an image is, from its manifest and its configuration: no
// layer is read for it.
package describe

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

// Image is what an image says of itself.
type Image struct {
	Platform    string            `json:"platform,omitempty"`
	Digest      string            `json:"digest"`
	MediaType   string            `json:"mediaType,omitempty"`
	Size        int64             `json:"size"` // of the layers as they are kept, in bytes
	Created     string            `json:"created,omitempty"`
	Author      string            `json:"author,omitempty"`
	User        string            `json:"user,omitempty"`
	WorkingDir  string            `json:"workingDir,omitempty"`
	Entrypoint  []string          `json:"entrypoint,omitempty"`
	Cmd         []string          `json:"cmd,omitempty"`
	Env         []string          `json:"env,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Base        *Named            `json:"base,omitempty"`
	Layers      []Layer           `json:"layers"`
}

// Named is an image that another one names.
type Named struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// Layer is what is known of a layer without reading it.
type Layer struct {
	N         int    `json:"n"` // its number, from 1
	Digest    string `json:"digest"`
	DiffID    string `json:"diffID,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
	Size      int64  `json:"size"`             // as it is kept, in bytes
	Format    string `json:"format,omitempty"` // gzip, zstd, none, estargz or zstd:chunked
	// TOC is the digest of the layer's index.
	TOC       string `json:"tocDigest,omitempty"`
	CreatedBy string `json:"createdBy,omitempty"`
}

// The annotations that name an image's base (OCI image spec, annotations.md).
const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// Of describes an image.
func Of(i source.Image) (*Image, error) {
	m, err := i.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", i.Descriptor.Digest, err)
	}
	d := &Image{Digest: i.Descriptor.Digest.String(), MediaType: string(i.Descriptor.MediaType), Annotations: m.Annotations, Layers: []Layer{}}
	if i.Platform.OS != "" || i.Platform.Architecture != "" {
		d.Platform = i.Platform.String()
	}
	for n, l := range m.Layers {
		d.Size += l.Size
		d.Layers = append(d.Layers, Layer{
			N: n + 1, Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size,
			Format: toc.Format(l), TOC: l.Annotations[toc.Key],
		})
	}
	d.Base = named(m.Annotations)
	if !m.Config.MediaType.IsConfig() {
		return d, nil // an artifact
	}
	config, err := i.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", i.Descriptor.Digest, err)
	}
	d.configured(config)
	return d, nil
}

func named(all ...map[string]string) *Named {
	for _, a := range all {
		if n := (Named{a[baseName], a[baseDigest]}); n != (Named{}) {
			return &n
		}
	}
	return nil
}

// configured adds what the configuration says.
func (d *Image) configured(c *v1.ConfigFile) {
	if !c.Created.IsZero() {
		d.Created = c.Created.UTC().Format(time.RFC3339Nano)
	}
	d.Author = c.Author
	d.User, d.WorkingDir, d.Entrypoint, d.Cmd = c.Config.User, c.Config.WorkingDir, c.Config.Entrypoint, c.Config.Cmd
	d.Env, d.Labels = c.Config.Env, c.Config.Labels
	if d.Base == nil {
		d.Base = named(c.Config.Labels)
	}
	for n, id := range c.RootFS.DiffIDs {
		if n < len(d.Layers) {
			d.Layers[n].DiffID = id.String()
		}
	}
	n := 0
	for _, h := range c.History {
		if h.EmptyLayer {
			continue
		}
		if n < len(d.Layers) {
			d.Layers[n].CreatedBy = Command(h.CreatedBy)
		}
		n++
	}
}

// Command is an instruction as a history has it, without what builders put around it.
func Command(createdBy string) string {
	for _, shell := range []string{"/bin/sh -c #(nop) ", "/bin/sh -c "} {
		if rest, ok := strings.CutPrefix(createdBy, shell); ok {
			if shell == "/bin/sh -c " {
				return "RUN " + rest
			}
			return strings.TrimSpace(rest)
		}
	}
	return strings.TrimSuffix(createdBy, " # buildkit")
}
