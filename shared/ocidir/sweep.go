package ocidir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// leftover is how old a file must be that somebody was writing, or that was moved
// aside, to be removed.
const leftover = 24 * time.Hour

// maxNesting bounds how deep the manifests of other tools are followed.
const maxNesting = 8

// BlobInfo is what a listing says of a blob.
type BlobInfo struct {
	Digest  v1.Hash
	Size    int64     // in bytes
	Touched time.Time // when it was put, or last kept
}

// Blobs lists all blobs, in the order of their digests.
func (d *Dir) Blobs() iter.Seq2[BlobInfo, error] {
	return func(yield func(BlobInfo, error) bool) {
		entries, err := fs.ReadDir(d.root.FS(), path.Join(blobsDir, "sha256"))
		if err != nil && !missing(err) {
			yield(BlobInfo{}, fmt.Errorf("list blobs in %s: %w", d.path, err))
			return
		}
		for _, e := range entries {
			h, err := v1.NewHash("sha256:" + e.Name())
			if err != nil {
				continue
			}
			info, err := e.Info()
			if missing(err) {
				continue
			}
			if err != nil {
				yield(BlobInfo{}, fmt.Errorf("list blobs in %s: %w", d.path, err))
				return
			}
			if !yield(BlobInfo{h, info.Size(), info.ModTime()}, nil) {
				return
			}
		}
	}
}

// Swept is what a sweep has removed.
type Swept struct {
	Blobs int
	Bytes int64
}

// Sweep removes the blobs that no ref names, that other tools' index.json does not
// lead to, and that nobody has touched within grace; and what writers that were killed
// have left. It waits, until ctx is done, for those who [Dir.Hold]. Where the file
// system has no locks, grace must be longer than it takes to write what a ref needs.
func (d *Dir) Sweep(ctx context.Context, now time.Time, grace time.Duration) (Swept, error) {
	return d.SweepAfter(ctx, now, grace, func() error { return nil })
}

// SweepAfter is [Dir.Sweep], with something that is done first while nobody holds: the
// removal of refs, which may not touch what somebody is about to complete.
func (d *Dir) SweepAfter(ctx context.Context, now time.Time, grace time.Duration, first func() error) (Swept, error) {
	release, err := d.lock(ctx, sweepLock, true)
	if err != nil {
		return Swept{}, err
	}
	defer release()
	if err := first(); err != nil {
		return Swept{}, err
	}
	keep, err := d.reachable()
	if err != nil {
		return Swept{}, fmt.Errorf("sweep %s: %w", d.path, err)
	}
	var swept Swept
	for b, err := range d.Blobs() {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return swept, err
		}
		if keep[b.Digest] || now.Sub(b.Touched) < grace {
			continue
		}
		err = d.root.Remove(path.Join(blobsDir, b.Digest.Algorithm, b.Digest.Hex))
		if err != nil && !missing(err) {
			return swept, fmt.Errorf("sweep %s: %w", d.path, err)
		}
		swept.Blobs++
		swept.Bytes += b.Size
	}
	return swept, errors.Join(d.sweepLeftovers(ingestDir, now), d.sweepLeftovers(damagedDir, now))
}

func (d *Dir) sweepLeftovers(dir string, now time.Time) error {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if err != nil && !missing(err) {
		return fmt.Errorf("sweep %s: %w", d.path, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < leftover {
			continue
		}
		if err := d.root.Remove(path.Join(dir, e.Name())); err != nil && !missing(err) {
			return fmt.Errorf("sweep %s: %w", d.path, err)
		}
	}
	return nil
}

// reachable is every blob that somebody needs.
func (d *Dir) reachable() (map[v1.Hash]bool, error) {
	keep := map[v1.Hash]bool{}
	names, err := d.Refs("")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r, err := d.Ref(name)
		if missing(err) || errors.Is(err, ErrRefDamaged) {
			continue // nobody can use it
		}
		if err != nil {
			return nil, err
		}
		for _, h := range r.Blobs {
			keep[h] = true
		}
	}
	foreign, err := d.foreign()
	if err != nil {
		return nil, err
	}
	for _, m := range foreign {
		d.follow(m, keep, 0)
	}
	return keep, nil
}

// follow marks what a manifest leads to. What cannot be read leads nowhere.
func (d *Dir) follow(desc v1.Descriptor, keep map[v1.Hash]bool, depth int) {
	keep[desc.Digest] = true
	if depth == maxNesting || !desc.MediaType.IsIndex() && !desc.MediaType.IsImage() {
		return
	}
	name, err := blobName(desc.Digest)
	if err != nil {
		return
	}
	f, err := d.root.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	var m struct {
		Manifests []v1.Descriptor `json:"manifests"`
		Config    *v1.Descriptor  `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
	}
	if json.NewDecoder(io.LimitReader(f, maxIndex)).Decode(&m) != nil {
		return
	}
	if m.Config != nil {
		keep[m.Config.Digest] = true
	}
	for _, l := range m.Layers {
		keep[l.Digest] = true
	}
	for _, child := range m.Manifests {
		d.follow(child, keep, depth+1)
	}
}
