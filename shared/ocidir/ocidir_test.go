package ocidir_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/ocidir"
)

func create(t *testing.T) *ocidir.Dir {
	t.Helper()
	d, err := ocidir.Create(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t *testing.T, d *ocidir.Dir, content string) v1.Descriptor {
	t.Helper()
	desc, err := d.PutBytes(t.Context(), []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func describe(content string) v1.Descriptor {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	return v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: sum}, Size: int64(len(content))}
}

func read(ctx context.Context, d *ocidir.Dir, desc v1.Descriptor) (string, error) {
	r, err := d.Blob(ctx, desc)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func blobFile(d *ocidir.Dir, desc v1.Descriptor) string {
	return filepath.Join(d.Path(), "blobs", "sha256", desc.Digest.Hex)
}

// files are those below a directory of d.
func files(t *testing.T, d *ocidir.Dir, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.Path(), dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOpen_missing(t *testing.T) {
	if _, err := ocidir.Open(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is not there: %v", err)
	}
}

func TestPut_andRead(t *testing.T) {
	d := create(t)
	for _, content := range []string{"", "a", strings.Repeat("x", 1<<20)} {
		for range 2 {
			desc := put(t, d, content)
			if desc.Digest != describe(content).Digest || desc.Size != int64(len(content)) || !d.Has(desc) || !d.Keep(desc) {
				t.Errorf("put %d bytes: %+v", len(content), desc)
			}
			if got, err := read(t.Context(), d, desc); got != content || err != nil {
				t.Errorf("read %d bytes of %d: %v", len(got), len(content), err)
			}
		}
	}
	if left := files(t, d, "ingest"); len(left) > 0 {
		t.Errorf("left in ingest: %q", left)
	}
	absent := describe("absent")
	if _, err := read(t.Context(), d, absent); !errors.Is(err, fs.ErrNotExist) || d.Has(absent) || d.Keep(absent) {
		t.Errorf("read what is not there: %v", err)
	}
	larger := describe("a")
	larger.Size++
	if d.Has(larger) {
		t.Error("has a blob of another size")
	}
}

func TestPut_wrongContent(t *testing.T) {
	d := create(t)
	failed := errors.New("the source failed")
	short := describe("content")
	short.Size--
	evil := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "../../oci-layout"}, Size: -1}
	for name, c := range map[string]struct {
		from io.Reader
		want v1.Descriptor
	}{
		"other digest": {strings.NewReader("other"), describe("content")},
		"other size":   {strings.NewReader("content"), short},
		"source fails": {io.MultiReader(strings.NewReader("content"), failing{failed}), describe("content")},
		"no digest":    {strings.NewReader("content"), evil},
	} {
		err := d.Put(t.Context(), c.from, c.want)
		if err == nil || name == "source fails" && !errors.Is(err, failed) {
			t.Errorf("%s: %v", name, err)
		}
		if d.Has(describe("content")) || len(files(t, d, "ingest")) > 0 {
			t.Errorf("%s: something was kept", name)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(failed)
	if err := d.Put(ctx, strings.NewReader("content"), describe("content")); !errors.Is(err, failed) {
		t.Errorf("put after the end: %v", err)
	}
	anySize := describe("content")
	anySize.Size = -1
	if err := d.Put(t.Context(), strings.NewReader("content"), anySize); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestBlob_damaged(t *testing.T) {
	for name, damage := range map[string]string{"other bytes": "CONTENT", "cut off": "cont", "longer": "content.", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			d := create(t)
			desc := put(t, d, "content")
			if err := os.WriteFile(blobFile(d, desc), []byte(damage), 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := read(t.Context(), d, desc)
			var damaged *ocidir.DamagedError
			if !errors.As(err, &damaged) || !damaged.Aside || damaged.Want != desc.Digest || damaged.GotSize != int64(len(damage)) {
				t.Fatalf("read: %v", err)
			}
			if _, err := read(t.Context(), d, desc); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("read again: %v", err)
			}
			if aside := files(t, d, "damaged"); len(aside) != 1 {
				t.Errorf("moved aside: %q", aside)
			}
			put(t, d, "content")
			if _, err := read(t.Context(), d, desc); err != nil {
				t.Error(err)
			}
		})
	}
}

// A manifest with a wrong size must not cost others a good blob.
func TestBlob_wrongSizeAskedFor(t *testing.T) {
	d := create(t)
	desc := put(t, d, "content")
	wrong := desc
	wrong.Size++
	var damaged *ocidir.DamagedError
	if _, err := read(t.Context(), d, wrong); !errors.As(err, &damaged) || damaged.Aside || damaged.Hint() != "" {
		t.Errorf("read with a wrong size: %v", err)
	}
	if _, err := read(t.Context(), d, desc); err != nil {
		t.Error(err)
	}
}

// Who replaces a damaged blob while it is read does not lose the new one.
func TestBlob_replacedWhileRead(t *testing.T) {
	d := create(t)
	desc := put(t, d, "content")
	if err := os.WriteFile(blobFile(d, desc), []byte("CONTENT"), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := d.Blob(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	put(t, d, "content")
	if _, err := io.ReadAll(r); err == nil {
		t.Error("the damage was not seen")
	}
	if _, err := read(t.Context(), d, desc); err != nil {
		t.Error(err)
	}
}

func TestBlob_readOnlyDamage(t *testing.T) {
	d := create(t)
	desc := put(t, d, "content")
	if err := os.WriteFile(blobFile(d, desc), []byte("CONTENT"), 0o666); err != nil {
		t.Fatal(err)
	}
	// A file in the place of the directory, so that root cannot move it aside either.
	if err := os.WriteFile(filepath.Join(d.Path(), "damaged"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var damaged *ocidir.DamagedError
	if _, err := read(t.Context(), d, desc); !errors.As(err, &damaged) || damaged.Aside || !strings.Contains(damaged.Hint(), desc.Digest.Hex) {
		t.Errorf("read: %v", err)
	}
}

func TestRef(t *testing.T) {
	d := create(t)
	blob := put(t, d, "content")
	long := strings.Repeat("Ä/%/", 80)
	names := []string{"a/b", "a/B", "a/c:1@2", "x+/y", "x%2b/y", "./..", ".hidden./..", "a\nb/\xff", "long/" + strings.Repeat("M", 500), "z/" + strings.TrimSuffix(long, "/") + "/end"}
	for i, name := range names {
		if _, err := d.Ref(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ref %q: %v", name, err)
		}
		want := ocidir.Ref{Content: []byte(fmt.Sprint(i, "\n\x00")), Blobs: []v1.Hash{blob.Digest}}
		if err := d.SetRef(t.Context(), name, want); err != nil {
			t.Fatal(err)
		}
		got, err := d.Ref(name)
		if err != nil || !bytes.Equal(got.Content, want.Content) || !slices.Equal(got.Blobs, want.Blobs) {
			t.Errorf("ref %q: %+v, %v", name, got, err)
		}
	}
	got, err := d.Refs("")
	if slices.Sort(names); err != nil || !slices.Equal(got, names) {
		t.Errorf("refs are %q (%v), want %q", got, err, names)
	}
	if got, err := d.Refs("a"); err != nil || len(got) != 3 {
		t.Errorf("refs below a: %q, %v", got, err)
	}
	if got, err := d.Refs("none"); err != nil || len(got) != 0 {
		t.Errorf("refs below none: %q, %v", got, err)
	}
	for _, name := range names {
		for range 2 {
			if err := d.RemoveRef(name); err != nil {
				t.Error(err)
			}
		}
	}
	if left := files(t, d, "refs"); len(left) > 0 {
		t.Errorf("left of removed refs: %q", left)
	}
	for _, name := range []string{"", "/", "a//b", "a/"} {
		if err := d.SetRef(t.Context(), name, ocidir.Ref{}); err == nil {
			t.Errorf("a ref was made of name %q", name)
		}
	}
}

// Some file systems do not tell capital letters from others, or drop a dot at the end.
func TestRef_fileNames(t *testing.T) {
	d := create(t)
	for _, name := range []string{"A", "a", "a.", "aux:", strings.Repeat("%", 400)} {
		if err := d.SetRef(t.Context(), name, ocidir.Ref{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err := filepath.WalkDir(filepath.Join(d.Path(), "refs"), func(p string, e fs.DirEntry, err error) error {
		name := e.Name()
		if err != nil || strings.ToLower(name) != name || strings.HasSuffix(name, ".") || len(name) > 210 || strings.ContainsAny(name, `:\*?"<>| `) {
			t.Errorf("a file is called %q (%v)", name, err)
		}
		if e.Type().IsRegular() {
			n++
		}
		return nil
	})
	if err != nil || n != 5 {
		t.Errorf("%d files, %v", n, err)
	}
}

func TestSetRef_blobsMustBeThere(t *testing.T) {
	d := create(t)
	if err := d.SetRef(t.Context(), "a", ocidir.Ref{Blobs: []v1.Hash{describe("absent").Digest}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a ref to nothing: %v", err)
	}
	if _, err := d.Ref("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ref: %v", err)
	}
}

func TestRef_damaged(t *testing.T) {
	d := create(t)
	if err := d.SetRef(t.Context(), "a", ocidir.Ref{Content: []byte("content")}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.Path(), "refs", "a")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		flipped := slices.Clone(data)
		flipped[n] ^= 0x80
		for what, damaged := range map[string][]byte{"cut off": data[:n], "changed": flipped} {
			if err := os.WriteFile(file, damaged, 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Ref("a"); !errors.Is(err, ocidir.ErrRefDamaged) {
				t.Fatalf("%s after %d of %d bytes: %v", what, n, len(data), err)
			}
		}
	}
	if _, err := d.Sweep(t.Context(), time.Now(), 0); err != nil {
		t.Errorf("sweep with a damaged ref: %v", err)
	}
	later := bytes.Replace(data, []byte("ref 1 "), []byte("ref 2 "), 1)
	if err := os.WriteFile(file, later, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Ref("a"); err == nil || errors.Is(err, ocidir.ErrRefDamaged) {
		t.Errorf("a later version: %v", err)
	}
	if _, err := d.Sweep(t.Context(), time.Now(), 0); err == nil {
		t.Error("swept what a later version has made")
	}
}

func TestTouch(t *testing.T) {
	d := create(t)
	if err := d.SetRef(t.Context(), "a", ocidir.Ref{}); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9, 0)
	if err := d.Touch("a", at); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Ref("a"); err != nil || !r.Used.Equal(at) {
		t.Errorf("used %v, %v", r, err)
	}
	if err := d.Touch("b", at); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("touch what is not there: %v", err)
	}
}

func TestSweep(t *testing.T) {
	d := create(t)
	now := time.Now()
	kept, loose, fresh := put(t, d, "kept"), put(t, d, "loose"), put(t, d, "fresh")
	if err := d.SetRef(t.Context(), "a", ocidir.Ref{Blobs: []v1.Hash{kept.Digest}}); err != nil {
		t.Fatal(err)
	}
	old := now.Add(-2 * time.Hour)
	for _, b := range []v1.Descriptor{kept, loose, fresh} {
		if err := os.Chtimes(blobFile(d, b), old, old); err != nil {
			t.Fatal(err)
		}
	}
	d.Keep(fresh)
	for name, age := range map[string]time.Duration{"stale": 25 * time.Hour, "busy": time.Hour} {
		file := filepath.Join(d.Path(), "ingest", name)
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := d.Sweep(t.Context(), now, time.Hour)
	if err != nil || swept != (ocidir.Swept{Blobs: 1, Bytes: loose.Size}) {
		t.Errorf("swept %+v, %v", swept, err)
	}
	if !d.Has(kept) || d.Has(loose) || !d.Has(fresh) {
		t.Errorf("kept %v, loose %v, fresh %v", d.Has(kept), d.Has(loose), d.Has(fresh))
	}
	if left := files(t, d, "ingest"); !slices.Equal(left, []string{"busy"}) {
		t.Errorf("left in ingest: %q", left)
	}
	if _, err := d.Sweep(t.Context(), now.Add(time.Minute), 0); err != nil || d.Has(fresh) || !d.Has(kept) {
		t.Errorf("swept again: fresh %v, kept %v, %v", d.Has(fresh), d.Has(kept), err)
	}
}

func TestSweep_waitsForWriters(t *testing.T) {
	d := create(t)
	release, err := d.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	desc := put(t, d, "content") // who holds can write, and so can others
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := d.Sweep(ctx, time.Now().Add(time.Hour), 0)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !d.Has(desc) {
		t.Errorf("sweep while somebody writes: %v, blob %v", err, d.Has(desc))
	}
	release()
	if _, err := d.Sweep(t.Context(), time.Now().Add(time.Hour), 0); err != nil || d.Has(desc) {
		t.Errorf("sweep after: %v, blob %v", err, d.Has(desc))
	}
}

// index.json is for other tools, and theirs is not ours to remove.
func TestWriteIndex(t *testing.T) {
	d := create(t)
	theirs, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := layout.Write(d.Path(), emptyIndex(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.AppendImage(theirs); err != nil {
		t.Fatal(err)
	}
	ours := put(t, d, `{"schemaVersion":2}`)
	ours.MediaType = types.OCIManifestSchema1
	for range 2 {
		if err := d.SetRef(t.Context(), "a/b", ocidir.Ref{Blobs: []v1.Hash{ours.Digest}, Manifest: &ours}); err != nil {
			t.Fatal(err)
		}
		if err := d.WriteIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	index, err := foreign.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Digest != ours.Digest || m.Manifests[1].Annotations[ocidir.RefAnnotation] != "a/b" {
		t.Fatalf("index.json is %+v, %v", m, err)
	}
	if _, err := d.Sweep(t.Context(), time.Now().Add(time.Hour), 0); err != nil {
		t.Fatal(err)
	}
	layers, err := theirs.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		h, err := l.Digest()
		size, serr := l.Size()
		if err != nil || serr != nil || !d.Has(v1.Descriptor{Digest: h, Size: size}) {
			t.Errorf("a layer of another tool's image was swept (%v, %v)", err, serr)
		}
	}
	if err := d.RemoveRef("a/b"); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if index, err = foreign.ImageIndex(); err != nil {
		t.Fatal(err)
	}
	if m, err := index.IndexManifest(); err != nil || len(m.Manifests) != 1 {
		t.Errorf("index.json is %+v, %v", m, err)
	}
}

func emptyIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	index, err := random.Index(10, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return index
}
