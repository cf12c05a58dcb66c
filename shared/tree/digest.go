package tree

import "crypto/sha256"

// Digested is an [FS] that may know what its files hold without reading them again.
type Digested interface {
	// Digest is the SHA-256 of the file at p; false if it is not known.
	Digest(p Path) (sum [sha256.Size]byte, ok bool)
}

// Digest is what fsys knows of the content of the file at p; false if that is nothing.
func Digest(fsys FS, p Path) (sum [sha256.Size]byte, ok bool) {
	if d, knows := fsys.(Digested); knows {
		return d.Digest(p)
	}
	return sum, false
}
