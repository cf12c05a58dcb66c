package tree

import (
	"hash"
	"hash/maphash"
)

// seed makes fingerprints differ from one process to the next, so that no
// content can be prepared to collide.
var seed = maphash.MakeSeed()

// fingerprinter adapts maphash to never answer 0, which means "unknown".
type fingerprinter struct{ maphash.Hash }

func (f *fingerprinter) Sum64() uint64 { return max(1, f.Hash.Sum64()) }

// NewFingerprint starts the fingerprint of a file's content: a fast keyed hash,
// meaningful only within this process. Its sum is never 0.
func NewFingerprint() hash.Hash64 {
	f := new(fingerprinter)
	f.SetSeed(seed)
	return f
}
