package tree_test

import (
	"crypto/sha256"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// known is a tree that knows the digest of one file.
type known struct {
	tree.Tree
	at  tree.Path
	sum [sha256.Size]byte
}

func (k *known) Digest(p tree.Path) ([sha256.Size]byte, bool) { return k.sum, p == k.at }

func TestDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	files := &known{at: "a/f", sum: sum}
	for name, fsys := range map[string]tree.FS{"a/f": files, "f": tree.Sub(files, "a")} {
		if got, ok := tree.Digest(fsys, tree.Path(name)); !ok || got != sum {
			t.Errorf("%s: %x %v", name, got, ok)
		}
		if _, ok := tree.Digest(fsys, "other"); ok {
			t.Error("what is not known is told")
		}
	}
	if _, ok := tree.Digest(&tree.Tree{}, "f"); ok {
		t.Error("a tree knows no digests")
	}
}
