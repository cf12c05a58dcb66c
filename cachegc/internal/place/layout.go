package place

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// layout is a cache in an OCI layout: a tag is a ref, and space is given back by a sweep.
type layout struct{ dir *ocidir.Dir }

// DirectoryError is a directory that cannot be used as a cache.
type DirectoryError struct {
	Path string
	Err  error
}

func (e *DirectoryError) Error() string {
	return fmt.Sprintf("open the cache %s%s: %v", LayoutPrefix, e.Path, e.Err)
}
func (e *DirectoryError) Unwrap() error { return e.Err }

// Hint says what there should be.
func (e *DirectoryError) Hint() string {
	return "name a directory that builds have as --cache-repo=oci:DIR, or as --cache-dir"
}

// openDirectory opens a layer cache, or base images, whichever a directory has.
func openDirectory(path string) (Place, error) {
	if path == "" {
		return nil, &DirectoryError{path, errors.New("it names no directory")}
	}
	dir, err := ocidir.Open(path)
	if err != nil {
		return nil, &DirectoryError{path, err}
	}
	var bases []string
	for _, prefix := range []string{"base", "digest"} { // the refs of base images, by either of which they are known
		names, err := dir.Refs(prefix)
		if err != nil {
			return nil, &DirectoryError{path, errors.Join(err, dir.Close())}
		}
		bases = append(bases, names...)
	}
	if len(bases) == 0 {
		return &layout{dir}, nil
	}
	entries, err := dir.Refs(strings.TrimSuffix(cache.LayoutRefs, "/"))
	if err == nil && len(entries) > 0 {
		err = errors.New("it has a layer cache and base images in one, whose rules are not the same")
	}
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, &DirectoryError{path, err}
	}
	return openBases(path)
}

func (l *layout) String() string { return LayoutPrefix + l.dir.Path() }

func (l *layout) Tags(ctx context.Context, yield func(kind.Tag) error) error {
	names, err := l.dir.Refs(strings.TrimSuffix(cache.LayoutRefs, "/"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r, err := l.dir.Ref(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ocidir.ErrRefDamaged) || err == nil && r.Manifest == nil {
			continue // gone meanwhile, or of use to nobody
		}
		if err != nil {
			return err
		}
		if err := yield(kind.Tag{Name: strings.TrimPrefix(name, cache.LayoutRefs), Digest: r.Manifest.Digest}); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) Current(_ context.Context, tag string) (v1.Hash, error) {
	d, err := l.at(tag)
	return d.Digest, err
}

// at is what a tag stands for.
func (l *layout) at(tag string) (v1.Descriptor, error) {
	r, err := l.dir.Ref(cache.LayoutRefs + tag)
	if errors.Is(err, fs.ErrNotExist) {
		return v1.Descriptor{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err == nil && r.Manifest == nil {
		err = fmt.Errorf("ref %s%s: %w", cache.LayoutRefs, tag, ocidir.ErrRefDamaged)
	}
	if err != nil {
		return v1.Descriptor{}, err
	}
	return *r.Manifest, nil
}

func (l *layout) Manifest(ctx context.Context, ref string, limit int64) (*registry.Manifest, error) {
	digest, err := v1.NewHash(ref)
	if err != nil {
		if digest, err = l.Current(ctx, ref); err != nil {
			return nil, err
		}
	}
	raw, err := l.Blob(ctx, digest, limit)
	if err != nil {
		return nil, err
	}
	var said struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return nil, fmt.Errorf("read manifest %s in %s: %w", digest, l, err)
	}
	return &registry.Manifest{Raw: raw, MediaType: said.MediaType, Digest: digest}, nil
}

func (l *layout) Blob(ctx context.Context, h v1.Hash, limit int64) ([]byte, error) {
	info, err := os.Stat(filepath.Join(l.dir.Path(), "blobs", h.Algorithm, h.Hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("blob %s in %s: %w: more than %d bytes", h, l, registry.ErrTooLarge, limit)
	}
	r, err := l.dir.Blob(ctx, v1.Descriptor{Digest: h, Size: info.Size()})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(r) // no more than info.Size
	return b.Bytes(), err
}

func (l *layout) Put(ctx context.Context, tag string, raw []byte, mt types.MediaType, blobs ...[]byte) error {
	release, err := l.dir.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, b := range blobs {
		if _, err := l.dir.PutBytes(ctx, b); err != nil {
			return err
		}
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	desc, err := l.dir.PutBytes(ctx, raw)
	if err != nil {
		return err
	}
	desc.MediaType = mt
	needs := []v1.Hash{desc.Digest, m.Config.Digest}
	for _, d := range m.Layers {
		needs = append(needs, d.Digest)
	}
	err = l.dir.SetRef(ctx, cache.LayoutRefs+tag, ocidir.Ref{Blobs: needs, Manifest: &desc})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", registry.ErrIncomplete, err)
	}
	return err
}

// Delete removes the tags that still stand for the victim.
func (l *layout) Delete(ctx context.Context, v kind.Victim) error {
	for _, tag := range v.Tags {
		d, err := l.Current(ctx, tag)
		if Missing(err) || err == nil && d != v.Digest {
			continue
		}
		if err == nil {
			err = l.dir.RemoveRef(cache.LayoutRefs + tag)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Untag does nothing: a ref is removed at once or not at all.
func (l *layout) Untag(context.Context, string) error { return nil }

// Referred is false: a cache in a directory has nothing that refers to another.
func (l *layout) Referred(context.Context, v1.Hash) (bool, error) { return false, nil }

func (l *layout) Probe(context.Context) (kind.Capabilities, error) {
	c := kind.Capabilities{Delete: kind.Yes, Digests: true}
	if !l.dir.Writable() {
		c.Delete, c.Why = kind.No, fmt.Errorf("%s cannot be written to", l)
	}
	return c, nil
}

func (l *layout) Settle(ctx context.Context, now time.Time, grace time.Duration) (int64, error) {
	swept, err := l.dir.Sweep(ctx, now, grace)
	return swept.Bytes, errors.Join(err, l.dir.WriteIndex(ctx))
}

func (l *layout) Close() error { return l.dir.Close() }
