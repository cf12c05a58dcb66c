package placement

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// archive unpacks a source that is a tar archive, plain or compressed, below
// dest; done is false for any other file. What a file is called says nothing.
func (p *placer) archive(m match, dest tree.Path) (done bool, err error) {
	if m.node.Type != tree.File {
		return false, nil
	}
	f, err := p.Source.Open(m.real)
	if err != nil {
		return false, err
	}
	defer f.Close()
	tr, first := openArchive(f)
	if tr == nil {
		return false, nil
	}
	if err := p.makeDir(dest); err != nil {
		return true, err
	}
	for h := first; ; h, err = tr.Next() {
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return true, fmt.Errorf("unpack %s: %w", m.real.Abs(), err)
		}
		if err := p.unpack(h, tr, dest); err != nil {
			return true, fmt.Errorf("unpack %s: %w", m.real.Abs(), err)
		}
	}
}

func (p *placer) unpack(h *tar.Header, tr *tar.Reader, dest tree.Path) error {
	if h.Typeflag == tar.TypeXGlobalHeader || tree.Clean(h.Name) == tree.Root {
		return nil // says nothing of a file, or of the directory that is already there
	}
	c, err := layer.PutOf(h)
	if err != nil {
		return err
	}
	if c.Path, err = tree.ResolveParent(&p.view, dest.Join(string(c.Path))); err != nil {
		return err
	}
	if c.Hard != "" {
		if c.Hard, err = tree.ResolveParent(&p.view, dest.Join(string(c.Hard))); err != nil {
			return err
		}
		target, err := tree.Stat(&p.view, c.Hard)
		if err != nil || target.Node.IsDir() {
			return fmt.Errorf("hard link %s to %s: the target is not there", c.Path.Abs(), c.Hard.Abs())
		}
		c.Node = target.Node
	}
	if p.Owner != nil {
		c.Node.UID, c.Node.GID = p.Owner.UID, p.Owner.GID
	}
	if p.Mode != nil && c.Node.Type != tree.Symlink {
		c.Node.Mode = p.Mode.Apply(c.Node.Mode, c.Node.IsDir())
	}
	if c.Node.Type == tree.File && c.Hard == "" {
		c.Open = func() (io.ReadCloser, error) { return io.NopCloser(tr), nil }
	}
	return p.emit(c)
}

// openArchive reads the first header of a tar archive; tr is nil if f is none.
func openArchive(f io.ReadCloser) (tr *tar.Reader, first *tar.Header) {
	r, err := decompress(f)
	if err != nil {
		return nil, nil
	}
	tr = tar.NewReader(r)
	first, err = tr.Next()
	if err != nil {
		return nil, nil
	}
	return tr, first
}

// decompress adds to what layers may be compressed with the formats that ADD
// knows besides.
func decompress(f io.ReadCloser) (io.Reader, error) {
	b := bufio.NewReader(f)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzip2.NewReader(b), nil
	case bytes.Equal(magic, []byte("\xfd7zXZ\x00")):
		return xz.NewReader(b)
	}
	return layer.Decompress(io.NopCloser(b))
}
