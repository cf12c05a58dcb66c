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
	made := p.made
	defer func() { p.made = made }()
	p.made.Mode = 0o755
	if err := p.makeDir(dest); err != nil {
		return true, err
	}
	u := unpacking{placer: p, archive: m.real, tr: tr, dest: dest, inside: tree.Sub(&p.view, dest)}
	for h := first; ; h, err = tr.Next() {
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return true, &ArchiveError{m.real, err}
		}
		if err := u.put(h); err != nil {
			return true, err
		}
	}
}

// IsArchive reports whether the file at p is what ADD unpacks.
func IsArchive(files tree.FS, p tree.Path) (bool, error) {
	f, err := files.Open(p)
	if err != nil {
		return false, err
	}
	defer f.Close()
	tr, _ := openArchive(f)
	return tr != nil, nil
}

// unpacking is one archive on its way into the image.
type unpacking struct {
	*placer
	archive tree.Path
	tr      *tar.Reader
	dest    tree.Path
	// inside is the image with dest as its root: no name or link in the archive
	// leads out of it.
	inside tree.FS
	bulk   layer.Bulk
}

func (u *unpacking) put(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader || tree.Clean(h.Name) == tree.Root {
		return nil // says nothing of a file, or of the directory that is already there
	}
	c, err := layer.PutOf(h)
	if err == nil {
		err = u.bulk.Add(c)
	}
	if err == nil {
		c.Path, err = u.place(c.Path)
	}
	if err == nil && c.Hard != "" {
		err = u.link(&c)
	}
	if err != nil {
		return &ArchiveError{u.archive, err}
	}
	if u.Owner != nil {
		c.Node.UID, c.Node.GID = u.Owner.UID, u.Owner.GID
	}
	if c.Node.Type == tree.File && c.Hard == "" {
		c.Open = func() (io.ReadCloser, error) { return &packed{u}, nil }
	}
	if !c.Node.IsDir() && u.isDir(c.Path) {
		u.view.clear(c.Path)
	}
	return u.emit(c)
}

// place is where an entry of the archive goes. A link on the way is followed, but
// one that leads to nothing is refused: it was meant for another root.
func (u *unpacking) place(p tree.Path) (tree.Path, error) {
	at, err := tree.ResolveParent(u.inside, p)
	if err != nil {
		return "", err
	}
	if at != p {
		if err := u.followed(p.Parent()); err != nil {
			return "", err
		}
	}
	return at.Below(u.dest), nil
}

func (u *unpacking) followed(dir tree.Path) error {
	at := tree.Root
	for _, name := range dir.Components() {
		at = tree.Path(name).Below(at)
		real, err := tree.ResolveParent(u.inside, at)
		if err != nil {
			return err
		}
		e, err := tree.Stat(u.inside, real)
		if err != nil || e.Node.Type != tree.Symlink {
			continue
		}
		if real, err = tree.Resolve(u.inside, real); err != nil {
			return err
		}
		if _, err := tree.Stat(u.inside, real); err != nil {
			return fmt.Errorf("%s is a link to %s, which is not there below the destination", at, e.Node.Link)
		}
	}
	return nil
}

// link makes c another name of a file below the destination.
func (u *unpacking) link(c *layer.Change) error {
	to, err := tree.ResolveParent(u.inside, c.Hard)
	if err != nil {
		return err
	}
	target, err := tree.Stat(u.inside, to)
	if err != nil || target.Node.IsDir() {
		return fmt.Errorf("hard link %s to %s: the target is not there", c.Path.Abs(), to.Below(u.dest).Abs())
	}
	c.Hard, c.Node = to.Below(u.dest), target.Node
	return nil
}

// packed reads the archive's current file.
type packed struct{ u *unpacking }

func (f *packed) Read(b []byte) (int, error) {
	n, err := f.u.tr.Read(b)
	if err != nil && err != io.EOF {
		err = &ArchiveError{f.u.archive, err}
	}
	return n, err
}

func (f *packed) Close() error { return nil }

// openArchive reads the first header of a tar archive; tr is nil if f is none.
func openArchive(f io.ReadCloser) (tr *tar.Reader, first *tar.Header) {
	r, err := Decompress(f)
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

// Decompress reads plain data or what gzip, zstd, xz or bzip2 made of it, told apart
// by its first bytes: the formats of layers, and those that ADD knows besides. Closing
// the result does not close f.
func Decompress(f io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(f)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(b)), nil
	case bytes.Equal(magic, []byte("\xfd7zXZ\x00")):
		x, err := xz.NewReader(&xzGuard{r: b})
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	}
	return layer.Decompress(io.NopCloser(b))
}
