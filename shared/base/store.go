package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

const (
	maxManifest = 16 << 20 // bytes, as in package registry
	maxConfig   = 16 << 20 // bytes
	maxIndex    = 64 << 20 // bytes of a layer's index
	maxNesting  = 4        // of an index in an index
)

// Store is base images in a directory that builds read and the warmer writes, at the
// same time and on several machines. All that is in it is verified when it is read.
//
// It is an [ocidir.Dir] with these refs:
//
//	base/REFERENCE/PLATFORM  what a reference was when the registry was last asked: a [Record]
//	digest/HEX               that a manifest is there, and all that an image's needs
//	index/HEX                where the index of the layer with that digest is
//
// Beside them, files that kaniko's warmer made are read: see legacy.
type Store struct{ dir *ocidir.Dir }

// Record is what a reference was.
type Record struct {
	// Ref is the reference with all that is implied by default.
	Ref string `json:"ref"`
	// Platform is the one that was asked for.
	Platform v1.Platform `json:"platform"`
	// Digest is the image's manifest's.
	Digest v1.Hash `json:"digest"`
	// Root is what the reference named: an index that led to the image, or the image.
	Root v1.Hash `json:"index"`
	// Resolved is when the registry last said so.
	Resolved time.Time `json:"resolved"`
}

// OpenStore opens a directory that exists; it may be read-only.
func OpenStore(path string) (*Store, error) {
	d, err := ocidir.Open(path)
	if err != nil {
		return nil, err
	}
	return &Store{d}, nil
}

// CreateStore opens a directory, and makes it if it is not there.
func CreateStore(path string) (*Store, error) {
	d, err := ocidir.Create(path)
	if err != nil {
		return nil, err
	}
	return &Store{d}, nil
}

// Path is the store's directory.
func (s *Store) Path() string { return s.dir.Path() }

// Writable tells whether the store can be written to.
func (s *Store) Writable() bool { return s.dir.Writable() }

// Close lets go of the directory.
func (s *Store) Close() error { return s.dir.Close() }

// component makes one component of a ref's name of something that has slashes. There
// is no comma in references and platforms.
func component(text string) string { return strings.ReplaceAll(text, "/", ",") }

func recordName(ref name.Reference, p v1.Platform) string {
	return "base/" + component(ref.Name()) + "/" + component(registry.Normalize(p).String())
}

func digestName(h v1.Hash) string { return "digest/" + h.Hex }

func layerName(h v1.Hash) string { return "index/" + h.Hex }

// Record is what a reference was for a platform; an [fs.ErrNotExist] if the store has
// never known it.
func (s *Store) Record(ref name.Reference, p v1.Platform) (*Record, error) {
	return s.record(recordName(ref, p))
}

func (s *Store) record(name string) (*Record, error) {
	r, err := s.dir.Ref(name)
	if err != nil {
		return nil, err
	}
	return s.recordOf(name, r)
}

func (s *Store) recordOf(name string, r *ocidir.Ref) (*Record, error) {
	var rec Record
	if err := json.Unmarshal(r.Content, &rec); err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", name, s.Path(), ocidir.ErrRefDamaged)
	}
	return &rec, nil
}

// records are those of a reference, the one for p first.
func (s *Store) records(ref name.Reference, p v1.Platform) ([]*Record, error) {
	own := recordName(ref, p)
	names, err := s.dir.Refs("base/" + component(ref.Name()))
	if err != nil {
		return nil, err
	}
	var all []*Record
	for _, n := range append([]string{own}, names...) {
		if n == own && len(all) > 0 {
			continue
		}
		if rec, err := s.record(n); err == nil {
			all = append(all, rec)
		}
	}
	return all, nil
}

// find opens the image that a digest leads to for a platform, as
// [registry.Client.Resolve] would. Without it the error is an [fs.ErrNotExist].
func (s *Store) find(ctx context.Context, at name.Repository, root v1.Hash, p v1.Platform, depth int) (*Image, error) {
	desc, err := s.descriptor(root)
	if errors.Is(err, fs.ErrNotExist) {
		return s.legacy(ctx, at, root)
	}
	if err != nil {
		return nil, err
	}
	if !desc.MediaType.IsIndex() {
		return s.Open(ctx, at, root)
	}
	if depth >= maxNesting {
		return nil, fmt.Errorf("indexes are nested deeper than %d", maxNesting)
	}
	raw, err := s.read(ctx, *desc, maxManifest)
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read index %s: %w", root, err)
	}
	chosen, nested, _ := registry.Pick(index, p)
	if chosen != nil {
		return s.find(ctx, at, chosen.Digest, p, depth+1)
	}
	for _, d := range nested {
		if img, err := s.find(ctx, at, d.Digest, p, depth+1); err == nil {
			return img, nil
		}
	}
	return nil, fmt.Errorf("%s for %s: %w", root, p, fs.ErrNotExist)
}

// descriptor is what the store knows of a manifest.
func (s *Store) descriptor(h v1.Hash) (*v1.Descriptor, error) {
	r, err := s.dir.Ref(digestName(h))
	if err != nil {
		return nil, err
	}
	return s.descriptorOf(h, r)
}

func (s *Store) descriptorOf(h v1.Hash, r *ocidir.Ref) (*v1.Descriptor, error) {
	var d v1.Descriptor
	if err := json.Unmarshal(r.Content, &d); err != nil || d.Digest != h {
		return nil, fmt.Errorf("read ref of %s in %s: %w", h, s.Path(), ocidir.ErrRefDamaged)
	}
	return &d, nil
}

// read reads a small blob.
func (s *Store) read(ctx context.Context, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s is larger than %d bytes", d.Digest, limit)
	}
	r, err := s.dir.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// index is what a layer does to files, if the store knows it.
func (s *Store) index(ctx context.Context, h v1.Hash) (layer.Changes, bool) {
	d, err := s.indexBlob(h)
	if err != nil {
		return nil, false
	}
	raw, err := s.read(ctx, *d, maxIndex)
	if err != nil {
		return nil, false
	}
	return layer.ReadIndex(bytes.NewReader(raw)), true
}

func (s *Store) indexBlob(h v1.Hash) (*v1.Descriptor, error) {
	r, err := s.dir.Ref(layerName(h))
	if err != nil {
		return nil, err
	}
	var d v1.Descriptor
	return &d, json.Unmarshal(r.Content, &d)
}

// used notes that a build has used an image. A store that is read-only does not learn
// of it.
func (s *Store) used(h v1.Hash, now time.Time) { s.dir.Touch(digestName(h), now) }
