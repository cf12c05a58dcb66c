package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cachekey"
)

// emptyBlob is the content of OCI's empty descriptor.
const emptyBlob = "{}"

// draft is a manifest on its way into a cache, with the blobs that it speaks of.
type draft struct {
	v1.Manifest
	blobs []v1.Layer
}

func newDraft(kind, tool string, created time.Time) *draft {
	stamp := created.UTC().Format(time.RFC3339)
	d := &draft{Manifest: v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: map[string]string{
		AnnotationKind:       kind,
		AnnotationCreated:    stamp,
		annotationOCICreated: stamp,
	}}}
	d.annotate(AnnotationTool, tool)
	return d
}

func (d *draft) annotate(name, value string) {
	if value != "" {
		d.Annotations[name] = value
	}
}

// add has l be pushed with the manifest, and describes it.
func (d *draft) add(l v1.Layer, mt types.MediaType) (v1.Descriptor, error) {
	digest, err := l.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := l.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	d.blobs = append(d.blobs, l)
	return v1.Descriptor{MediaType: mt, Digest: digest, Size: size}, nil
}

func (d *draft) addBytes(raw []byte, mt types.MediaType) (v1.Descriptor, error) {
	return d.add(static.NewLayer(raw, mt), mt)
}

// encode is the manifest's bytes.
func (d *draft) encode() ([]byte, error) {
	size := d.Config.Size
	for _, l := range d.Layers {
		size += l.Size
	}
	d.annotate(AnnotationSize, strconv.FormatInt(size, 10))
	raw, err := json.Marshal(d.Manifest)
	if err == nil && len(raw) > maxManifest {
		err = fmt.Errorf("the manifest has %d bytes, more than %d", len(raw), maxManifest)
	}
	return raw, err
}

// excerpt is the beginning of a text, on one line.
func excerpt(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "\uFFFD")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText-len("…")], "") + "…"
	}
	return s
}

// decode reads a manifest of a cache and checks what all kinds have in common. Its
// error is a reason not to use it, for people.
func decode(raw []byte, said types.MediaType, kind string, config types.MediaType) (*v1.Manifest, error) {
	if said != types.OCIManifestSchema1 {
		return nil, fmt.Errorf("not a manifest of a cache but %q", said)
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("a damaged manifest: %w", err)
	}
	switch got, ok := m.Annotations[AnnotationKind]; {
	case !ok:
		return nil, errors.New("an image that is not of a cache")
	case got != kind:
		return nil, fmt.Errorf("of the kind %.40q, not %q", got, kind)
	case m.SchemaVersion != 2:
		return nil, fmt.Errorf("of the schema version %d, not 2", m.SchemaVersion)
	case m.Config.MediaType != config:
		return nil, fmt.Errorf("with a config of the type %.80q, not %q", m.Config.MediaType, config)
	case len(m.Layers) == 0:
		return nil, errors.New("without layers")
	}
	for _, d := range append(slices.Clone(m.Layers), m.Config) {
		if d.Digest.Algorithm != "sha256" || d.Size < 0 {
			return nil, fmt.Errorf("with a blob %.80q of %d bytes", d.Digest, d.Size)
		}
	}
	return &m, nil
}

// record is what a manifest says of an entry.
type record struct {
	layer   *v1.Descriptor // nil if the step changed no file
	diffID  v1.Hash        // of the layer
	index   *v1.Descriptor // nil without
	created time.Time
	after   string
}

// decodeEntry reads the manifest that was found under a key. Its error is a reason
// not to use it, for people.
func decodeEntry(key cachekey.Key, raw []byte, said types.MediaType) (*record, error) {
	m, err := decode(raw, said, KindEntry, DefinitionType)
	if err != nil {
		return nil, err
	}
	if m.Config.Digest.String() != key.Digest() {
		return nil, fmt.Errorf("with the definition of another key, %s", m.Config.Digest.Hex)
	}
	if got := m.Annotations[AnnotationKey]; got != string(key) {
		return nil, fmt.Errorf("annotated with another key, %.80q", got)
	}
	if _, err := strconv.ParseUint(m.Annotations[AnnotationSize], 10, 63); err != nil {
		return nil, fmt.Errorf("with a size that is none: %.40q", m.Annotations[AnnotationSize])
	}
	if parent, ok := m.Annotations[AnnotationParent]; ok {
		if _, err := cachekey.ParseKey(parent); err != nil {
			return nil, fmt.Errorf("with a parent that is no key: %.80q", parent)
		}
	}
	r := &record{after: m.Annotations[AnnotationAfter]}
	if r.created, err = time.Parse(time.RFC3339, m.Annotations[AnnotationCreated]); err != nil {
		return nil, fmt.Errorf("with a time of creation that is none: %.40q", m.Annotations[AnnotationCreated])
	}
	return r, r.readLayers(m)
}

func (r *record) readLayers(m *v1.Manifest) error {
	first := m.Layers[0]
	diffID, ok := m.Annotations[AnnotationDiffID]
	switch {
	case first.MediaType == types.OCIEmptyJSON:
		if ok || first.Digest != emptyDigest() {
			return errors.New("with a layer that is both empty and not")
		}
	case !isLayer(first.MediaType):
		return fmt.Errorf("with a layer of the type %.80q", first.MediaType)
	default:
		var err error
		if r.diffID, err = v1.NewHash(diffID); err != nil || r.diffID.Algorithm != "sha256" {
			return fmt.Errorf("with a diff id that is none: %.80q", diffID)
		}
		r.layer = &first
	}
	return r.readIndex(m.Layers[1:], diffID)
}

// readIndex looks at what follows the layer. What is of a type that we do not know
// is for others.
func (r *record) readIndex(rest []v1.Descriptor, diffID string) error {
	for _, d := range rest {
		switch {
		case isLayer(d.MediaType):
			return errors.New("with more than one layer")
		case d.MediaType != IndexType || r.index != nil || d.Size > maxIndex:
		case d.Annotations[AnnotationDiffID] != diffID:
			return fmt.Errorf("with the index of another layer, %.80q", d.Annotations[AnnotationDiffID])
		default:
			r.index = &d
		}
	}
	return nil
}

func emptyDigest() v1.Hash {
	h, _, _ := v1.SHA256(bytes.NewReader([]byte(emptyBlob))) // reading bytes does not fail
	return h
}

// isLayer tells whether a media type is one that layers of entries have.
func isLayer(mt types.MediaType) bool {
	return mt == types.OCILayer || mt == types.OCILayerZStd || mt == types.OCIUncompressedLayer
}

// layerType is the media type that a layer has in an entry, whatever it has in an
// image.
func layerType(mt types.MediaType) (types.MediaType, error) {
	switch mt {
	case types.OCILayer, types.DockerLayer:
		return types.OCILayer, nil
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	case types.OCILayerZStd, dockerZstd:
		return types.OCILayerZStd, nil
	}
	return "", fmt.Errorf("a layer of the type %q is not for a cache", mt)
}

// dockerZstd is the type that a zstd layer has in an image of Docker's format, for
// which there is no name elsewhere.
const dockerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"
