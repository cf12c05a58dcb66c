package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// fakeLayer states digests, and fails the test that reads it.
type fakeLayer struct {
	t           *testing.T
	name        string
	mediaType   types.MediaType
	annotations map[string]string
	err         error
}

var _ v1.Layer = fakeLayer{}

func hash(s string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(s))
	return h
}

func (l fakeLayer) Digest() (v1.Hash, error) { return hash(l.name), l.err }
func (l fakeLayer) DiffID() (v1.Hash, error) { return hash("tar of " + l.name), l.err }
func (l fakeLayer) Size() (int64, error)     { return int64(len(l.name)), l.err }
func (l fakeLayer) MediaType() (types.MediaType, error) {
	return l.mediaType, nil
}

func (l fakeLayer) Descriptor() (*v1.Descriptor, error) {
	return &v1.Descriptor{MediaType: l.mediaType, Digest: hash(l.name), Size: int64(len(l.name)), Annotations: l.annotations}, l.err
}

func (l fakeLayer) Compressed() (io.ReadCloser, error) {
	l.t.Errorf("layer %s is read", l.name)
	return nil, errors.New("read")
}

func (l fakeLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// fakeImage is a base given by its manifest and config.
type fakeImage struct {
	v1.Image
	mediaType        types.MediaType
	manifest, config string
	layers           []v1.Layer
}

func (i fakeImage) MediaType() (types.MediaType, error) { return i.mediaType, nil }
func (i fakeImage) RawManifest() ([]byte, error)        { return []byte(i.manifest), nil }
func (i fakeImage) RawConfigFile() ([]byte, error)      { return []byte(i.config), nil }
func (i fakeImage) Layers() ([]v1.Layer, error)         { return i.layers, nil }

// baseOf makes a base with two layers. history and more stand in its config.
func baseOf(t *testing.T, mt types.MediaType, history, more string) fakeImage {
	t.Helper()
	f := docker()
	if mt == types.OCIManifestSchema1 {
		f = oci()
	}
	img := fakeImage{mediaType: mt}
	var descs, diffs []string
	for _, n := range []string{"one", "two"} {
		l := fakeLayer{t: t, name: n, mediaType: f.gzip}
		img.layers = append(img.layers, l)
		d, _ := l.DiffID()
		diffs = append(diffs, `"`+d.String()+`"`)
		descs = append(descs, fmt.Sprintf(`{"size":3,"digest":%q,"mediaType":%q,"annotations":{"a":"<&>"},"x-more":{"b":1}}`, hash(n), f.gzip))
	}
	img.manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{},"layers":[%s],"annotations":{"of":"base"}}`, mt, strings.Join(descs, ","))
	img.config = fmt.Sprintf(`{"rootfs":{"type":"layers","diff_ids":[%s]}%s%s}`, strings.Join(diffs, ","), history, more)
	return img
}

func created() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600))
}

func mustAssemble(t *testing.T, a Assembly) v1.Image {
	t.Helper()
	img, err := Assemble(a)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func raw(t *testing.T, img v1.Image) (manifest, config string) {
	t.Helper()
	m, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return string(m), string(c)
}

const twoHistory = `,"history":[{"created_by":"<one>","created":"2020-01-01T00:00:00Z","x":1},{"empty_layer":true},{"created_by":"two"}]`

func TestAssemble_scratch(t *testing.T) {
	manifest, config := raw(t, mustAssemble(t, Assembly{
		Additions: []Addition{
			{Layer: fakeLayer{t: t, name: "a", mediaType: types.OCILayer}, History: v1.History{CreatedBy: "COPY a /"}},
			{History: v1.History{CreatedBy: "CMD [\"a\"] && <b>"}},
		},
		Config:  v1.ConfigFile{OS: "linux", Architecture: "amd64", Author: "me", Config: v1.Config{Cmd: []string{"a"}}},
		Created: created(),
	}))
	wantConfig := `{"architecture":"amd64","author":"me","config":{"Cmd":["a"]},"created":"2026-01-02T02:04:05.000000006Z",` +
		`"history":[{"created":"2026-01-02T02:04:05.000000006Z","created_by":"COPY a /"},` +
		`{"created":"2026-01-02T02:04:05.000000006Z","created_by":"CMD [\"a\"] && <b>","empty_layer":true}],` +
		`"os":"linux","rootfs":{"type":"layers","diff_ids":["` + hash("tar of a").String() + `"]}}`
	if diff := cmp.Diff(wantConfig, config); diff != "" {
		t.Error(diff)
	}
	wantManifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",`+
		`"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},`+
		`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":1,"digest":%q}]}`, len(config), hash(config), hash("a"))
	if diff := cmp.Diff(wantManifest, manifest); diff != "" {
		t.Error(diff)
	}
}

func TestAssemble_empty(t *testing.T) {
	for name, base := range map[string]v1.Image{"scratch": nil, "empty": empty.Image} {
		manifest, config := raw(t, mustAssemble(t, Assembly{Base: base, Created: created()}))
		if !strings.Contains(manifest, `"layers":[]`) || !strings.Contains(config, `"diff_ids":[]`) {
			t.Errorf("%s: %s %s", name, manifest, config)
		}
	}
}

func TestAssemble_base(t *testing.T) {
	for _, c := range []struct {
		mt, layer, config, ours types.MediaType
	}{
		{types.DockerManifestSchema2, types.DockerLayer, types.DockerConfigJSON, types.OCILayer},
		{types.OCIManifestSchema1, types.OCILayer, types.OCIConfigJSON, types.DockerLayer},
		{types.OCIManifestSchema1, types.OCILayerZStd, types.OCIConfigJSON, types.OCILayerZStd},
		{types.DockerManifestSchema2, dockerZstd, types.DockerConfigJSON, types.OCILayerZStd},
		{types.OCIManifestSchema1, types.OCIUncompressedLayer, types.OCIConfigJSON, types.DockerUncompressedLayer},
		{types.DockerManifestSchema2, types.DockerUncompressedLayer, types.DockerConfigJSON, types.OCIUncompressedLayer},
	} {
		b := baseOf(t, c.mt, twoHistory, "")
		img := mustAssemble(t, Assembly{
			Base:      b,
			Additions: []Addition{{Layer: fakeLayer{t: t, name: "new", mediaType: c.ours, annotations: map[string]string{"toc": "x"}}}},
			Created:   created(),
		})
		manifest, config := raw(t, img)
		layers := strings.TrimSuffix(b.manifest[strings.Index(b.manifest, `"layers":[`):], `],"annotations":{"of":"base"}}`)
		if !strings.Contains(manifest, layers+`,{"mediaType"`) {
			t.Errorf("the base's descriptors are not what they were:\n%s\n%s", layers, manifest)
		}
		history := strings.TrimSuffix(strings.TrimPrefix(twoHistory, ","), "]")
		if !strings.Contains(config, history+`,{"created"`) {
			t.Errorf("the base's history is not what it was:\n%s\n%s", history, config)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if mt, _ := img.MediaType(); mt != c.mt || m.MediaType != c.mt || m.Config.MediaType != c.config {
			t.Errorf("%s: %s %s %s", c.mt, mt, m.MediaType, m.Config.MediaType)
		}
		top := m.Layers[2]
		if top.MediaType != c.layer || top.Annotations["toc"] != "x" || m.Annotations != nil {
			t.Errorf("%s: %+v", c.mt, top)
		}
		l, err := img.LayerByDigest(hash("new"))
		if err != nil {
			t.Fatal(err)
		}
		if mt, _ := l.MediaType(); mt != c.layer {
			t.Errorf("%s: the layer itself says %s", c.mt, mt)
		}
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if len(cf.RootFS.DiffIDs) != 3 || cf.RootFS.DiffIDs[2] != hash("tar of new") || len(cf.History) != 4 {
			t.Errorf("%+v", cf)
		}
	}
}

func TestAssemble_lookup(t *testing.T) {
	img := mustAssemble(t, Assembly{
		Base:      baseOf(t, types.OCIManifestSchema1, "", ""),
		Additions: []Addition{{Layer: fakeLayer{t: t, name: "new", mediaType: types.OCILayer}}},
	})
	for _, n := range []string{"one", "two", "new"} {
		l, err := img.LayerByDigest(hash(n))
		if err != nil {
			t.Fatal(err)
		}
		l2, err := img.LayerByDiffID(hash("tar of " + n))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []v1.Layer{l, l2} {
			if d, _ := l.Digest(); d != hash(n) {
				t.Errorf("%s: %s", n, d)
			}
		}
	}
	if _, err := img.LayerByDigest(hash("nope")); err == nil {
		t.Error("a layer that is not there")
	}
	if _, err := img.LayerByDiffID(hash("nope")); err == nil {
		t.Error("a layer that is not there")
	}
	name, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := img.LayerByDigest(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := cl.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if _, config := raw(t, img); err != nil || string(got) != config {
		t.Errorf("%s, %v", got, err)
	}
	d, err := partial.Descriptor(img)
	if manifest, _ := raw(t, img); err != nil || d.Digest != hash(manifest) || d.Size != int64(len(manifest)) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAssemble_history(t *testing.T) {
	for _, c := range []struct{ name, have, want string }{
		{"100 none", ``, `{"comment":"the base does not tell of this layer"},{"comment":"the base does not tell of this layer"}`},
		{"100 null", `,"history":null`, `{"comment":"the base does not tell of this layer"},{"comment":"the base does not tell of this layer"}`},
		{"100 too short", `,"history":[{"created_by":"a"},{"empty_layer":true}]`, `{"created_by":"a"},{"empty_layer":true},{"comment":"the base does not tell of this layer"}`},
		{"100 too long", `,"history":[{"created_by":"a"},{"created_by":"b"},{"created_by":"c"}]`, `{"created_by":"a"},{"created_by":"b"},{"created_by":"c","empty_layer":true}`},
		{"100 null entries", `,"history":[null,null,null]`, `{},{},{"empty_layer":true}`},
	} {
		img := mustAssemble(t, Assembly{
			Base:      baseOf(t, types.OCIManifestSchema1, c.have, ""),
			Additions: []Addition{{History: v1.History{CreatedBy: "x", Created: v1.Time{Time: created()}}}},
		})
		_, config := raw(t, img)
		want := `"history":[` + c.want + `,{"created":"2026-01-02T02:04:05.000000006Z","created_by":"x","empty_layer":true}]`
		if !strings.Contains(config, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, config, want)
		}
		cf, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, h := range cf.History {
			if !h.EmptyLayer {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%s: the history tells of %d layers", c.name, n)
		}
	}
}

// What a v1.ConfigFile has no field for comes through, unless it tells of the
// base's own making.
func TestAssemble_unknownFields(t *testing.T) {
	more := `,"container_config":{"Cmd":["x"]},"id":"1","parent":"2","moby.buildkit.cache.v0":"x","future":{"b":[1, 2]},"nothing":null,` +
		`"docker_version":"1","created":"2001-01-01T00:00:00Z","os":"plan9",` +
		`"config":{"Memory":5,"User":"old","Nothing":null,"Healthcheck":{"Test":["CMD","x"],"StartInterval":7,"Future":1}}`
	assembled := func(h *v1.HealthConfig, start time.Duration) map[string]any {
		_, config := raw(t, mustAssemble(t, Assembly{
			Base:          baseOf(t, types.OCIManifestSchema1, "", more),
			Config:        v1.ConfigFile{OS: "linux", Config: v1.Config{User: "new", Healthcheck: h}},
			StartInterval: start,
		}))
		var m map[string]any
		if err := json.Unmarshal([]byte(config), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "history")
		delete(m, "rootfs")
		return m
	}
	same := &v1.HealthConfig{Test: []string{"CMD", "x"}}
	for _, c := range []struct {
		name  string
		h     *v1.HealthConfig
		start time.Duration
		want  any
	}{
		{"inherited", same, 0, map[string]any{"Test": []any{"CMD", "x"}, "StartInterval": 7.0, "Future": 1.0}},
		{"another", &v1.HealthConfig{Test: []string{"CMD", "y"}}, 0, map[string]any{"Test": []any{"CMD", "y"}}},
		{"115 start interval", same, 9, map[string]any{"Test": []any{"CMD", "x"}, "StartInterval": 9.0}},
		{"none", nil, 9, nil},
	} {
		config := map[string]any{"User": "new", "Memory": 5.0}
		if c.want != nil {
			config["Healthcheck"] = c.want
		}
		want := map[string]any{
			"architecture": "", "os": "linux", "created": "0001-01-01T00:00:00Z",
			"future": map[string]any{"b": []any{1.0, 2.0}}, "config": config,
		}
		if diff := cmp.Diff(want, assembled(c.h, c.start)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestAssemble_nullConfig(t *testing.T) {
	b := baseOf(t, types.DockerManifestSchema2, `,"history":null`, `,"config":null,"container_config":null`)
	_, config := raw(t, mustAssemble(t, Assembly{Base: b, Config: v1.ConfigFile{OS: "linux"}}))
	if !strings.Contains(config, `"config":{}`) {
		t.Error(config)
	}
}

// Twice is equal, also from different time zones, and reads no layer.
func TestAssemble_deterministic(t *testing.T) {
	labels := map[string]string{}
	for i := range 50 {
		labels[fmt.Sprint("l", i)] = "v"
	}
	var first string
	for i := range 5 {
		at := created()
		if i%2 == 1 {
			at = at.UTC()
		}
		manifest, config := raw(t, mustAssemble(t, Assembly{
			Base:      baseOf(t, types.OCIManifestSchema1, twoHistory, `,"x":1,"y":2,"config":{"A":1,"B":2,"C":3}`),
			Additions: []Addition{{Layer: fakeLayer{t: t, name: "new", mediaType: types.OCILayer}}, {History: v1.History{Created: v1.Time{Time: at}}}},
			Config:    v1.ConfigFile{Config: v1.Config{Labels: labels}},
			Created:   at,
		}))
		if first == "" {
			first = manifest + config
		}
		if manifest+config != first {
			t.Fatalf("%s\n%s", first, manifest+config)
		}
	}
}

// Assembling on an image, and changing what it gives out, does not change it.
func TestAssemble_bases(t *testing.T) {
	b := mustAssemble(t, Assembly{Base: baseOf(t, types.OCIManifestSchema1, twoHistory, "")})
	before, beforeConfig := raw(t, b)
	x := mustAssemble(t, Assembly{Base: b, Additions: []Addition{{Layer: fakeLayer{t: t, name: "x", mediaType: types.OCILayer}}}})
	y := mustAssemble(t, Assembly{Base: b, Additions: []Addition{{Layer: fakeLayer{t: t, name: "y", mediaType: types.OCILayer}}}})
	ls, _ := b.Layers()
	ls[0] = nil
	rawBytes, _ := b.RawManifest()
	rawBytes[0] = 'x'
	m, _ := b.Manifest()
	m.Layers[0].Size = 99
	if after, afterConfig := raw(t, b); after != before || afterConfig != beforeConfig {
		t.Error("the base changed")
	}
	for name, img := range map[string]v1.Image{"x": x, "y": y} {
		m, _ := img.Manifest()
		if len(m.Layers) != 3 || m.Layers[2].Digest != hash(name) || m.Layers[0].Size != 3 {
			t.Errorf("%s: %+v", name, m.Layers)
		}
	}
}

func TestAssemble_errors(t *testing.T) {
	good := baseOf(t, types.OCIManifestSchema1, "", "")
	unfinished := errors.New("not finished")
	for _, c := range []struct {
		name string
		a    Assembly
		want string
	}{
		{"index", Assembly{Base: fakeImage{mediaType: types.OCIImageIndex}}, "assemble image: base: application/vnd.oci.image.index.v1+json: not an image manifest of Docker or OCI"},
		{"schema 1", Assembly{Base: fakeImage{mediaType: types.DockerManifestSchema1}}, "assemble image: base: application/vnd.docker.distribution.manifest.v1+json: not an image"},
		{"manifest", Assembly{Base: fakeImage{mediaType: good.mediaType, manifest: "x"}}, "assemble image: base: read manifest:"},
		{"config", Assembly{Base: fakeImage{mediaType: good.mediaType, manifest: "{}", config: "x"}}, "assemble image: base: read config:"},
		{"100 no diff ids", Assembly{Base: fakeImage{mediaType: good.mediaType, manifest: good.manifest, config: `{"rootfs":null}`, layers: good.layers}}, "assemble image: base: the config has 0 layers, the manifest 2"},
		{"history", Assembly{Base: baseOf(t, good.mediaType, `,"history":[1]`, "")}, "assemble image: base: read history:"},
		{"config is no object", Assembly{Base: baseOf(t, good.mediaType, "", `,"config":1`)}, "assemble image: read the base's config: config:"},
		{"unfinished", Assembly{Additions: []Addition{{}, {Layer: fakeLayer{t: t, name: "a", mediaType: types.OCILayer, err: unfinished}}}}, "assemble image: step 2: not finished"},
	} {
		_, err := Assemble(c.a)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if c.name == "unfinished" && !errors.Is(err, unfinished) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
}

// realLayer has content, for the client's own validation.
type realLayer struct{ fakeLayer }

func (l realLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader([]byte(l.name))), nil
}
func (l realLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
func (l realLayer) DiffID() (v1.Hash, error)             { return hash(l.name), nil }
func (l realLayer) Descriptor() (*v1.Descriptor, error)  { return l.fakeLayer.Descriptor() }
func (l realLayer) MediaType() (types.MediaType, error)  { return l.mediaType, nil }

func TestAssemble_valid(t *testing.T) {
	img := mustAssemble(t, Assembly{
		Additions: []Addition{
			{Layer: realLayer{fakeLayer{t: t, name: "", mediaType: types.OCIUncompressedLayer}}},
			{History: v1.History{CreatedBy: "x"}},
		},
		Config: v1.ConfigFile{OS: "linux", Architecture: "amd64"},
	})
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
}
