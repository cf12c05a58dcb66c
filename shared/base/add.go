package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Hold keeps others from sweeping the store until release is called. Who adds an image
// holds from before its first layer until [Store.AddImage] has returned.
func (s *Store) Hold(ctx context.Context) (release func(), err error) { return s.dir.Hold(ctx) }

// AddLayer fetches a layer and makes its index on the way. What is there already is
// not fetched again, unless force says so.
func (s *Store) AddLayer(ctx context.Context, l *registry.Layer, force bool) error {
	d, err := l.Descriptor()
	if err != nil {
		return err
	}
	if !force && s.dir.Keep(*d) {
		if i, err := s.indexBlob(d.Digest); err == nil && s.dir.Keep(*i) {
			return nil
		}
		if r, err := s.dir.Blob(ctx, *d); err == nil && s.indexOnly(ctx, r, *d) == nil {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	making := s.startIndex(ctx, *d)
	// What is wrong with the bytes is seen by who puts them.
	err = s.dir.Put(ctx, io.TeeReader(r, making), *d)
	return errors.Join(err, making.end(err))
}

// indexOnly makes the index of a layer that is in the store, which it checks so.
func (s *Store) indexOnly(ctx context.Context, r io.ReadCloser, d v1.Descriptor) error {
	defer r.Close()
	making := s.startIndex(ctx, d)
	_, err := io.Copy(making, r)
	return errors.Join(err, making.end(err))
}

// indexing is a layer's index in the making, from bytes that are written to it.
type indexing struct {
	*io.PipeWriter
	ctx   context.Context
	store *Store
	layer v1.Hash
	done  chan []byte
}

func (s *Store) startIndex(ctx context.Context, d v1.Descriptor) *indexing {
	r, w := io.Pipe()
	i := &indexing{w, ctx, s, d.Digest, make(chan []byte, 1)}
	go func() {
		index, err := indexOf(r, d.Annotations)
		if err != nil {
			index = nil // a layer of another kind; it can be kept, and has no index
		}
		io.Copy(io.Discard, r) // who writes must not wait for us
		i.done <- index
	}()
	return i
}

// end keeps the index, unless the bytes were not right.
func (i *indexing) end(err error) error {
	i.CloseWithError(err)
	index := <-i.done
	if err != nil || index == nil {
		return nil
	}
	d, err := i.store.dir.PutBytes(i.ctx, index)
	if err != nil {
		return err
	}
	content, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return i.store.dir.SetRef(i.ctx, layerName(i.layer), ocidir.Ref{Content: content, Blobs: []v1.Hash{d.Digest}})
}

func indexOf(r io.Reader, annotations map[string]string) ([]byte, error) {
	tar, err := layer.Decompress(io.NopCloser(r))
	if err != nil {
		return nil, err
	}
	defer tar.Close()
	out := &bounded{left: maxIndex}
	w, err := layer.NewIndexWriter(out)
	if err != nil {
		return nil, err
	}
	for _, err := range w.Tee(layer.ReadDescribed(tar, annotations)) {
		if err == nil {
			err = out.err
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// bounded is a buffer that takes no more than so many bytes.
type bounded struct {
	bytes.Buffer
	left int
	err  error
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.err = fmt.Errorf("the index is larger than %d bytes", maxIndex)
		return 0, b.err
	}
	return b.Buffer.Write(p)
}

// AddImage makes an image, all of whose layers were added, the one that a reference
// names for a platform; now is when the registry said so.
func (s *Store) AddImage(ctx context.Context, ref name.Reference, p v1.Platform, img *registry.Image, now time.Time) error {
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	if err := s.dir.Put(ctx, bytes.NewReader(config), m.Config); err != nil {
		return err
	}
	desc, err := s.addManifest(ctx, img)
	if err != nil {
		return err
	}
	needs := []v1.Hash{desc.Digest, m.Config.Digest}
	for _, l := range m.Layers {
		needs = append(needs, l.Digest)
	}
	root := desc.Digest
	var indexes []v1.Hash
	for n, index := range img.Indexes() {
		d := v1.Descriptor{Digest: index.Digest, Size: int64(len(index.Raw)), MediaType: index.MediaType}
		err := s.dir.Put(ctx, bytes.NewReader(index.Raw), d)
		if err == nil {
			err = s.setDigest(ctx, d, []v1.Hash{d.Digest})
		}
		if err != nil {
			return err
		}
		if indexes = append(indexes, d.Digest); n == 0 {
			root = d.Digest
		}
	}
	indexes = s.ledHere(*desc, indexes)
	needs = append(needs, indexes...)
	if err := s.setDigest(ctx, *desc, needs); err != nil {
		return err
	}
	rec := &Record{Ref: ref.Name(), Platform: registry.Normalize(p), Digest: desc.Digest, Root: root, Resolved: now}
	return s.setRecord(ctx, recordName(ref, p), rec, needs, desc)
}

// maxIndexes is how many indexes that led to an image are kept with it.
const maxIndexes = 16

// ledHere adds to the indexes that lead to an image those that did so earlier: somebody
// may have pinned one.
func (s *Store) ledHere(image v1.Descriptor, indexes []v1.Hash) []v1.Hash {
	r, err := s.dir.Ref(digestName(image.Digest))
	if err != nil {
		return indexes
	}
	for _, h := range r.Blobs {
		d, err := s.descriptor(h)
		if err == nil && d.MediaType.IsIndex() && s.dir.Keep(*d) && !slices.Contains(indexes, h) && len(indexes) < maxIndexes {
			indexes = append(indexes, h)
		}
	}
	return indexes
}

func (s *Store) addManifest(ctx context.Context, img *registry.Image) (*v1.Descriptor, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, err
	}
	d := &v1.Descriptor{Digest: digest, Size: int64(len(raw)), MediaType: mediaType}
	return d, s.dir.Put(ctx, bytes.NewReader(raw), *d)
}

func (s *Store) setDigest(ctx context.Context, d v1.Descriptor, needs []v1.Hash) error {
	content, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return s.dir.SetRef(ctx, digestName(d.Digest), ocidir.Ref{Content: content, Blobs: needs})
}

func (s *Store) setRecord(ctx context.Context, name string, rec *Record, needs []v1.Hash, desc *v1.Descriptor) error {
	content, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	listed := desc.DeepCopy()
	listed.Platform = rec.Platform.DeepCopy()
	// The annotation by which other tools find an image in a layout (OCI image spec,
	// annotations.md).
	listed.Annotations = map[string]string{"org.opencontainers.image.ref.name": rec.Ref}
	return s.dir.SetRef(ctx, name, ocidir.Ref{Content: content, Blobs: needs, Manifest: listed})
}

// Complete reports whether all of a record's image is in the store, and nothing that
// was there of the indexes of its layers is gone. Contents are not read.
func (s *Store) Complete(ctx context.Context, ref name.Reference, rec *Record) bool {
	img, err := s.find(ctx, ref.Context(), rec.Root, rec.Platform, 0)
	if err != nil || img.desc.Digest != rec.Digest {
		return false
	}
	for _, l := range img.layers {
		if _, ok := l.from.(inStore); !ok {
			return false
		}
		index, err := s.indexBlob(l.desc.Digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a layer of a kind that has none
		}
		if err != nil || !s.dir.Has(*index) {
			return false
		}
	}
	return true
}

// Refresh notes that the registry says the same of a record as before.
func (s *Store) Refresh(ctx context.Context, ref name.Reference, rec *Record, now time.Time) error {
	name := recordName(ref, rec.Platform)
	r, err := s.dir.Ref(name)
	if err != nil {
		return err
	}
	fresh := *rec
	fresh.Resolved = now
	return s.setRecord(ctx, name, &fresh, r.Blobs, r.Manifest)
}

// Export writes index.json, for other tools, after images were added or removed.
func (s *Store) Export(ctx context.Context) error { return s.dir.WriteIndex(ctx) }
