package sandbox_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// root is a file system with contents, as a disk would have it.
type root struct {
	tree     tree.Tree
	contents map[tree.Path]string
}

func newRoot() *root {
	r := &root{contents: map[tree.Path]string{}}
	r.tree.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755, MTime: time.Unix(0, 0)})
	return r
}

func (r *root) put(p tree.Path, n tree.Node, content string) {
	if n.Type == tree.File {
		n.Size = int64(len(content))
	}
	r.remove(p, n.IsDir())
	r.tree.Put(p, n)
	if n.Type == tree.File {
		r.contents[p] = content
	}
}

func (r *root) remove(p tree.Path, onlyFile bool) {
	for q := range r.contents {
		if q == p || !onlyFile && q.Within(p) || p.Within(q) {
			delete(r.contents, q)
		}
	}
	if !onlyFile {
		r.tree.Remove(p)
	}
}

func (r *root) link(p, target tree.Path) {
	content, ok := r.contents[target]
	r.remove(p, false)
	if err := r.tree.Link(p, target); err != nil {
		panic(err)
	}
	if ok {
		r.contents[p] = content
	}
}

func (r *root) open(p tree.Path) (io.ReadCloser, error) {
	s, ok := r.contents[p]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

func (r *root) clone() *root {
	t, err := tree.Copy(&r.tree)
	if err != nil {
		panic(err)
	}
	c := &root{tree: *t, contents: map[tree.Path]string{}}
	for p, s := range r.contents {
		c.contents[p] = s
	}
	return c
}

// apply does to r what a layer says, reading every content.
func (r *root) apply(t *testing.T, cs []layer.Change, contents map[tree.Path]string) {
	t.Helper()
	for _, c := range cs {
		switch {
		case c.Kind == layer.Delete:
			r.remove(c.Path, false)
		case c.Kind != layer.Put:
			t.Fatalf("%s: kind %d", c.Path, c.Kind)
		case c.Hard != "":
			r.link(c.Path, c.Hard)
		case !c.Node.IsDir():
			r.remove(c.Path, false)
			r.put(c.Path, c.Node, contents[c.Path])
		default:
			r.put(c.Path, c.Node, "")
		}
	}
}

func (r *root) show() []string {
	var lines []string
	for e, err := range r.tree.Walk(tree.Root) {
		if err != nil {
			panic(err)
		}
		n := e.Node
		lines = append(lines, fmt.Sprintf("%s hard=%s type=%d %04o %d:%d size=%d t=%d link=%q dev=%v x=%v %q", e.Path, e.Hard,
			n.Type, n.Mode, n.UID, n.GID, n.Size, n.MTime.Unix(), n.Link, n.Dev, n.Xattrs, r.contents[e.Path]))
	}
	return lines
}

// layer is what is in r as one layer.
func (r *root) layer() layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for e, err := range r.tree.Walk(tree.Root) {
			if err != nil {
				panic(err)
			}
			c := layer.Change{Path: e.Path, Kind: layer.Put, Node: e.Node, Hard: e.Hard}
			if e.Node.Type == tree.File {
				c.Node.Fingerprint = sum(r.contents[e.Path])
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

func sum(s string) uint64 {
	h := tree.NewFingerprint()
	io.WriteString(h, s)
	return h.Sum64()
}

// seen is all of r as a walk in a plain directory meets it. Names of one file
// share an inode, and so do nothing else.
func (r *root) seen() []sandbox.Observed {
	var seen []sandbox.Observed
	inodes := map[tree.Path]uint64{}
	for e, err := range r.tree.Walk(tree.Root) {
		if err != nil {
			panic(err)
		}
		o := sandbox.Observed{Path: e.Path, Node: e.Node}
		if len(r.tree.Links(e.Path)) > 1 {
			first := e.Hard
			if first == "" {
				first = e.Path
			}
			if inodes[first] == 0 {
				inodes[first] = uint64(len(inodes) + 1)
			}
			o.Inode = sandbox.Inode{Dev: 1, Ino: inodes[first]}
		}
		seen = append(seen, o)
	}
	return seen
}

func (r *root) gone(from *root) []tree.Path {
	var gone []tree.Path
	for e, err := range from.tree.Walk(tree.Root) {
		if err != nil {
			panic(err)
		}
		if _, ok := r.tree.Lookup(e.Path); !ok {
			gone = append(gone, e.Path)
		}
	}
	return gone
}

// drain reads a stream as the encoder does.
func drain(t *testing.T, c layer.Changes) ([]layer.Change, map[tree.Path]string) {
	t.Helper()
	var cs []layer.Change
	contents := map[tree.Path]string{}
	for c, err := range c {
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == layer.Put && c.Hard == "" && c.Node.Type == tree.File {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			contents[c.Path] = string(b)
		} else if c.Open != nil {
			t.Errorf("%s: has content", c.Path)
		}
		cs = append(cs, c)
	}
	return cs, contents
}

func lines(cs []layer.Change) []string {
	var out []string
	for _, c := range cs {
		switch {
		case c.Kind == layer.Delete:
			out = append(out, "- "+string(c.Path))
		case c.Hard != "":
			out = append(out, "= "+string(c.Path)+" "+string(c.Hard))
		default:
			out = append(out, "+ "+string(c.Path))
		}
	}
	return out
}

// mutate is a command that does a few things to r.
func mutate(r *root, rng *rand.Rand) {
	path := func() tree.Path {
		p := tree.Path(string('a' + rune(rng.IntN(3))))
		for rng.IntN(3) > 0 && len(p) < 7 {
			p = p.Join(string('a' + rune(rng.IntN(3))))
		}
		return p
	}
	for range rng.IntN(8) {
		p := path()
		n := tree.Node{Mode: tree.Mode(rng.IntN(2)), UID: rng.IntN(2), MTime: time.Unix(int64(rng.IntN(3)), int64(rng.IntN(2)))}
		old, exists := r.tree.Lookup(p)
		if exists && rng.IntN(2) == 0 {
			n = old // like touch -r
		}
		// The directories on the way are made by mkdir -p.
		if q := p.Parent(); q != tree.Root {
			if _, ok := r.tree.Lookup(q); !ok {
				r.put(q, tree.Node{Type: tree.Dir, Mode: 0o700, MTime: time.Unix(9, 0)}, "")
				for q != tree.Root {
					q = q.Parent()
					if n, ok := r.tree.Lookup(q); !ok || !n.IsDir() || n.MTime.IsZero() {
						r.put(q, tree.Node{Type: tree.Dir, Mode: 0o700, MTime: time.Unix(9, 0)}, "")
					}
				}
			} else if n, _ := r.tree.Lookup(q); !n.IsDir() {
				continue
			}
		}
		switch rng.IntN(7) {
		case 0:
			r.remove(p, false)
		case 1:
			n.Type, n.Size, n.Link = tree.Dir, 0, ""
			r.put(p, n, "")
		case 2:
			n.Type, n.Link, n.Size, n.Mode = tree.Symlink, string(path()), 0, 0o777
			r.put(p, n, "")
		case 3:
			n.Type, n.Size, n.Link = tree.Fifo, 0, ""
			r.put(p, n, "")
		case 4:
			target := path()
			if o, ok := r.tree.Lookup(target); ok && !o.IsDir() && !target.Within(p) && !p.Within(target) {
				r.link(p, target)
			}
		default:
			n.Type, n.Link = tree.File, ""
			r.put(p, n, string('a'+rune(rng.IntN(2))))
		}
	}
}

func TestState_captureMakesTheDifference(t *testing.T) {
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		before := newRoot()
		mutate(before, rng)
		mutate(before, rng)
		var s, all, overlay sandbox.State
		for _, s := range []*sandbox.State{&s, &all, &overlay} {
			if err := s.Apply(before.layer()); err != nil {
				t.Fatal(err)
			}
		}
		for step := range 3 {
			after := before.clone()
			mutate(after, rng)
			if split(before, after) {
				break
			}
			fail := func(format string, args ...any) {
				t.Helper()
				t.Logf("before:\n%s", strings.Join(before.show(), "\n"))
				t.Logf("after:\n%s", strings.Join(after.show(), "\n"))
				t.Fatalf("seed %d, step %d: %s", seed, step, fmt.Sprintf(format, args...))
			}

			// What differs, in any order, all names of a file with it.
			differs := map[uint64]bool{}
			var minimal []sandbox.Observed
			seen := after.seen()
			for _, o := range seen {
				old, ok := before.tree.Lookup(o.Path)
				if !ok || !old.SameMetadata(o.Node) || before.contents[o.Path] != after.contents[o.Path] ||
					!slices.Equal(sorted(before.tree.Links(o.Path)), sorted(after.tree.Links(o.Path))) {
					differs[o.Inode.Ino] = o.Inode.Ino != 0
					minimal = append(minimal, o)
				}
			}
			for _, o := range seen {
				if differs[o.Inode.Ino] && !slices.ContainsFunc(minimal, func(m sandbox.Observed) bool { return m.Path == o.Path }) {
					minimal = append(minimal, o)
				}
			}
			rng.Shuffle(len(minimal), func(i, j int) { minimal[i], minimal[j] = minimal[j], minimal[i] })
			gone := after.gone(before)
			rng.Shuffle(len(gone), func(i, j int) { gone[i], gone[j] = gone[j], gone[i] })
			cs, contents := drain(t, s.Capture(sandbox.Observation{Seen: minimal, Gone: gone, Open: after.open}))

			got := before.clone()
			got.apply(t, cs, contents)
			if d := cmp.Diff(after.show(), got.show()); d != "" {
				fail("the layer makes another tree (-want +got):\n%s\n%s", strings.Join(lines(cs), "\n"), d)
			}
			checkForm(t, cs)

			// Being shown everything must come to the same layer.
			cs2, _ := drain(t, all.Capture(sandbox.Observation{Seen: seen, Gone: gone, Open: after.open}))
			if d := cmp.Diff(lines(cs), lines(cs2)); d != "" {
				fail("everything shown makes another layer (-minimal +all):\n%s", d)
			}

			// As must an overlay's way of telling what went: by an opaque directory.
			opaque := slices.Clone(minimal)
			rest := slices.Clone(gone)
			for i := range opaque {
				o := &opaque[i]
				if o.Node.IsDir() && o.Path != tree.Root && rng.IntN(2) == 0 {
					o.Opaque = true
					for _, o2 := range seen {
						if o2.Path != o.Path && o2.Path.Within(o.Path) && !slices.ContainsFunc(opaque, func(m sandbox.Observed) bool { return m.Path == o2.Path }) {
							opaque = append(opaque, o2)
						}
					}
					rest = slices.DeleteFunc(rest, func(p tree.Path) bool { return p.Within(opaque[i].Path) && p != opaque[i].Path })
				}
			}
			cs3, _ := drain(t, overlay.Capture(sandbox.Observation{Seen: opaque, Gone: rest, Open: after.open}))
			if d := cmp.Diff(lines(cs), lines(cs3)); d != "" {
				fail("opaque makes another layer (-minimal +opaque):\n%s", d)
			}

			// The State went along: nothing is left to tell.
			again, _ := drain(t, s.Capture(sandbox.Observation{Seen: after.seen(), Open: after.open}))
			if len(again) > 0 {
				fail("captured twice: %s", lines(again))
			}
			now := &root{contents: after.contents}
			c, err := tree.Copy(s.Tree())
			if err != nil {
				t.Fatal(err)
			}
			now.tree = *c
			if d := cmp.Diff(after.show(), now.show()); d != "" {
				fail("the state is another tree (-want +got):\n%s", d)
			}
			before = after
		}
	}
}

// split reports whether two names of one file became two files that are alike,
// which is no change by the rules.
func split(before, after *root) bool {
	same := func(p tree.Path) bool {
		a, _ := before.tree.Lookup(p)
		b, ok := after.tree.Lookup(p)
		return ok && a.SameMetadata(b) && before.contents[p] == after.contents[p]
	}
	for e := range before.tree.Walk(tree.Root) {
		if e.Hard != "" && same(e.Path) && same(e.Hard) && !slices.Contains(after.tree.Links(e.Path), e.Hard) {
			return true
		}
	}
	return false
}

func sorted(paths []tree.Path) []tree.Path {
	slices.Sort(paths)
	return paths
}

// checkForm holds a layer against the rules of Capture.
func checkForm(t *testing.T, cs []layer.Change) {
	t.Helper()
	put := map[tree.Path]bool{tree.Root: true}
	for i, c := range cs {
		if i > 0 && tree.Compare(cs[i-1].Path, c.Path) >= 0 {
			t.Errorf("%s comes after %s", c.Path, cs[i-1].Path)
		}
		if !put[c.Path.Parent()] {
			t.Errorf("%s comes without its parent", c.Path)
		}
		if c.Kind == layer.Put {
			put[c.Path] = true
			if c.Node.MTime.Nanosecond() != 0 {
				t.Errorf("%s: time is not whole seconds: %v", c.Path, c.Node.MTime)
			}
			if c.Hard != "" && !put[c.Hard] {
				t.Errorf("%s: its content is not in the layer: %s", c.Path, c.Hard)
			}
		}
	}
}

func TestState_capture(t *testing.T) {
	at := time.Unix(100, 0)
	d := tree.Node{Type: tree.Dir, Mode: 0o755, MTime: at}
	f := tree.Node{Type: tree.File, Mode: 0o644, MTime: at}
	base := func() *root {
		r := newRoot()
		r.put("d", d, "")
		r.put("d/a", f, "aa")
		r.put("d/b", f, "bb")
		r.put("d/sub", d, "")
		r.put("d/sub/x", f, "x")
		r.put("e", f, "")
		r.put("g1", f, "linked")
		r.link("g2", "g1")
		r.put("l", tree.Node{Type: tree.Symlink, Mode: 0o755, Link: "e", MTime: at}, "")
		return r
	}
	for _, tt := range []struct {
		name string
		do   func(r *root)
		edit func(o *sandbox.Observation)
		want []string
	}{
		{"nothing", func(*root) {}, nil, nil},
		{"same size and time", func(r *root) { r.put("d/a", f, "AA") }, nil, []string{"+ d", "+ d/a"}},
		{"mode", func(r *root) { n := f; n.Mode = 0o600; r.put("d/a", n, "aa") }, nil, []string{"+ d", "+ d/a"}},
		{"attribute", func(r *root) { n := f; n.Xattrs = tree.Xattrs{"user.x": ""}; r.put("d/a", n, "aa") }, nil, []string{"+ d", "+ d/a"}},
		{"part of a second", func(r *root) { n := f; n.MTime = at.Add(1); r.put("d/a", n, "aa") }, nil, nil},
		{"directory gone", func(r *root) { r.remove("d", false) }, nil, []string{"- d"}},
		{"directory becomes file", func(r *root) { r.remove("d", false); r.put("d", f, "x") }, nil, []string{"+ d"}},
		{"file becomes directory", func(r *root) { r.put("e", d, ""); r.put("e/x", f, "") }, nil, []string{"+ e", "+ e/x"}},
		{"directory anew", func(r *root) { r.remove("d", false); r.put("d", d, ""); r.put("d/b", f, "bb") }, nil,
			[]string{"+ d", "- d/a", "- d/sub"}},
		{"root's time", func(r *root) { r.put("", tree.Node{Type: tree.Dir, Mode: 0o755, MTime: at}, "") }, nil, nil},
		{"root's mode", func(r *root) { r.put("", tree.Node{Type: tree.Dir, Mode: 0o700, MTime: at}, "") }, nil, []string{"+ "}},
		{"new name of an old file", func(r *root) { r.link("d/c", "e") }, nil, []string{"+ d", "+ d/c", "= e d/c"}},
		{"third name, seen by the first", func(r *root) { r.link("g3", "g1") }, func(o *sandbox.Observation) {
			o.Seen = slices.DeleteFunc(o.Seen, func(o sandbox.Observed) bool { return o.Path == "g2" })
		}, []string{"+ g1", "= g2 g1", "= g3 g1"}},
		{"third name, seen by the second", func(r *root) { r.link("g3", "g2") }, func(o *sandbox.Observation) {
			o.Seen = slices.DeleteFunc(o.Seen, func(o sandbox.Observed) bool { return o.Path == "g1" })
		}, []string{"+ g1", "= g2 g1", "= g3 g1"}},
		{"one name of two gone", func(r *root) { r.remove("g1", false) }, nil, []string{"- g1"}},
		{"a socket", func(r *root) { r.remove("e", false) }, func(o *sandbox.Observation) {
			o.Seen = append(o.Seen, sandbox.Observed{Path: "e"}, sandbox.Observed{Path: "sock"})
			o.Gone = nil
		}, []string{"- e"}},
		{"a link's mode", func(*root) {}, func(o *sandbox.Observation) {
			for i := range o.Seen {
				if o.Seen[i].Path == "l" {
					o.Seen[i].Node.Mode = 0o777
				}
			}
		}, nil},
		{"gone and not known", func(*root) {}, func(o *sandbox.Observation) {
			o.Gone = append(o.Gone, "none", "d/none", "d/sub/x", "")
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := base()
			var s sandbox.State
			if err := s.Apply(before.layer()); err != nil {
				t.Fatal(err)
			}
			after := before.clone()
			tt.do(after)
			o := sandbox.Observation{Seen: after.seen(), Gone: after.gone(before), Open: after.open}
			if tt.edit != nil {
				tt.edit(&o)
			}
			cs, _ := drain(t, s.Capture(o))
			if d := cmp.Diff(tt.want, lines(cs)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Content is unknown if its stream was not read to the end, and is then a change.
func TestState_captureUnread(t *testing.T) {
	r := newRoot()
	r.put("f", tree.Node{Type: tree.File, Mode: 0o644, MTime: time.Unix(1, 0)}, "hello")
	var s sandbox.State
	o := sandbox.Observation{Seen: r.seen(), Open: r.open}
	for c, err := range s.Capture(o) {
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		f.Read(make([]byte, 3))
		f.Close()
	}
	cs, _ := drain(t, s.Capture(o))
	if d := cmp.Diff([]string{"+ f"}, lines(cs)); d != "" {
		t.Error(d)
	}
	cs, _ = drain(t, s.Capture(o))
	if len(cs) > 0 {
		t.Errorf("read and captured again: %q", lines(cs))
	}
}
