package layer

import (
	"archive/tar"
	"fmt"
	"io"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Read yields the changes of a layer's tar archive (OCI image spec, layer.md).
// Names are taken from the root whatever they look like, so no change leaves it.
// A change's content must be read, if at all, before the next change is taken.
func Read(r io.Reader) Changes { return read(r, false) }

// ReadDescribed is Read of a layer that a manifest describes by these annotations: of
// one in which they announce eStargz's index, what that adds to the archive is left out.
func ReadDescribed(r io.Reader, annotations map[string]string) Changes {
	return read(r, announceIndex(annotations))
}

func read(r io.Reader, indexed bool) Changes {
	return func(yield func(Change, error) bool) {
		tr := tar.NewReader(r)
		var bulk Bulk
		for {
			h, err := tr.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Change{}, fmt.Errorf("read layer: %w", blame(err)))
				return
			}
			c, ok, err := change(h)
			if err == nil && ok {
				err = bulk.Add(c)
			}
			if err != nil {
				yield(Change{}, fmt.Errorf("read layer: %w", err))
				return
			}
			if !ok || indexed && c.Kind == Put && isStargzPart(c.Path) {
				continue
			}
			if c.Kind == Put && c.Node.Type == tree.File && c.Hard == "" {
				c.Open = func() (io.ReadCloser, error) { return io.NopCloser(blamed{tr}), nil }
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// change makes a change of a header; ok is false for what changes no file.
func change(h *tar.Header) (c Change, ok bool, err error) {
	p := tree.Clean(h.Name)
	if name := p.Base(); strings.HasPrefix(name, whiteoutPrefix) {
		if name == opaqueName {
			c = Change{Path: p.Parent(), Kind: Opaque}
			return c, true, checkNames(c)
		}
		name = name[len(whiteoutPrefix):]
		// AUFS kept its own files under names with a doubled prefix; they are no
		// files of the image.
		if name == "" || name == "." || name == ".." || strings.HasPrefix(name, whiteoutPrefix) {
			return Change{}, false, nil
		}
		c = Change{Path: p.Parent().Join(name), Kind: Delete}
		return c, true, checkNames(c)
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return Change{}, false, nil
	}
	c, err = PutOf(h)
	return c, err == nil, err
}

// PutOf makes the Put that an archive's header means, taking its name literally. What
// no file system of Linux can hold is a [DamagedError].
func PutOf(h *tar.Header) (Change, error) {
	c := Change{Path: tree.Clean(h.Name), Kind: Put, Node: tree.Node{
		Mode:   tree.Mode(h.Mode) & tree.ModeMask,
		UID:    h.Uid,
		GID:    h.Gid,
		MTime:  h.ModTime,
		Xattrs: xattrs(h),
	}}
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeCont, tar.TypeGNUSparse:
		c.Node.Type, c.Node.Size = tree.File, h.Size
	case tar.TypeLink:
		c.Node.Type, c.Hard = tree.File, tree.Clean(h.Linkname)
		if c.Hard == tree.Root {
			return Change{}, refuse(c, "it is a hard link without a target")
		}
	case tar.TypeSymlink:
		c.Node.Type, c.Node.Link = tree.Symlink, h.Linkname
		c.Node.Mode = 0o777
	case tar.TypeDir:
		c.Node.Type = tree.Dir
	case tar.TypeFifo:
		c.Node.Type = tree.Fifo
	case tar.TypeChar:
		c.Node.Type = tree.CharDevice
		c.Node.Dev = tree.Dev{Major: uint32(h.Devmajor), Minor: uint32(h.Devminor)}
	case tar.TypeBlock:
		c.Node.Type = tree.BlockDevice
		c.Node.Dev = tree.Dev{Major: uint32(h.Devmajor), Minor: uint32(h.Devminor)}
	default:
		return Change{}, refuse(c, "it is of an unknown type %q", h.Typeflag)
	}
	if err := checkNames(c); err != nil {
		return Change{}, err
	}
	return c, nil
}

// xattrs are a header's extended attributes, without those that steer overlayfs:
// they belong to the machine that made the archive.
func xattrs(h *tar.Header) tree.Xattrs {
	var x tree.Xattrs
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		if x == nil {
			x = tree.Xattrs{}
		}
		x[name] = value
	}
	return x
}
