package ocidir

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
)

// renames is how often a file is renamed into a directory that somebody else removes
// at the same time, because it was empty.
const renames = 10

// ingested is a file that has no name yet by which others look for it.
type ingested struct {
	*os.File
	dir  *Dir
	name string
}

// ingest starts a file. It is ended by publish or discard.
func (d *Dir) ingest(what string) (*ingested, error) {
	if err := d.prepare(); err != nil {
		return nil, err
	}
	return d.create(what)
}

func (d *Dir) create(what string) (*ingested, error) {
	name := path.Join(ingestDir, what+"-"+rand.Text())
	open := func() (*os.File, error) { return d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666) }
	f, err := open()
	if missing(err) {
		if err := d.root.MkdirAll(ingestDir, 0o777); err != nil {
			return nil, err
		}
		f, err = open()
	}
	if err != nil {
		return nil, err
	}
	return &ingested{f, d, name}, nil
}

func (f *ingested) discard() {
	f.Close()
	f.dir.root.Remove(f.name)
}

// publish gives the file its name, once it is on the disk.
func (f *ingested) publish(name string) (err error) {
	defer func() {
		if err != nil {
			f.discard()
		}
	}()
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := f.dir.rename(f.name, name); err != nil {
		return err
	}
	return f.dir.syncDir(path.Dir(name))
}

// rename moves a file to a directory, which is made if need be.
func (d *Dir) rename(from, to string) error {
	for try := 1; ; try++ {
		err := d.root.Rename(from, to)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try == renames {
			return err
		}
		if err := d.root.MkdirAll(path.Dir(to), 0o777); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}
