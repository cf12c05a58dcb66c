package disk

import (
	"errors"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Prefixes of the attributes that overlayfs keeps on an upper or lower directory:
// the first as root, the second with the mount option userxattr.
const (
	TrustedOverlay = "trusted.overlay."
	UserOverlay    = "user.overlay."
)

// Options say how a [Dir] reads its directory. The zero value reads everything
// but extended attributes.
type Options struct {
	// Xattrs reads extended attributes, but for those that belong to the machine
	// (security labels, overlayfs' own).
	Xattrs bool
	// Overlay makes [Dir.Stats] tell whiteouts and opaque directories. It is
	// [TrustedOverlay] or [UserOverlay].
	Overlay string
	// Skip leaves out an entry, and for a directory what is below it. It is not
	// asked about the entry that a walk starts from.
	Skip func(p tree.Path, t tree.Type) bool
}

// Plain is implemented by a [tree.FS] that may be a directory of this machine, whole
// and as it is: then a mount of the directory shows the same.
type Plain interface {
	// Plain gives the directory's path, or reports false.
	Plain() (dir string, ok bool)
}

var errNotFile = errors.New("not a regular file")
