package conformance

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// BuiltIn is the name of the base image that every case can use.
const BuiltIn = "base"

//go:embed base.tree
var builtIn string

// Busybox is where the shell of the built-in base image is taken from: the file of
// Debian's package busybox-static.
const Busybox = "/bin/busybox"

// baseImage makes an image of its description. others are those it may build on
// with "from NAME".
func baseImage(lines []line, others map[string]v1.Image) (v1.Image, error) {
	b := &baseBuilder{family: types.OCIManifestSchema1}
	for _, l := range lines {
		if err := b.add(l, others); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.number, err)
		}
	}
	return b.image()
}

type baseBuilder struct {
	family types.MediaType
	from   v1.Image
	layers []v1.Layer
	config map[string]any

	head line // of the layer under way
	open *archiver
	tar  bytes.Buffer
}

func (b *baseBuilder) add(l line, others map[string]v1.Image) error {
	switch l.kind {
	case "from":
		img, ok := others[l.path]
		if !ok {
			return fmt.Errorf("from %s: there is no such base before this one", l.path)
		}
		b.from = img
		return nil
	case "schema":
		if format, _ := l.get("format"); format == "docker" {
			b.family = types.DockerManifestSchema2
			return nil
		}
		return fmt.Errorf("schema format=docker is the only one to be asked for")
	case "config":
		if err := json.Unmarshal([]byte(l.path), &b.config); err != nil {
			return fmt.Errorf("config: %w", err)
		}
		return nil
	case "layer":
		if err := b.endLayer(); err != nil {
			return err
		}
		b.begin(l)
		return nil
	}
	if b.open == nil {
		b.begin(line{})
	}
	at := node{kind: "file", mode: 0o644, line: l}
	switch l.kind {
	case "whiteout":
		at.path = path.Join(path.Dir(l.path), ".wh."+path.Base(l.path))
		return b.open.put(at)
	case "opaque":
		at.path = path.Join(l.path, ".wh..wh..opq")
		return b.open.put(at)
	case "applets":
		for _, name := range strings.Fields(l.path) {
			if err := b.open.put(node{kind: "symlink", path: "/bin/" + name, to: "busybox"}); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := l.node()
	if err != nil {
		return err
	}
	if from, ok := l.get("from"); ok {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		n.content = content{given: true, data: data, size: int64(len(data))}
	}
	return b.open.put(n)
}

func (b *baseBuilder) begin(head line) {
	b.head = head
	b.tar.Reset()
	b.open = newArchiver(&b.tar, time.Unix(baseTime, 0), true)
}

// endLayer makes a layer of what was written since the last one.
func (b *baseBuilder) endLayer() error {
	if b.open == nil {
		return nil
	}
	if err := b.open.tw.Close(); err != nil {
		return err
	}
	b.open = nil
	format, ok := b.head.get("compress")
	if !ok {
		format = "gzip"
	}
	var blob bytes.Buffer
	z, err := compressed(&blob, format)
	if err != nil {
		return err
	}
	if _, err := z.Write(b.tar.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	media := b.layerType(format)
	if m, ok := b.head.get("media"); ok {
		media = types.MediaType(m)
	}
	diffID, _, err := v1.SHA256(bytes.NewReader(b.tar.Bytes()))
	if err != nil {
		return err
	}
	b.layers = append(b.layers, baseLayer{static.NewLayer(blob.Bytes(), media), diffID, bytes.Clone(b.tar.Bytes())})
	return nil
}

func (b *baseBuilder) layerType(format string) types.MediaType {
	docker := b.family == types.DockerManifestSchema2
	switch {
	case format == "none" && docker:
		return types.DockerUncompressedLayer
	case format == "none":
		return types.OCIUncompressedLayer
	case strings.HasPrefix(format, "zst"):
		return types.OCILayerZStd
	case docker:
		return types.DockerLayer
	}
	return types.OCILayer
}

// baseLayer is a layer that knows its uncompressed form.
type baseLayer struct {
	v1.Layer
	diffID v1.Hash
	tar    []byte
}

func (l baseLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

func (l baseLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.tar)), nil
}

// image puts layers and configuration together. The configuration is kept as it
// was written, so that a base can have one that no builder would make.
func (b *baseBuilder) image() (v1.Image, error) {
	if err := b.endLayer(); err != nil {
		return nil, err
	}
	config := map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{}}
	layers := b.layers
	if b.from != nil {
		raw, err := b.from.RawConfigFile()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, err
		}
		lower, err := b.from.Layers()
		if err != nil {
			return nil, err
		}
		layers = append(slices.Clone(lower), layers...)
	}
	if _, own := b.config["history"]; !own {
		// Without it some builders refuse the base.
		history, _ := config["history"].([]any)
		for range b.layers {
			history = append(history, map[string]any{"created": "2010-01-01T00:00:00Z", "created_by": "a layer of the case"})
		}
		config["history"] = history
	}
	for name, value := range b.config {
		config[name] = value
	}
	diffIDs := []string{}
	for _, l := range layers {
		id, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		diffIDs = append(diffIDs, id.String())
	}
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&rawImage{raw: raw, layers: layers, family: b.family})
}

// rawImage is an image of a configuration's bytes and layers.
type rawImage struct {
	raw    []byte
	layers []v1.Layer
	family types.MediaType
}

func (i *rawImage) RawConfigFile() ([]byte, error) { return i.raw, nil }

func (i *rawImage) MediaType() (types.MediaType, error) { return i.family, nil }

func (i *rawImage) RawManifest() ([]byte, error) {
	config := types.OCIConfigJSON
	if i.family == types.DockerManifestSchema2 {
		config = types.DockerConfigJSON
	}
	digest, size, err := v1.SHA256(bytes.NewReader(i.raw))
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: i.family, Config: v1.Descriptor{MediaType: config, Size: size, Digest: digest}, Layers: []v1.Descriptor{}}
	for _, l := range i.layers {
		d, err := partial.Descriptor(l)
		if err != nil {
			return nil, err
		}
		m.Layers = append(m.Layers, *d)
	}
	return json.Marshal(m)
}

func (i *rawImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, l := range i.layers {
		if d, err := l.Digest(); err == nil && d == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("there is no layer %s", h)
}

// sortedNames are a map's keys in order.
func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.SortFunc(names, cmp.Compare)
	return names
}
