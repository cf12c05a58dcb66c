package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// image is the script's command
//
//	image PLACE [by=COMPRESSION] [mtime=SECONDS] [user=USER] [arch=ARCHITECTURE] [env=VARIABLE] [created=TIME]
//	  [label.NAME=VALUE] [annotation.NAME=VALUE] [PATH=CONTENT | PATH=->TARGET | run=TEXT | layer]…
//
// that pushes an image, or puts it into the OCI layout oci:DIR with the digest $LAYOUT,
// into docker-archive:FILE, or its only layer into tar:FILE. Its files are in one
// layer, or in one more after each word layer; @N as content are N bytes, and run= is
// what the history says of the layer.
func image(t testing.TB, ts *testscript.TestScript, args []string) {
	img := imageOf(t, args[1:])
	if dir, ok := strings.CutPrefix(args[0], "oci:"); ok {
		path, err := layout.Write(ts.MkAbs(dir), empty.Index)
		ts.Check(err)
		ts.Check(path.AppendImage(img))
		digest, err := img.Digest()
		ts.Check(err)
		ts.Setenv("LAYOUT", digest.String())
		return
	}
	if file, ok := strings.CutPrefix(args[0], "docker-archive:"); ok {
		tag, err := name.NewTag("example.com/app:1")
		ts.Check(err)
		ts.Check(tarball.WriteToFile(ts.MkAbs(file), tag, img))
		return
	}
	if file, ok := strings.CutPrefix(args[0], "tar:"); ok {
		layers, err := img.Layers()
		ts.Check(err)
		r, err := layers[0].Uncompressed()
		ts.Check(err)
		defer r.Close()
		raw, err := io.ReadAll(r)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(file), raw, 0o600))
		return
	}
	push(t, args[0], img)
}

// index is the script's command "index REF REF…": an index of images in one repository,
// each for its own platform.
func index(t testing.TB, ts *testscript.TestScript, args []string) {
	pushIndex(t, ts, args[0], described(t, ts, args[1:]))
}

// described are the images of names, as an index has them.
func described(t testing.TB, ts *testscript.TestScript, names []string) []v1.Descriptor {
	client := registry.New(registry.Config{})
	var all []v1.Descriptor
	for _, name := range names {
		ref, err := client.Reference(name)
		ts.Check(err)
		m, err := client.Manifest(t.Context(), ref, 1<<20)
		ts.Check(err)
		img, err := client.Open(t.Context(), name, m.Digest)
		ts.Check(err)
		platform, err := img.Platform()
		ts.Check(err)
		all = append(all, v1.Descriptor{MediaType: m.MediaType, Size: int64(len(m.Raw)), Digest: m.Digest, Platform: &platform})
	}
	return all
}

func pushIndex(t testing.TB, ts *testscript.TestScript, name string, all []v1.Descriptor) {
	client := registry.New(registry.Config{})
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: all})
	ts.Check(err)
	tag, err := client.Tag(name)
	ts.Check(err)
	ts.Check(client.PushManifest(t.Context(), tag, raw, types.OCIImageIndex))
}

func push(t testing.TB, ref string, img v1.Image) {
	t.Helper()
	client := registry.New(registry.Config{})
	tag, err := client.Tag(ref)
	if err == nil {
		err = client.PushImage(t.Context(), tag, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// imageOf makes an image of what stands behind the place of the command image.
func imageOf(t testing.TB, words []string) v1.Image {
	t.Helper()
	config := v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}}
	annotations := map[string]string{}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	archive, by, run, mtime := newArchive(t), "gzip", "", time.Unix(0, 0)
	end := func() {
		add, diffID := archive.compressed(by)
		var err error
		if img, err = mutate.Append(img, add); err != nil {
			t.Fatal(err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		if run != "" {
			config.History = append(config.History, v1.History{CreatedBy: run})
		}
		archive = newArchive(t)
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "by":
			by = value
		case "mtime":
			seconds, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			mtime = time.Unix(int64(seconds), 0)
		case "user":
			config.Config.User = value
		case "arch":
			config.Architecture = value
		case "env":
			config.Config.Env = append(config.Config.Env, value)
		case "created":
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				t.Fatal(err)
			}
			config.Created = v1.Time{Time: at}
		case "run":
			run = value
		case "layer":
			end()
		default:
			if name, ok := strings.CutPrefix(key, "label."); ok {
				if config.Config.Labels == nil {
					config.Config.Labels = map[string]string{}
				}
				config.Config.Labels[name] = value
				continue
			}
			if name, ok := strings.CutPrefix(key, "annotation."); ok {
				annotations[name] = value
				continue
			}
			if size, ok := strings.CutPrefix(value, "@"); ok {
				n, err := strconv.Atoi(size)
				if err != nil {
					t.Fatal(err)
				}
				value = strings.Repeat("0123456789abcdef", n/16)
			}
			archive.file(key, value, mtime)
		}
	}
	end()
	img, err := mutate.ConfigFile(img, &config)
	if err != nil {
		t.Fatal(err)
	}
	if len(annotations) > 0 {
		img = mutate.Annotations(img, annotations).(v1.Image)
	}
	return img
}

type archive struct {
	t testing.TB
	b *bytes.Buffer
	w *tar.Writer
}

func newArchive(t testing.TB) *archive {
	b := &bytes.Buffer{}
	return &archive{t, b, tar.NewWriter(b)}
}

func (a *archive) check(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) file(name, content string, mtime time.Time) {
	if target, ok := strings.CutPrefix(content, "->"); ok {
		a.check(a.w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: mtime}))
		return
	}
	content = strings.ReplaceAll(content, `\n`, "\n")
	a.check(a.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: mtime}))
	_, err := io.WriteString(a.w, content)
	a.check(err)
}

// compressed is the archive as a layer, and the digest of what is in it.
func (a *archive) compressed(by string) (mutate.Addendum, v1.Hash) {
	a.check(a.w.Close())
	plain := a.b.Bytes()
	diffID, _, err := v1.SHA256(bytes.NewReader(plain))
	a.check(err)
	var b bytes.Buffer
	mt := types.OCILayer
	annotations := map[string]string{}
	switch by {
	case "gzip":
		w := gzip.NewWriter(&b)
		_, err = w.Write(plain)
		a.check(err)
		a.check(w.Close())
	case "zstd":
		mt = types.OCILayerZStd
		w, err := zstd.NewWriter(&b)
		a.check(err)
		_, err = w.Write(plain)
		a.check(err)
		a.check(w.Close())
	default:
		var c estargz.Compressor = estargz.NewGzipCompressor()
		if by == "zstd:chunked" {
			mt, c = types.OCILayerZStd, &zstdchunked.Compressor{CompressionLevel: zstd.SpeedDefault, Metadata: annotations}
		}
		w := estargz.NewWriterWithCompressor(&b, c)
		a.check(w.AppendTarLossLess(bytes.NewReader(plain)))
		toc, err := w.Close()
		a.check(err)
		annotations[estargz.TOCJSONDigestAnnotation] = toc.String()
		diffID, err = v1.NewHash(w.DiffID())
		a.check(err)
	}
	return mutate.Addendum{Layer: static.NewLayer(b.Bytes(), mt), Annotations: annotations, MediaType: mt}, diffID
}
