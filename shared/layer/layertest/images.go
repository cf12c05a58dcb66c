package layertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An Image is what a registry has under a tag: manifests and blobs that need not be what
// their digests say.
type Image struct {
	Name      string
	MediaType types.MediaType
	Manifest  []byte
	Manifests map[string][]byte // under their digests, for an index
	Blobs     map[v1.Hash][]byte
	// Status is what a build on it ends with: 0, 65 if what is wrong is in the image, or 69
	// if it is not what its manifest says.
	Status int
}

// The statuses of [Image].
const (
	wrong       = 65
	unavailable = 69
)

// Registry takes what no client may push.
type Registry interface {
	Plant(repo, tag, mediaType string, raw []byte)
	Spoil(repo string, h v1.Hash, content []byte)
}

// Plant has the registry answer with the image under a tag.
func (i Image) Plant(r Registry, repo, tag string) {
	for h, b := range i.Blobs {
		r.Spoil(repo, h, b)
	}
	for digest, raw := range i.Manifests {
		r.Plant(repo, digest, string(types.OCIManifestSchema1), raw)
	}
	r.Plant(repo, tag, string(i.MediaType), i.Manifest)
}

// draft is an image in the making, and of one layer all that can be lied about.
type draft struct {
	t        testing.TB
	manifest v1.Manifest
	config   v1.ConfigFile
	blobs    map[v1.Hash][]byte
}

func newDraft(t testing.TB) *draft {
	d := &draft{t: t, blobs: map[v1.Hash][]byte{}}
	d.manifest = v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	d.config = v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}}
	return d
}

// layer adds a blob of which the archive has that digest.
func (d *draft) layer(blob []byte, diffID v1.Hash, mt types.MediaType) *draft {
	h := sum(blob)
	d.blobs[h] = blob
	d.manifest.Layers = append(d.manifest.Layers, v1.Descriptor{MediaType: mt, Size: int64(len(blob)), Digest: h})
	d.config.RootFS.DiffIDs = append(d.config.RootFS.DiffIDs, diffID)
	d.config.History = append(d.config.History, v1.History{CreatedBy: "harm"})
	return d
}

func (d *draft) plain(archive []byte) *draft {
	return d.layer(archive, sum(archive), types.OCIUncompressedLayer)
}

func (d *draft) image(name string, status int) Image {
	d.t.Helper()
	config, err := json.Marshal(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	d.blobs[sum(config)] = config
	d.manifest.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(config)), Digest: sum(config)}
	raw, err := json.Marshal(d.manifest)
	if err != nil {
		d.t.Fatal(err)
	}
	return Image{Name: name, MediaType: d.manifest.MediaType, Manifest: raw, Blobs: d.blobs, Status: status}
}

func sum(b []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(b))}
}

// Of is an image of the layers of an archive, above those of base.
func Of(t testing.TB, a Archive, base ...[]byte) Image {
	t.Helper()
	d := newDraft(t)
	for _, l := range append(base[:len(base):len(base)], a.Layers...) {
		d.plain(l)
	}
	if a.Refused {
		return d.image(a.Name, wrong)
	}
	return d.image(a.Name, 0)
}

// Images are images that mean harm by what they are made of, and not by what is in their
// archives, above the layer base; nil is one with a directory.
func Images(t testing.TB, base []byte) []Image {
	t.Helper()
	small := newEntries(t).dir("probe/").file("probe/x", "1").end()
	other := newEntries(t).dir("probe/").file("probe/x", "2").end()
	on := func() *draft {
		if base == nil {
			base = newEntries(t).dir("base/").end()
		}
		return newDraft(t).plain(base)
	}
	change := func(name string, status int, edit func(*v1.Manifest)) Image {
		i := on().plain(small).image(name, status)
		var m v1.Manifest
		if err := json.Unmarshal(i.Manifest, &m); err != nil {
			t.Fatal(err)
		}
		edit(&m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		i.Manifest = raw
		return i
	}
	zeros, digest := bomb(t, 256<<20)
	lying := on().plain(small).image("a layer that is another", unavailable)
	lying.Blobs[sum(small)] = other
	config := on().plain(small).image("a config that is another", unavailable)
	config.Blobs[config.config(t)] = []byte("{}")
	thousand := on()
	for n := range 1200 {
		thousand.plain(newEntries(t).dir("probe/").file("probe/x", fmt.Sprint(n)).end())
	}
	huge := on().plain(small).image("a manifest of 17 MiB", unavailable)
	huge.Manifest = append(bytes.Clone(huge.Manifest), bytes.Repeat([]byte(" "), 17<<20)...)
	deep := on().plain(small).image("a manifest of a million brackets", unavailable)
	deep.Manifest = bytes.Repeat([]byte("["), 1<<20)
	stuffed := on().plain(small)
	stuffed.config.Author = strings.Repeat("x", 17<<20)
	short := on().plain(small)
	short.config.RootFS.DiffIDs = short.config.RootFS.DiffIDs[:1]
	return []Image{
		lying, config, huge, deep, loop(t, small), index(t, 8),
		thousand.image("1200 layers", 0),
		stuffed.image("a config of 17 MiB", unavailable),
		short.image("a config of fewer layers", wrong),
		on().layer(zeros, digest, types.OCILayer).image("256 MiB in 256 kB, by gzip", 0),
		on().layer(zstdOf(t, zeros), digest, types.OCILayerZStd).image("256 MiB in a few kB, by zstd", 0),
		on().layer(gzipOf(t, gzipOf(t, small)), sum(small), types.OCILayer).image("gzip in gzip", wrong),
		on().layer(zstdOf(t, gzipOf(t, small)), sum(small), types.OCILayer).image("gzip in zstd", wrong),
		on().layer(gzipOf(t, small)[:60], sum(small), types.OCILayer).image("gzip that is cut", wrong),
		on().layer([]byte("\x28\xb5\x2f\xfd\x00\xf8\x00\x00\x00"), sum(small), types.OCILayerZStd).image("a window of zstd without end", wrong),
		on().layer(gzipOf(t, small), sum(other), types.OCILayer).image("an archive of another digest", 0),
		on().layer(gzipOf(t, small), sum(small), "text/html").image("a layer that is a page", 0),
		change("a size of less", unavailable, func(m *v1.Manifest) { m.Layers[1].Size-- }),
		change("a size of more", unavailable, func(m *v1.Manifest) { m.Layers[1].Size++ }),
		change("a size below nothing", unavailable, func(m *v1.Manifest) { m.Layers[1].Size = -1 }),
		change("a size without end", unavailable, func(m *v1.Manifest) { m.Layers[1].Size = 1<<63 - 1 }),
		change("a digest that is a path", unavailable, func(m *v1.Manifest) { m.Layers[1].Digest.Hex = "../../../../etc/passwd" }),
		change("a digest that nobody knows", unavailable, func(m *v1.Manifest) { m.Layers[1].Digest.Algorithm = "md5" }),
		change("more layers than in its config", wrong, func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[1]) }),
		change("a manifest that is an index", unavailable, func(m *v1.Manifest) { m.MediaType = types.OCIImageIndex }),
	}
}

// config is the digest of an image's config.
func (i Image) config(t testing.TB) v1.Hash {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal(i.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	return m.Config.Digest
}

// loop is an index that lists itself, by a digest under which the registry has it.
func loop(t testing.TB, small []byte) Image {
	t.Helper()
	at := sum([]byte("the index itself"))
	i := Image{Name: "an index in itself", MediaType: types.OCIImageIndex, Status: unavailable, Blobs: map[v1.Hash][]byte{sum(small): small}}
	i.Manifest = indexOf(t, at, 400)
	i.Manifests = map[string][]byte{at.String(): i.Manifest}
	return i
}

// index is one within the other, with an image in the innermost.
func index(t testing.TB, depth int) Image {
	t.Helper()
	inner := newDraft(t).plain(newEntries(t).dir("probe/").end()).image("", 0)
	i := Image{Name: "an index in an index, eight deep", MediaType: types.OCIImageIndex, Status: unavailable, Blobs: inner.Blobs, Manifests: map[string][]byte{}}
	raw := inner.Manifest
	for range depth {
		i.Manifests[sum(raw).String()] = raw
		raw = indexOf(t, sum(raw), len(raw))
	}
	i.Manifest = raw
	return i
}

func indexOf(t testing.TB, h v1.Hash, size int) []byte {
	t.Helper()
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIImageIndex, Digest: h, Size: int64(size), Platform: &v1.Platform{OS: "linux", Architecture: "amd64"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bomb is a layer with one file of so many zeros, by gzip, and its archive's digest.
func bomb(t testing.TB, zeros int64) ([]byte, v1.Hash) {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := sha256.New()
	to := io.MultiWriter(z, archive)
	e := newEntries(t).dir("probe/").raw("probe/zeros", '0', "", func(b []byte) { copy(b[124:], fmt.Sprintf("%011o\x00", zeros)) })
	if _, err = to.Write(e.b.Bytes()); err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(endless{}, zeros+1024), make([]byte, 1<<20))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", archive.Sum(nil))}
}

// endless is zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func gzipOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(raw)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zstdOf compresses what gzip did, or what is plain.
func zstdOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	from := io.Reader(bytes.NewReader(raw))
	if g, err := gzip.NewReader(bytes.NewReader(raw)); err == nil && len(raw) > 64<<10 {
		from = g
	}
	_, err = io.Copy(z, from)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
