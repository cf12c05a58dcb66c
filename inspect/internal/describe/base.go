package describe

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The states of a base.
const (
	Current  = "current"  // the name stands for what the image was built from
	Moved    = "moved"    // it stands for another digest, and the image has its layers
	Outdated = "outdated" // it stands for something else
	Gone     = "gone"     // it stands for nothing any more
	Unknown  = "unknown"  // nothing says
)

// Shared is how many layers two images have in common, from the lowest on.
func Shared(a, b []v1.Hash) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// IsBase tells whether an image with the diffIDs lies on one with those of base: all of
// these are its lowest. One without layers is everybody's base and says nothing.
func IsBase(diffIDs, base []v1.Hash) bool {
	return len(base) > 0 && len(base) <= len(diffIDs) && slices.Equal(base, diffIDs[:len(base)])
}

// NamedBase is what an image's annotations, or its labels, say that its base is; nil if
// they say nothing. indexAnnotations are those of the index that the image is in.
func NamedBase(manifest, indexAnnotations map[string]string, c *v1.ConfigFile) *Named {
	return named(manifest, indexAnnotations, c.Config.Labels)
}
