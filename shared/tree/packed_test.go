package tree

import (
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// TestPacked: a tree gives back what it was given, whatever the node is.
func TestPacked(t *testing.T) {
	for _, n := range []Node{
		{},
		{Type: File, Mode: 0o4755, UID: 1000, GID: 1<<32 - 1, Size: 1 << 40, MTime: time.Unix(1700000000, 123456789), Fingerprint: 1<<64 - 1},
		{Type: File, UID: -1},
		{Type: Dir, GID: 1 << 40, Xattrs: Xattrs{"user.a": "b"}},
		{Type: Symlink, Link: "there", MTime: time.Unix(-5, 5)},
		{Type: CharDevice, Dev: Dev{1, 3}},
		{Type: File, Xattrs: Xattrs{}},
	} {
		var tr Tree
		tr.Put("a/b", n)
		got, ok := tr.Lookup("a/b")
		if diff := cmp.Diff(n, got); diff != "" || !ok {
			t.Errorf("%t, -want +got:\n%s", ok, diff)
		}
		if got.MTime.IsZero() != n.MTime.IsZero() {
			t.Errorf("time %v became %v", n.MTime, got.MTime)
		}
	}
}

// TestNode_size: a tree of a million files is to fit into memory. What the allocator gives
// a node is the next of its sizes, of which 64 is one.
func TestNode_size(t *testing.T) {
	if size := unsafe.Sizeof(node{}); size > 64 {
		t.Errorf("a node has %d bytes", size)
	}
}
