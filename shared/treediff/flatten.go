// Package treediff flattens container images into the file system that a container
// would see, and says where two of them differ. It is an independent judge: it
// shares no code with the engine, and imports nothing of ours.
package treediff

import (
	"archive/tar"
	"fmt"
	"io"
	"iter"
	"path"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// inode is a file system object; the names that are hard links of each other share one.
type inode struct {
	kind     byte // tar type flag, normalised: 0 reg, 2 symlink, 3 char, 4 block, 5 dir, 6 fifo
	mode     int64
	uid, gid int
	names    [2]string // of owner and group
	size     int64
	link     string // of a symlink
	dev      [2]int64
	xattrs   map[string]string
	digest   string // sha256 of a regular file's bytes
	text     []byte // a small regular file's bytes
	mtime    time.Time
}

type entry struct {
	*inode
	layer int // the layer that put this name here
}

// Tree is a flattened image: what a container started from it would see.
type Tree struct {
	entries map[string]entry
	keep    int64
	// Anomalies are things a tar can say and a file system cannot, such as a child of a regular file.
	Anomalies []string
}

// Options say how to flatten. The zero value keeps no content.
type Options struct {
	// Keep is the size, in bytes, up to which a file's content is kept for [Entry.Text].
	Keep int64
}

// Entry is a path of a flattened image and what is there.
type Entry struct {
	Path         string // with a leading slash; "/" is the root
	Kind         string // file, dir, symlink, fifo, char, block
	Mode         int64  // permissions with set-id and sticky bits; 0 of a symlink
	UID, GID     int
	Uname, Gname string // of owner and group, as the archive has them
	Size         int64  // of a file
	Link         string // of a symlink
	Major, Minor int64  // of a device
	Xattrs       map[string]string
	Digest       string // of a file: the SHA-256 of its content in hex
	Text         []byte // of a file no larger than [Options.Keep]: its content, not to be changed
	MTime        time.Time
	First        string // of one of several hard links: the first of their paths
	Names        int    // the number of these, else 1
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// Flatten applies the layers of an image in order. Contents are hashed as they
// stream by. An error names the layer, counted from 0, and the entry.
func Flatten(img v1.Image, o Options) (*Tree, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	t := NewTree()
	t.keep = o.Keep
	for i, l := range layers {
		if err := t.apply(l, i); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	t.check()
	return t, nil
}

// NewTree is an image without layers.
func NewTree() *Tree { return &Tree{entries: map[string]entry{}} }

func (t *Tree) apply(l v1.Layer, n int) error {
	rc, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	if err := t.Apply(Members(rc, func(_ string, size int64) bool { return size <= t.keep }), n); err != nil {
		return err
	}
	// What follows the tar's end must be read too, or the blob's digest is never checked.
	_, err = io.Copy(io.Discard, rc)
	return err
}

// Apply applies a layer above those applied so far, of which n is the number. An
// error names the entry.
func (t *Tree) Apply(members iter.Seq2[Member, error], n int) error {
	var dropped []string
	for m, err := range members {
		if err != nil {
			return err
		}
		name := clean(m.Header.Name)
		dir, base := path.Split(name)
		dir = strings.TrimSuffix(dir, "/")
		switch {
		case m.Header.Typeflag == tar.TypeXGlobalHeader:
			continue
		case base == opaque:
			dropped = append(dropped, dir+"/")
			continue
		case strings.HasPrefix(base, whiteout):
			// What is left may be no name, or that of the directory or of the one above it:
			// such a mark hides nothing, like AUFS' own files, whose prefix is doubled.
			if hidden := strings.TrimPrefix(base, whiteout); hidden != "" && hidden != "." && hidden != ".." && !strings.HasPrefix(hidden, whiteout) {
				dropped = append(dropped, path.Join(dir, hidden))
			}
			continue
		}
		if err := t.put(name, m, n); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// A whiteout hides what lies below this layer, never what the layer itself brings, wherever in the tar it stands.
	t.drop(dropped, n)
	return nil
}

func (t *Tree) put(name string, m Member, n int) error {
	h := m.Header
	old, had := t.entries[name]
	if h.Typeflag == tar.TypeLink {
		target := clean(h.Linkname)
		e, ok := t.entries[target]
		if !ok {
			return fmt.Errorf("hard link to %s, which is not there", target)
		}
		if had && old.kind == tar.TypeDir {
			t.removeBelow(name, n)
		}
		t.entries[name] = entry{e.inode, n}
		// The target belongs to this layer now: linking to a file of a lower layer copies it up.
		t.entries[target] = entry{e.inode, n}
		return nil
	}
	ino := &inode{
		kind: h.Typeflag, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid, names: [2]string{h.Uname, h.Gname},
		dev: [2]int64{h.Devmajor, h.Devminor}, mtime: h.ModTime,
	}
	ino.xattrs = m.Xattrs()
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse:
		ino.kind, ino.dev = tar.TypeReg, [2]int64{}
		ino.size, ino.digest, ino.text = m.Size, m.Digest, m.Text
	case tar.TypeSymlink:
		ino.link, ino.dev = h.Linkname, [2]int64{}
		ino.mode = 0 // a link's mode means nothing on Linux, and tar writers disagree about it
	case tar.TypeChar, tar.TypeBlock:
	case tar.TypeDir, tar.TypeFifo:
		ino.dev = [2]int64{}
	default:
		return fmt.Errorf("tar entry of unknown type %q", h.Typeflag)
	}
	if had && old.kind == tar.TypeDir && ino.kind != tar.TypeDir {
		t.removeBelow(name, n)
	}
	t.entries[name] = entry{ino, n}
	return nil
}

// removeBelow removes everything under dir that lower layers put there.
func (t *Tree) removeBelow(dir string, n int) {
	prefix := dir + "/"
	if dir == "" {
		prefix = ""
	}
	for p, e := range t.entries {
		if e.layer < n && p != "" && strings.HasPrefix(p, prefix) {
			delete(t.entries, p)
		}
	}
}

// drop applies a layer's whiteouts in one pass over the tree. A path with a trailing slash is an opaque directory.
func (t *Tree) drop(paths []string, n int) {
	if len(paths) == 0 {
		return
	}
	gone := map[string]bool{}
	for _, p := range paths {
		gone[p] = true
	}
	for p, e := range t.entries {
		if e.layer >= n {
			continue
		}
		if gone[p] || (p != "" && gone["/"]) {
			delete(t.entries, p)
			continue
		}
		for d := path.Dir(p); d != "." && d != "/"; d = path.Dir(d) {
			if gone[d] || gone[d+"/"] {
				delete(t.entries, p)
				break
			}
		}
	}
}

// check looks for names no file system could hold.
func (t *Tree) check() {
	for p := range t.entries {
		if p == "" {
			continue
		}
		d := path.Dir(p)
		if d == "." {
			continue
		}
		switch parent, ok := t.entries[d]; {
		case !ok:
			t.Anomalies = append(t.Anomalies, fmt.Sprintf("/%s: its directory is not in the image", p))
		case parent.kind != tar.TypeDir:
			t.Anomalies = append(t.Anomalies, fmt.Sprintf("/%s: its parent is a %s", p, kindName(parent.kind)))
		}
	}
	sort.Strings(t.Anomalies)
}

// group is a set of hard links.
type group struct {
	first string
	names int
}

func (g group) String() string {
	if g.names < 2 {
		return ""
	}
	return fmt.Sprintf("%d names, first /%s", g.names, g.first)
}

// groups finds the hard-link groups of two or more, by each of their paths.
func (t *Tree) groups() map[string]group {
	all := map[*inode]group{}
	for p, e := range t.entries {
		if e.kind == tar.TypeDir {
			continue
		}
		g, ok := all[e.inode]
		if !ok || p < g.first {
			g.first = p
		}
		g.names++
		all[e.inode] = g
	}
	out := map[string]group{}
	for p, e := range t.entries {
		if g := all[e.inode]; g.names > 1 {
			out[p] = g
		}
	}
	return out
}

// Len is the number of paths.
func (t *Tree) Len() int { return len(t.entries) }

// Entries are all paths in byte order.
func (t *Tree) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		groups := t.groups()
		for _, p := range t.paths() {
			if !yield(export(p, t.entries[p], groups[p])) {
				return
			}
		}
	}
}

func export(p string, e entry, g group) Entry {
	out := Entry{
		Path: "/" + p, Kind: kindName(e.kind), Mode: e.mode, UID: e.uid, GID: e.gid, Uname: e.names[0], Gname: e.names[1], Size: e.size, Link: e.link,
		Major: e.dev[0], Minor: e.dev[1], Xattrs: e.xattrs, Digest: e.digest, Text: e.text, MTime: e.mtime, Names: 1,
	}
	if g.names > 1 {
		out.First, out.Names = "/"+g.first, g.names
	}
	return out
}

// paths returns all paths in order.
func (t *Tree) paths() []string {
	out := make([]string, 0, len(t.entries))
	for p := range t.entries {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

func kindName(k byte) string {
	switch k {
	case tar.TypeReg:
		return "file"
	case tar.TypeSymlink:
		return "symlink"
	case tar.TypeChar:
		return "char"
	case tar.TypeBlock:
		return "block"
	case tar.TypeDir:
		return "dir"
	case tar.TypeFifo:
		return "fifo"
	}
	return fmt.Sprintf("type %q", k)
}

// kindOf is the reverse of kindName.
func kindOf(name string) byte {
	for _, k := range []byte{tar.TypeReg, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo} {
		if kindName(k) == name {
			return k
		}
	}
	return 0
}
