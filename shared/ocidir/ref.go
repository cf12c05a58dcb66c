package ocidir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxRef bounds the file of a ref, in bytes.
const maxRef = 4 << 20

// A ref's file is a line with the version of the form and the SHA-256 of the rest in
// hexadecimal, a line with a refHeader, and the content. A sweep leaves a directory alone
// that has refs of another version.
const (
	refMagic   = "ref "
	refVersion = refMagic + "1 "
)

// Ref is a small file with a name. It keeps blobs from being swept.
type Ref struct {
	// Content is for who made it.
	Content []byte
	// Blobs are all that are needed to use the ref.
	Blobs []v1.Hash
	// Manifest, if it is set, is listed in index.json: see [Dir.WriteIndex].
	Manifest *v1.Descriptor
	// Used is when the ref was made or last touched.
	Used time.Time
}

// ErrRefDamaged says that a ref is there but cannot be understood.
var ErrRefDamaged = errors.New("not readable")

// errRefVersion is a ref that a later version of this package has made.
var errRefVersion = errors.New("of a version that is not known")

// refHeader is what a ref's file says beside the content.
type refHeader struct {
	Blobs    []v1.Hash      `json:"blobs,omitempty"`
	Manifest *v1.Descriptor `json:"manifest,omitempty"`
}

func formatRef(r Ref) ([]byte, error) {
	header, err := json.Marshal(refHeader{r.Blobs, r.Manifest})
	if err != nil {
		return nil, err
	}
	rest := slices.Concat(header, []byte{'\n'}, r.Content)
	data := append(fmt.Appendf(nil, "%s%x\n", refVersion, sha256.Sum256(rest)), rest...)
	if len(data) > maxRef {
		return nil, fmt.Errorf("it is larger than %d bytes", maxRef)
	}
	return data, nil
}

func parseRef(data []byte) (*Ref, error) {
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	sum, ok := strings.CutPrefix(string(first), refVersion)
	if !ok && isLater(string(first)) {
		return nil, errRefVersion
	}
	header, content, found := bytes.Cut(rest, []byte{'\n'})
	var h refHeader
	if !ok || !found || sum != fmt.Sprintf("%x", sha256.Sum256(rest)) || json.Unmarshal(header, &h) != nil {
		return nil, ErrRefDamaged
	}
	return &Ref{Content: content, Blobs: h.Blobs, Manifest: h.Manifest}, nil
}

// isLater reports whether a ref's first line has a version that is a number, though
// not ours.
func isLater(first string) bool {
	version, _, ok := strings.Cut(strings.TrimPrefix(first, refMagic), " ")
	n, err := strconv.Atoi(version)
	return ok && strings.HasPrefix(first, refMagic) && err == nil && n > 1
}

// SetRef makes a ref, in place of one of the same name. All its blobs must be there.
// A name's components are separated by slashes and may hold anything; of two names,
// one may not be the other with more components.
func (d *Dir) SetRef(ctx context.Context, name string, r Ref) error {
	if err := d.setRef(ctx, name, r); err != nil {
		return fmt.Errorf("write ref %s in %s: %w", name, d.path, err)
	}
	return nil
}

func (d *Dir) setRef(ctx context.Context, name string, r Ref) error {
	file, err := refFile(name)
	if err != nil {
		return err
	}
	data, err := formatRef(r)
	if err != nil {
		return err
	}
	release, err := d.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := d.complete(r); err != nil {
		return err
	}
	f, err := d.ingest("ref")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.discard()
		return err
	}
	if err := f.publish(file); err != nil {
		return err
	}
	// Where there are no locks, a sweep may have been faster.
	if err := d.complete(r); err != nil {
		return errors.Join(err, d.root.Remove(file))
	}
	return nil
}

func (d *Dir) complete(r Ref) error {
	for _, h := range r.Blobs {
		name, err := blobName(h)
		if err == nil {
			_, err = d.root.Stat(name)
		}
		if err != nil {
			return fmt.Errorf("blob %s: %w", h, err)
		}
	}
	return nil
}

// Ref reads a ref. One that is not there is an [fs.ErrNotExist], one that is not
// what was written an [ErrRefDamaged].
func (d *Dir) Ref(name string) (*Ref, error) {
	file, err := refFile(name)
	var r *Ref
	if err == nil {
		r, err = d.readRef(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read ref %s in %s: %w", name, d.path, err)
	}
	return r, nil
}

func (d *Dir) readRef(file string) (*Ref, error) {
	f, err := d.root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fs.ErrNotExist
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRef+1))
	if err != nil {
		return nil, err
	}
	r, err := parseRef(data)
	if err != nil {
		return nil, err
	}
	r.Used = info.ModTime()
	return r, nil
}

// Touch notes that a ref was used.
func (d *Dir) Touch(name string, at time.Time) error {
	file, err := refFile(name)
	if err != nil {
		return err
	}
	return d.root.Chtimes(file, at, at)
}

// Refs are the names of all refs below a prefix, which is the first components of
// names; all refs if it is empty. They are sorted.
func (d *Dir) Refs(prefix string) ([]string, error) {
	from := refsDir
	if prefix != "" {
		var err error
		if from, err = refFile(prefix); err != nil {
			return nil, err
		}
	}
	var names []string
	err := fs.WalkDir(d.root.FS(), from, func(p string, e fs.DirEntry, err error) error {
		if missing(err) {
			return nil // there is none, or it is being removed
		}
		if err != nil || e.IsDir() {
			return err
		}
		if name, ok := refName(p); ok {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list refs in %s: %w", d.path, err)
	}
	slices.Sort(names)
	return names, nil
}

// RemoveRef removes a ref; one that is not there is no error. Its blobs are for
// [Dir.Sweep].
func (d *Dir) RemoveRef(name string) error {
	file, err := refFile(name)
	if err == nil {
		err = d.root.Remove(file)
	}
	if err != nil && !missing(err) {
		return fmt.Errorf("remove ref %s in %s: %w", name, d.path, err)
	}
	// Directories that are not empty stay.
	for dir := path.Dir(file); dir != refsDir && d.root.Remove(dir) == nil; dir = path.Dir(dir) {
	}
	return nil
}
