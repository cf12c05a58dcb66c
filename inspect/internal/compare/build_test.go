package compare

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// member is an entry of an archive to be made.
type member struct {
	tar.Header
	content string
}

func day() time.Time { return time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC) }

func dir(name string) *member {
	return &member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: day(), Uname: "root", Gname: "root"}}
}

func file(name, content string) *member {
	return &member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: day(), Uname: "root", Gname: "root"}, content}
}

func other(kind byte, name, to string) *member {
	return &member{Header: tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o644, ModTime: day(), Uname: "root", Gname: "root"}}
}

// archive is a layer to be made.
type archive struct {
	members     []*member
	compression string // gzip if empty
	level       int
	annotations map[string]string
	mediaType   types.MediaType
	trailing    int // zero blocks behind the archive's end
	statement   string
}

// find is the entry of a name.
func (a *archive) find(name string) *member {
	i := slices.IndexFunc(a.members, func(m *member) bool { return m.Name == name })
	return a.members[i]
}

func (a *archive) add(m ...*member) { a.members = append(a.members, m...) }

// recipe is an image to be made.
type recipe struct {
	layers      []*archive
	config      v1.ConfigFile
	more        map[string]any // in the configuration beside what v1 knows
	annotations map[string]string
	docker      bool // media types
	subject     *v1.Descriptor
}

// sample is an image of two layers, with one of everything.
func sample() *recipe {
	device := other(tar.TypeChar, "dev/null", "")
	device.Devmajor, device.Devminor = 1, 3
	owned := file("bin/ping", "ping")
	owned.Mode, owned.PAXRecords = 0o755, map[string]string{"SCHILY.xattr.security.capability": "\x01\x00"}
	return &recipe{
		layers: []*archive{
			{members: []*member{
				dir("etc"), file("etc/passwd", "root:x:0:0\nbin:x:1:1\n"), file("etc/hosts", "127.0.0.1 localhost\n"), dir("dev"), device,
				dir("bin"), owned, other(tar.TypeSymlink, "bin/sh", "ping"), other(tar.TypeLink, "bin/ping6", "bin/ping"), dir("var"), dir("var/cache"), file("var/cache/x", "x"),
			}},
			{members: []*member{dir("app"), file("app/main", "main\n"), file("app/data", "a\nb\nc\nd\ne\nf\ng\nh\n"), file("etc/.wh.hosts", "")}},
		},
		config: v1.ConfigFile{
			OS: "linux", Architecture: "arm64", Variant: "v8", Author: "me", Created: v1.Time{Time: day()},
			History: []v1.History{
				{CreatedBy: "ADD base", Created: v1.Time{Time: day()}}, {CreatedBy: "ENV A=1", EmptyLayer: true, Created: v1.Time{Time: day()}},
				{CreatedBy: "COPY app /", Created: v1.Time{Time: day()}, Comment: "kaniko"},
			},
			Config: v1.Config{
				Env: []string{"PATH=/bin", "A=1"}, Cmd: []string{"sh"}, Entrypoint: []string{"/app/main"}, User: "1000", WorkingDir: "/app",
				Labels: map[string]string{"version": "1"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, Volumes: map[string]struct{}{"/data": {}}, StopSignal: "SIGTERM",
			},
		},
		annotations: map[string]string{"org.opencontainers.image.source": "here"},
	}
}

// plain is the archive, not compressed.
func (a *archive) plain(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range a.members {
		h := m.Header
		h.Size = int64(len(m.content))
		h.PAXRecords = maps.Clone(m.PAXRecords)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.Write(make([]byte, 512*a.trailing))
	return b.Bytes()
}

// made is a layer under its digest.
type made struct {
	v1.Layer
	diffID v1.Hash
	open   []byte
}

func (m made) DiffID() (v1.Hash, error) { return m.diffID, nil }

func (m made) Uncompressed() (io.ReadCloser, error) {
	return layer.Decompress(io.NopCloser(bytes.NewReader(m.open)))
}

func (a *archive) layer(t testing.TB, docker bool) mutate.Addendum {
	t.Helper()
	if a.statement != "" {
		return mutate.Addendum{Layer: static.NewLayer([]byte(a.statement), "application/vnd.in-toto+json"), Annotations: a.annotations, MediaType: "application/vnd.in-toto+json"}
	}
	plain := a.plain(t)
	diffID, _, err := v1.SHA256(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	annotations := maps.Clone(a.annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	mt := types.OCILayer
	if docker {
		mt = types.DockerLayer
	}
	var b bytes.Buffer
	var w io.WriteCloser
	switch a.compression {
	case "", "gzip":
		if w, err = gzip.NewWriterLevel(&b, max(1, a.level)); err != nil {
			t.Fatal(err)
		}
	case "zstd":
		mt = types.OCILayerZStd
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	case "none":
		mt = types.OCIUncompressedLayer
		b.Write(plain)
	case "estargz", "zstd:chunked":
		var c estargz.Compressor = estargz.NewGzipCompressor()
		meta := map[string]string{}
		if a.compression == "zstd:chunked" {
			mt = types.OCILayerZStd
			c = &zstdchunked.Compressor{CompressionLevel: zstd.SpeedDefault, Metadata: meta}
		}
		z := estargz.NewWriterWithCompressor(&b, c)
		if err := z.AppendTarLossLess(bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
		toc, err := z.Close()
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(annotations, meta)
		annotations[estargz.TOCJSONDigestAnnotation] = toc.String()
		if diffID, err = v1.NewHash(z.DiffID()); err != nil {
			t.Fatal(err)
		}
	}
	if w != nil {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if a.mediaType != "" {
		mt = a.mediaType
	}
	return mutate.Addendum{Layer: made{static.NewLayer(b.Bytes(), mt), diffID, b.Bytes()}, Annotations: annotations, MediaType: mt}
}

func (r *recipe) image(t testing.TB) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if r.docker {
		img = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	}
	config := *r.config.DeepCopy()
	for _, a := range r.layers {
		add := a.layer(t, r.docker)
		var err error
		if img, err = mutate.Append(img, add); err != nil {
			t.Fatal(err)
		}
		if m, ok := add.Layer.(made); ok {
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, m.diffID)
		}
	}
	config.RootFS.Type = "layers"
	var err error
	if img, err = mutate.ConfigFile(img, &config); err != nil {
		t.Fatal(err)
	}
	if r.annotations != nil {
		img = mutate.Annotations(img, r.annotations).(v1.Image)
	}
	if r.subject != nil {
		img = mutate.Subject(img, *r.subject).(v1.Image)
	}
	if r.more != nil {
		img = reworded{img, t, r.more}
	}
	return img
}

// reworded is an image whose configuration has more in it than v1 knows.
type reworded struct {
	v1.Image
	t    testing.TB
	more map[string]any
}

func (r reworded) RawConfigFile() ([]byte, error) {
	raw, err := r.Image.RawConfigFile()
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, r.more)
	return json.Marshal(all)
}

func (r reworded) ConfigName() (v1.Hash, error) {
	raw, err := r.RawConfigFile()
	if err != nil {
		return v1.Hash{}, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	return h, err
}

func (r reworded) Manifest() (*v1.Manifest, error) {
	m, err := r.Image.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	raw, err := r.RawConfigFile()
	if err != nil {
		return nil, err
	}
	m.Config.Size = int64(len(raw))
	m.Config.Digest, err = r.ConfigName()
	return m, err
}

func (r reworded) RawManifest() ([]byte, error) {
	m, err := r.Manifest()
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

func (r reworded) Digest() (v1.Hash, error) {
	raw, err := r.RawManifest()
	if err != nil {
		return v1.Hash{}, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	return h, err
}
