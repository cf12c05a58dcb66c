// Package image assembles images: the manifest and config that a base, the
// layers of a build and the config they end in make together.
//
// It owns the form of what is written: media types, history, and which parts of a
// base are carried over as they are. It reads no layer's content and does no I/O
// of its own; a base is asked for its manifest and config only.
package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// Assembly is what an image is made of.
type Assembly struct {
	// Base is what the layers lie on; nil is scratch. Its layers' descriptors and
	// its history appear in the image as they are in the base.
	Base v1.Image
	// Additions are the steps on top, in order.
	Additions []Addition
	// Config is what the image says of itself. Its rootfs, history and creation
	// time are not looked at: the other fields here say them.
	Config v1.ConfigFile
	// StartInterval is the one of Config's health check, which has no field for
	// it. If it is 0, that of the base holds as long as its health check does.
	StartInterval time.Duration
	// Created is the time of the image, and of additions that state none.
	Created time.Time
	Form    Form
}

// Addition is what one step adds.
type Addition struct {
	Layer   v1.Layer   // finished; nil if the step left none
	History v1.History // EmptyLayer is set by what Layer is
}

// Assemble makes the image. The same assembly always makes the same bytes.
func Assemble(a Assembly) (v1.Image, error) {
	b, err := readBase(a.Base)
	if err != nil {
		return nil, fmt.Errorf("assemble image: base: %w", err)
	}
	img := &assembled{family: a.family(b)}
	if img.family != b.family {
		if err := b.convert(img.family); err != nil {
			return nil, fmt.Errorf("assemble image: base: %w", err)
		}
	}
	img.layers, img.diffIDs = b.layers, b.diffIDs
	descriptors, history := b.descriptors, b.history
	for i, add := range a.Additions {
		entry := add.History
		if entry.Created.IsZero() {
			entry.Created.Time = a.Created
		}
		entry.Created.Time = entry.Created.UTC()
		entry.EmptyLayer = add.Layer == nil
		raw, err := encode(entry)
		if err != nil {
			return nil, fmt.Errorf("assemble image: %w", err)
		}
		history = append(history, raw)
		if add.Layer == nil {
			continue
		}
		l := img.family.adapt(add.Layer)
		desc, diffID, err := describe(l)
		if err != nil {
			return nil, fmt.Errorf("assemble image: step %d: %w", i+1, err)
		}
		if raw, err = encode(desc); err != nil {
			return nil, fmt.Errorf("assemble image: %w", err)
		}
		descriptors = append(descriptors, raw)
		img.layers = append(img.layers, l)
		img.diffIDs = append(img.diffIDs, diffID)
	}
	if img.rawConfig, err = encodeConfig(a, b.config, img.diffIDs, history); err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	name, size, err := v1.SHA256(bytes.NewReader(img.rawConfig))
	if err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	img.rawManifest, err = encode(manifest{
		SchemaVersion: 2,
		MediaType:     img.family.manifest,
		Config:        v1.Descriptor{MediaType: img.family.config, Size: size, Digest: name},
		Layers:        append([]json.RawMessage{}, descriptors...),
		Annotations:   a.Form.Annotations,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	if img.manifest, err = v1.ParseManifest(bytes.NewReader(img.rawManifest)); err != nil {
		return nil, fmt.Errorf("assemble image: %w", err)
	}
	return img, nil
}

// manifest is a v1.Manifest whose layers keep the bytes that they have in the base.
type manifest struct {
	SchemaVersion int64             `json:"schemaVersion"`
	MediaType     types.MediaType   `json:"mediaType"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []json.RawMessage `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// encode is json.Marshal without escapes for HTML, which would change the bytes
// that stand in a base.
func encode(v any) (json.RawMessage, error) {
	var w bytes.Buffer
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n")), nil
}

func describe(l v1.Layer) (*v1.Descriptor, v1.Hash, error) {
	desc, err := partial.Descriptor(l)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if desc.Annotations, err = layer.Annotations(l); err != nil {
		return nil, v1.Hash{}, err
	}
	diffID, err := l.DiffID()
	return desc, diffID, err
}

// base is what an image takes over.
type base struct {
	family      family
	config      []byte // nil for scratch
	layers      []v1.Layer
	diffIDs     []v1.Hash
	descriptors []json.RawMessage
	history     []json.RawMessage
}

var errNoImage = errors.New("not an image manifest of Docker or OCI")

func readBase(img v1.Image) (base, error) {
	b := base{family: docker()}
	if img == nil {
		return b, nil
	}
	mt, err := img.MediaType()
	if err != nil {
		return b, err
	}
	switch mt {
	case types.DockerManifestSchema2:
		b.family = docker()
	case types.OCIManifestSchema1:
		b.family = oci()
	default:
		return b, fmt.Errorf("%s: %w", mt, errNoImage)
	}
	raw, err := img.RawManifest()
	if err != nil {
		return b, err
	}
	var m struct{ Layers []json.RawMessage }
	if err := json.Unmarshal(raw, &m); err != nil {
		return b, fmt.Errorf("read manifest: %w", err)
	}
	b.descriptors = m.Layers
	if b.layers, err = img.Layers(); err != nil {
		return b, err
	}
	if b.config, err = img.RawConfigFile(); err != nil {
		return b, err
	}
	var c struct {
		RootFS struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
		History []json.RawMessage
	}
	if err := json.Unmarshal(b.config, &c); err != nil {
		return b, fmt.Errorf("read config: %w", err)
	}
	b.diffIDs = c.RootFS.DiffIDs
	if len(b.diffIDs) != len(b.descriptors) || len(b.layers) != len(b.descriptors) {
		return b, fmt.Errorf("the config has %d layers, the manifest %d", len(b.diffIDs), len(b.descriptors))
	}
	b.history, err = matchHistory(c.History, len(b.layers))
	b.layers, b.diffIDs = slices.Clip(b.layers), slices.Clip(b.diffIDs)
	b.descriptors, b.history = slices.Clip(b.descriptors), slices.Clip(b.history)
	return b, err
}

// matchHistory makes a base's history tell of as many layers as there are: what
// is missing is added, what is too much is marked as empty. Otherwise what tells
// layers by their history would take ours for the base's.
func matchHistory(entries []json.RawMessage, layers int) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for _, raw := range entries {
		var h struct {
			Empty bool `json:"empty_layer"`
		}
		if err := json.Unmarshal(raw, &h); err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		switch {
		case h.Empty:
		case layers > 0:
			layers--
		default:
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(raw, &fields); err != nil {
				return nil, fmt.Errorf("read history: %w", err)
			}
			if fields == nil {
				fields = map[string]json.RawMessage{}
			}
			fields["empty_layer"] = json.RawMessage("true")
			var err error
			if raw, err = encode(fields); err != nil {
				return nil, err
			}
		}
		if string(raw) == "null" {
			raw = json.RawMessage("{}")
		}
		out = append(out, raw)
	}
	for range layers {
		out = append(out, json.RawMessage(`{"comment":"the base does not tell of this layer"}`))
	}
	return out, nil
}
