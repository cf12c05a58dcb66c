package toc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// blob is a layer in memory of which parts can be read; they are counted.
type blob struct {
	raw    []byte
	desc   v1.Descriptor
	diffID v1.Hash
	asked  int64 // bytes
	times  int
}

var _ v1.Layer = (*blob)(nil)

// Digest implements [v1.Layer].
func (b *blob) Digest() (v1.Hash, error) { return b.desc.Digest, nil }

// DiffID implements [v1.Layer].
func (b *blob) DiffID() (v1.Hash, error) { return b.diffID, nil }

// Size implements [v1.Layer].
func (b *blob) Size() (int64, error) { return b.desc.Size, nil }

// MediaType implements [v1.Layer].
func (b *blob) MediaType() (types.MediaType, error) { return b.desc.MediaType, nil }

// Compressed implements [v1.Layer].
func (b *blob) Compressed() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.raw)), nil }

// Uncompressed implements [v1.Layer].
func (b *blob) Uncompressed() (io.ReadCloser, error) {
	return layer.Decompress(io.NopCloser(bytes.NewReader(b.raw)))
}

// Range implements [source.Ranged].
func (b *blob) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	b.asked += length
	b.times++
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(b.raw), offset, length)), nil
}

// encoded is a layer as our executor writes it.
func encoded(t *testing.T, a layer.Algorithm, names, contents []string) *blob {
	t.Helper()
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: layer.Compression{Algorithm: a}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		content := contents[i]
		err := e.Add(layer.Change{
			Path: tree.Path(name), Kind: layer.Put, Node: tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(content))},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	diffID, err := l.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return &blob{raw: raw, desc: *d, diffID: diffID}
}

// noise is text that does not compress well, other for each seed.
func noise(n, seed int) string {
	b := make([]byte, n)
	state := uint32(seed)*2654435761 + 1
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return string(b)
}

// Files of what our executor writes are read by the index, in one request each,
// however large they are.
func TestCopy(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	contents := []string{"one", noise(9<<20, 1), "", noise(1000, 2)}
	for _, a := range []layer.Algorithm{layer.EStargz, layer.ZstdChunked} {
		b := encoded(t, a, names, contents)
		if !Announced(b.desc) || Format(b.desc) != a.String() {
			t.Errorf("%s is described as %s", a, Format(b.desc))
		}
		i, err := Open(t.Context(), b, b.desc)
		if err != nil {
			t.Fatal(err)
		}
		if i.Digest.String() != b.desc.Annotations[Key] || b.times != 2 || b.asked > 10_000 {
			t.Errorf("%s: the index is %s; %d bytes in %d requests", a, i.Digest, b.asked, b.times)
		}
		for n, name := range names {
			b.times, b.asked = 0, 0
			var got bytes.Buffer
			if err := i.Copy(t.Context(), &got, name); err != nil || got.String() != contents[n] {
				t.Errorf("%s: %s: %d bytes: %v", a, name, got.Len(), err)
			}
			if b.times > 1 || b.asked > int64(len(contents[n]))+2000 {
				t.Errorf("%s: %s: %d bytes in %d requests", a, name, b.asked, b.times)
			}
		}
		var missing *NotFileError
		if err := i.Copy(t.Context(), io.Discard, "e"); !errors.As(err, &missing) {
			t.Errorf("%v", err)
		}
		v, err := Verify(t.Context(), b, b.desc, b.diffID, t.TempDir())
		if err != nil || v.Files != 4 || v.Bytes != 9<<20+1003 {
			t.Errorf("%s: %+v, %v", a, v, err)
		}
	}
}

// What is not as it should be is found, and nothing is left behind.
func TestVerify_wrong(t *testing.T) {
	good := encoded(t, layer.EStargz, []string{"a", "b"}, []string{noise(100_000, 1), noise(100_000, 2)})
	flipped := bytes.Clone(good.raw)
	flipped[50_000] ^= 1
	digest, _, err := v1.SHA256(bytes.NewReader(flipped))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*blob){
		"other bytes":      func(b *blob) { b.raw = flipped },
		"and their digest": func(b *blob) { b.raw, b.desc.Digest = flipped, digest },
		"another archive":  func(b *blob) { b.diffID.Hex = strings.Repeat("0", 64) },
		"another index":    func(b *blob) { b.desc.Annotations = map[string]string{Key: "sha256:" + strings.Repeat("0", 64)} },
		"no index":         func(b *blob) { b.desc.Size = 20; b.raw = b.raw[:20] },
		"another size said": func(b *blob) {
			b.desc.Annotations = map[string]string{Key: b.desc.Annotations[Key], sizeKey: "1"}
		},
		"an index further back": func(b *blob) { b.raw = append(bytes.Clone(b.raw), 0); b.desc.Size++ },
	} {
		b := *good
		spoil(&b)
		dir := t.TempDir()
		if _, err := Verify(t.Context(), &b, b.desc, b.diffID, dir); err == nil {
			t.Errorf("%s: it passes", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", name, left, err)
		}
	}
	// A damaged file is found where only it is read, before any of its bytes are handed out.
	b := *good
	b.raw = flipped
	i, err := Open(t.Context(), &b, b.desc)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := i.Copy(t.Context(), &got, "a"); err == nil || got.Len() > 0 {
		t.Errorf("%d bytes of a damaged file: %v", got.Len(), err)
	}
	if err := i.Copy(t.Context(), io.Discard, "b"); err != nil {
		t.Errorf("the file beside: %v", err)
	}
}
