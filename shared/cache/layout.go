package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
)

// LayoutRefs begins the names of the refs that a cache in an OCI layout has: one for
// each tag.
const LayoutRefs = "cache/"

// layout is an OCI layout in a directory. What is under a tag is found through a ref;
// index.json, which other tools look at, is written when a build leaves its journal.
type layout struct{ dir *ocidir.Dir }

// openLayout opens a directory that will be written unless readOnly is set.
func openLayout(path string, readOnly bool) (*layout, error) {
	if path == "" {
		return nil, errors.New("it names no directory")
	}
	if readOnly {
		dir, err := ocidir.Open(path)
		return &layout{dir}, err
	}
	dir, err := ocidir.Create(path)
	if err != nil {
		return nil, err
	}
	if !dir.Writable() {
		return nil, errors.Join(fmt.Errorf("the directory %s cannot be written to", path), dir.Close())
	}
	return &layout{dir}, nil
}

func (l *layout) String() string { return layoutPrefix + l.dir.Path() }

func (l *layout) hold(ctx context.Context) (func(), error) { return l.dir.Hold(ctx) }

func (l *layout) settle(ctx context.Context) error { return l.dir.WriteIndex(ctx) }

func (l *layout) manifest(ctx context.Context, tag string) ([]byte, types.MediaType, error) {
	ref, err := l.dir.Ref(LayoutRefs + tag)
	if err != nil {
		return nil, "", err
	}
	if ref.Manifest == nil {
		return nil, "", fmt.Errorf("ref %s%s: %w", LayoutRefs, tag, ocidir.ErrRefDamaged)
	}
	raw, err := l.read(ctx, *ref.Manifest, maxManifest)
	return raw, ref.Manifest.MediaType, err
}

func (l *layout) tag(ctx context.Context, tag string, raw []byte) error {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	desc, err := l.dir.PutBytes(ctx, raw)
	if err != nil {
		return err
	}
	desc.MediaType = types.OCIManifestSchema1
	blobs := []v1.Hash{desc.Digest, m.Config.Digest}
	for _, d := range m.Layers {
		blobs = append(blobs, d.Digest)
	}
	return l.dir.SetRef(ctx, LayoutRefs+tag, ocidir.Ref{Blobs: blobs, Manifest: &desc})
}

func (l *layout) push(ctx context.Context, blob v1.Layer) error {
	digest, err := blob.Digest()
	if err != nil {
		return err
	}
	size, err := blob.Size()
	if err != nil {
		return err
	}
	desc := v1.Descriptor{Digest: digest, Size: size}
	if l.dir.Keep(desc) {
		return nil
	}
	r, err := blob.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	return l.dir.Put(ctx, r, desc)
}

// errLarge is a blob that is more than who asked wanted to read.
var errLarge = errors.New("too large")

func (l *layout) blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error) {
	// Only a descriptor would say how large it is, and who asks has none.
	info, err := os.Stat(filepath.Join(l.dir.Path(), "blobs", h.Algorithm, h.Hex))
	if err != nil {
		return nil, err
	}
	return l.read(ctx, v1.Descriptor{Digest: h, Size: info.Size()}, limit)
}

func (l *layout) read(ctx context.Context, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s in %s: %w: more than %d bytes", d.Digest, l.dir.Path(), errLarge, limit)
	}
	r, err := l.dir.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(r) // of d.Size at most
	return b.Bytes(), err
}

func (l *layout) layer(ctx context.Context, d v1.Descriptor, diffID v1.Hash) v1.Layer {
	return &layoutLayer{ctx: ctx, dir: l.dir, desc: d, diffID: diffID}
}

// distrust does nothing: who reads a damaged blob moves it aside.
func (l *layout) distrust(v1.Hash) {}

func (l *layout) absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (l *layout) damaged(err error) bool {
	var damaged *ocidir.DamagedError
	return errors.As(err, &damaged) || errors.Is(err, ocidir.ErrRefDamaged) || errors.Is(err, errLarge)
}

func (l *layout) incomplete(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// layoutLayer is a layer in an OCI layout.
type layoutLayer struct {
	ctx    context.Context
	dir    *ocidir.Dir
	desc   v1.Descriptor
	diffID v1.Hash
}

func (l *layoutLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *layoutLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layoutLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layoutLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *layoutLayer) Compressed() (io.ReadCloser, error)  { return l.dir.Blob(l.ctx, l.desc) }

func (l *layoutLayer) Uncompressed() (io.ReadCloser, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return layer.Decompress(r)
}
