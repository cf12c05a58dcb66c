package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
)

// A Tree is a file system's metadata in memory, changed by [Tree.Put] and
// [Tree.Remove]. It is an [FS] whose Open answers only for contents given to
// [Tree.Keep]. The zero Tree is empty and has not even a root. A Tree is not
// safe for concurrent change.
type Tree struct {
	root  *node
	kept  map[Path]string
	marks Mark // given out so far
}

// A Mark is put on entries to find them again: one mark on each, the last. It goes
// with the entry.
type Mark uint32

type node struct {
	Node
	hard     *inode // shared by all names of one file; nil for a file with one name
	children map[string]*node
	mark     Mark
}

// inode is the identity that hard links share: the names that have it.
type inode struct{ names []Path }

// Len is the number of entries, the root included.
func (t *Tree) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.len()
}

func (n *node) len() int {
	sum := 1
	for _, c := range n.children {
		sum += c.len()
	}
	return sum
}

// Lookup finds the entry at p without following a link in any component.
func (t *Tree) Lookup(p Path) (Node, bool) {
	n := t.find(p)
	if n == nil {
		return Node{}, false
	}
	return n.Node, true
}

func (t *Tree) find(p Path) *node {
	n := t.root
	for rest := string(p); n != nil && rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		n = n.children[name]
	}
	return n
}

// Put makes p what n says. A directory put over a directory keeps its children;
// anything else replaces what was there with all below it. Parents that are
// missing, or that are no directories, become directories of mode 0755.
func (t *Tree) Put(p Path, n Node) {
	at := t.make(p)
	t.unlink(p, at)
	if n.IsDir() {
		if at.children == nil {
			at.children = map[string]*node{}
		}
	} else {
		t.dropChildren(p, at)
	}
	at.Node = n
	delete(t.kept, p)
}

// Link makes p another name of the file at target, which must exist.
func (t *Tree) Link(p, target Path) error {
	from := t.find(target)
	if from == nil || from.IsDir() {
		return &fs.PathError{Op: "link", Path: target.Abs(), Err: fs.ErrNotExist}
	}
	if p == target {
		return nil
	}
	n := from.Node
	t.Put(p, n)
	at := t.find(p)
	if from.hard == nil {
		from.hard = &inode{names: []Path{target}}
	}
	from.hard.names = append(from.hard.names, p)
	at.hard = from.hard
	return nil
}

// Links are the names of the file at p, p among them; nil if it has just one.
func (t *Tree) Links(p Path) []Path {
	if n := t.find(p); n != nil && n.hard != nil && len(n.hard.names) > 1 {
		return slices.Clone(n.hard.names)
	}
	return nil
}

// NewMark is a mark that no entry has.
func (t *Tree) NewMark() Mark {
	t.marks++
	return t.marks
}

// Mark marks p and the directories above it.
func (t *Tree) Mark(p Path, m Mark) {
	n := t.root
	for rest := string(p); n != nil; {
		n.mark = m
		if rest == "" {
			return
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		n = n.children[name]
	}
}

// Marked reports whether the last mark of p is m.
func (t *Tree) Marked(p Path, m Mark) bool {
	n := t.find(p)
	return n != nil && n.mark == m
}

// Remove deletes p and everything below it; a missing p is no error.
func (t *Tree) Remove(p Path) {
	if p == Root {
		t.Clear(Root)
		return
	}
	parent := t.find(p.Parent())
	if parent == nil {
		return
	}
	at, ok := parent.children[p.Base()]
	if !ok {
		return
	}
	t.unlink(p, at)
	t.dropChildren(p, at)
	delete(parent.children, p.Base())
	delete(t.kept, p)
}

// Clear deletes everything below the directory p, but not p.
func (t *Tree) Clear(p Path) {
	at := t.find(p)
	if at == nil {
		return
	}
	dir := at.children != nil
	t.dropChildren(p, at)
	if dir {
		at.children = map[string]*node{}
	}
}

// Keep remembers the content of the file at p for Open. It is for the few small
// files that must be read of an image never unpacked, such as /etc/passwd.
func (t *Tree) Keep(p Path, content string) {
	if t.kept == nil {
		t.kept = map[Path]string{}
	}
	t.kept[p] = content
}

// make finds p, creating it and the directories that lead to it.
func (t *Tree) make(p Path) *node {
	implicit := Node{Type: Dir, Mode: 0o755}
	if t.root == nil {
		t.root = &node{Node: implicit, children: map[string]*node{}}
	}
	n, end := t.root, 0 // n is at p[:end]
	for rest := string(p); rest != ""; {
		if !n.IsDir() {
			t.unlink(p[:end], n)
			delete(t.kept, p[:end])
			n.Node = implicit
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if n.children == nil {
			n.children = map[string]*node{}
		}
		child := n.children[name]
		if child == nil {
			child = &node{Node: implicit}
			n.children[name] = child
		}
		n, end = child, len(p)-len(rest)
		if rest != "" {
			end-- // the slash
		}
	}
	return n
}

func (t *Tree) unlink(p Path, n *node) {
	if n.hard == nil {
		return
	}
	n.hard.names = slices.DeleteFunc(n.hard.names, func(q Path) bool { return q == p })
	n.hard = nil
}

func (t *Tree) dropChildren(p Path, n *node) {
	for name, c := range n.children {
		child := p + "/" + Path(name)
		if p == Root {
			child = Path(name)
		}
		t.unlink(child, c)
		t.dropChildren(child, c)
		delete(t.kept, child)
	}
	n.children = nil
}

// Walk implements [FS]. The tree must not change while it goes on.
func (t *Tree) Walk(from Path) iter.Seq2[Entry, error] { return t.Prune(from, nil) }

// Prune implements [Pruner]. A nil skip leaves nothing out.
func (t *Tree) Prune(from Path, skip func(Path, Type) bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		n := t.find(from)
		if n == nil {
			yield(Entry{}, &fs.PathError{Op: "lstat", Path: from.Abs(), Err: fs.ErrNotExist})
			return
		}
		w := walk{yield: yield, skip: skip, first: map[*inode]Path{}}
		w.visit(from, n)
	}
}

type walk struct {
	yield func(Entry, error) bool
	skip  func(Path, Type) bool
	first map[*inode]Path
}

func (w *walk) visit(p Path, n *node) bool {
	e := Entry{Path: p, Node: n.Node}
	if n.hard != nil {
		if first, ok := w.first[n.hard]; ok {
			e.Hard = first
		} else {
			w.first[n.hard] = p
		}
	}
	if !w.yield(e, nil) {
		return false
	}
	for _, name := range n.names() {
		child := Path(name)
		if p != Root {
			child = p + "/" + child
		}
		if w.skip != nil && w.skip(child, n.children[name].Type) {
			continue
		}
		if !w.visit(child, n.children[name]) {
			return false
		}
	}
	return true
}

func (n *node) names() []string {
	if len(n.children) == 0 {
		return nil
	}
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open implements [FS] for the contents that Keep was given.
func (t *Tree) Open(p Path) (io.ReadCloser, error) {
	if s, ok := t.kept[p]; ok {
		return io.NopCloser(strings.NewReader(s)), nil
	}
	if _, ok := t.Lookup(p); !ok {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return nil, fmt.Errorf("open %s: %w", p.Abs(), ErrNoContent)
}

// ErrNoContent says that a file is known by its metadata only.
var ErrNoContent = errors.New("content not at hand")

// Copy makes a Tree of what fsys shows; contents are not read, but those that
// [Tree.Keep] was given are in the copy of a Tree.
func Copy(fsys FS) (*Tree, error) {
	if from, ok := fsys.(*Tree); ok {
		return from.clone(), nil
	}
	t := &Tree{}
	for e, err := range fsys.Walk(Root) {
		if errors.Is(err, fs.ErrNotExist) {
			return t, nil // not even a root: an empty tree
		}
		if err != nil {
			return nil, err
		}
		if e.Hard == "" {
			t.Put(e.Path, e.Node)
		} else if err := t.Link(e.Path, e.Hard); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Tree) clone() *Tree {
	out := &Tree{kept: maps.Clone(t.kept), marks: t.marks}
	if t.root != nil {
		out.root = t.root.clone(map[*inode]*inode{})
	}
	return out
}

// clone copies n and what is below it. hard are the copies of inodes so far; their
// names are in the order in which a walk finds them, as in every copy.
func (n *node) clone(hard map[*inode]*inode) *node {
	c := &node{Node: n.Node, mark: n.mark}
	if n.hard != nil {
		if hard[n.hard] == nil {
			hard[n.hard] = &inode{names: slices.SortedFunc(slices.Values(n.hard.names), Compare)}
		}
		c.hard = hard[n.hard]
	}
	if n.children != nil {
		c.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			c.children[name] = child.clone(hard)
		}
	}
	return c
}
