// Package ocidir keeps blobs and small named files in a directory that many
// processes, on one machine or several, read and write at once. It is an OCI image
// layout for other tools; its own lookups go through files of their own, since one
// index.json for all would have all writers wait for each other.
//
//	oci-layout, index.json   for other tools; see [Dir.WriteIndex]
//	blobs/sha256/HEX         content
//	refs/NAME                what blobs belong together, and why
//	ingest/                  files that are being written
//	damaged/                 blobs that were found to be something else
//	lock/                    empty files to lock
//
// Everything appears under its name by a rename of a file that is complete and on
// the disk. So a process that is killed leaves rubbish in ingest at worst, and a
// reader needs no lock. What a blob means is for those who make refs.
package ocidir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	blobsDir   = "blobs"
	refsDir    = "refs"
	ingestDir  = "ingest"
	damagedDir = "damaged"
	lockDir    = "lock"
	layoutFile = "oci-layout"
	indexFile  = "index.json"
)

// layoutText is the file that makes a directory an OCI image layout (OCI image spec,
// image-layout.md, "oci-layout file").
const layoutText = `{"imageLayoutVersion":"1.0.0"}`

// Dir is a directory of blobs and refs. It is safe for use by several goroutines at
// once, as it is by several processes.
type Dir struct {
	root *os.Root
	path string
}

// Open opens a directory that exists. Nothing is written to it until that is asked
// for, and then what is missing of it is made.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open image directory: %w", err)
	}
	return &Dir{root: root, path: path}, nil
}

// Create opens a directory, and makes it if it does not exist.
func Create(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, fmt.Errorf("create image directory: %w", err)
	}
	return Open(path)
}

// Path is the directory as it was opened.
func (d *Dir) Path() string { return d.path }

// Close lets go of the directory. Readers of blobs that are open go on.
func (d *Dir) Close() error { return d.root.Close() }

// Writable reports whether files can be made in the directory now.
func (d *Dir) Writable() bool {
	f, err := d.ingest("probe")
	if err != nil {
		return false
	}
	f.discard()
	return true
}

// prepare makes what a writer needs. It is done before each write, since a directory
// may be emptied while it is in use.
func (d *Dir) prepare() error {
	if _, err := d.root.Lstat(layoutFile); err == nil {
		return nil
	}
	if err := d.root.MkdirAll(ingestDir, 0o777); err != nil {
		return err
	}
	f, err := d.create("layout")
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(layoutText)); err != nil {
		f.discard()
		return err
	}
	return f.publish(layoutFile)
}

// syncDir puts the names in a directory on the disk. Some file systems of the
// network do not know how, and need not.
func (d *Dir) syncDir(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
