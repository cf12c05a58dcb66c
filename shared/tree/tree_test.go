package tree_test

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]tree.Path{
		"": "", "/": "", ".": "", "..": "", "../..": "", "a": "a", "/a/": "a", "a/../..//b": "b", "./a/./b": "a/b",
		"a/..": "", "...": "...", "a b": "a b", "/../etc": "etc",
	} {
		if got := tree.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPath_parts(t *testing.T) {
	p := tree.Clean("a/b/c")
	if p.Parent() != "a/b" || p.Base() != "c" || p.Abs() != "/a/b/c" || tree.Root.Parent() != "" || tree.Root.Base() != "" {
		t.Error("parts of a/b/c")
	}
	if p.Join("../../x") != "a/b/c/x" || tree.Root.Join("x") != "x" || p.Join("/") != p {
		t.Error("Join leaves its root")
	}
	if !p.Within("a/b") || !p.Within("") || !p.Within(p) || tree.Path("ab").Within("a") || tree.Path("a").Within(p) {
		t.Error("Within")
	}
	if p.Rel("a") != "b/c" || p.Rel("") != p || p.Rel(p) != "" {
		t.Error("Rel")
	}
}

func TestCompare_isWalkOrder(t *testing.T) {
	var tr tree.Tree
	names := []tree.Path{"a", "a/b", "a-b", "a.b/c", "a/b/c", "a0", "b", "a/b-c", "a\x01"}
	for _, p := range names {
		tr.Put(p, tree.Node{Type: tree.Dir})
	}
	var walked []tree.Path
	for e, err := range tr.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		walked = append(walked, e.Path)
	}
	if !slices.IsSortedFunc(walked, tree.Compare) {
		t.Errorf("walk order %q is not the order of Compare", walked)
	}
	r := rand.New(rand.NewPCG(1, 2))
	shuffled := slices.Clone(walked)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, tree.Compare)
	if !slices.Equal(shuffled, walked) {
		t.Errorf("sorted %q, walked %q", shuffled, walked)
	}
}

func paths(t *testing.T, f tree.FS, from tree.Path) string {
	t.Helper()
	var s []string
	for e, err := range f.Walk(from) {
		if err != nil {
			t.Fatal(err)
		}
		line := string(e.Path)
		if e.Hard != "" {
			line += "=" + string(e.Hard)
		}
		s = append(s, line)
	}
	return strings.Join(s, " ")
}

func TestTree_putReplaces(t *testing.T) {
	var tr tree.Tree
	tr.Put("d/x", tree.Node{Type: tree.File})
	tr.Put("d", tree.Node{Type: tree.Dir, Mode: 0o700})
	if got := paths(t, &tr, ""); got != " d d/x" {
		t.Errorf("directory over directory: %q", got)
	}
	tr.Put("d", tree.Node{Type: tree.File})
	if got := paths(t, &tr, ""); got != " d" {
		t.Errorf("file over directory: %q", got)
	}
	tr.Put("d/y", tree.Node{Type: tree.File})
	if n, _ := tr.Lookup("d"); !n.IsDir() || n.Mode != 0o755 {
		t.Errorf("file made parent: %+v", n)
	}
	tr.Remove("d")
	tr.Remove("nothing/here")
	if tr.Len() != 1 {
		t.Errorf("%d entries left", tr.Len())
	}
}

func TestTree_links(t *testing.T) {
	var tr tree.Tree
	tr.Put("b", tree.Node{Type: tree.File, Size: 7})
	for _, p := range []tree.Path{"a", "c"} {
		if err := tr.Link(p, "b"); err != nil {
			t.Fatal(err)
		}
	}
	if got := paths(t, &tr, ""); got != " a b=a c=a" {
		t.Errorf("three names: %q", got)
	}
	tr.Put("a", tree.Node{Type: tree.File})
	if got := paths(t, &tr, ""); got != " a b c=b" {
		t.Errorf("one name replaced: %q", got)
	}
	tr.Remove("b")
	if got := tr.Links("c"); got != nil {
		t.Errorf("last name has links %q", got)
	}
	if err := tr.Link("x", "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("link to nothing: %v", err)
	}
	copied, err := tree.Copy(&tr)
	if err != nil || paths(t, copied, "") != paths(t, &tr, "") {
		t.Errorf("copy differs: %v", err)
	}
}

// TestTree_linkBecomesParent: a file of two names gives one of them up to a directory.
func TestTree_linkBecomesParent(t *testing.T) {
	for _, p := range []tree.Path{"a", "d/a", "d/e/a"} {
		var tr tree.Tree
		tr.Put("b", tree.Node{Type: tree.File})
		if err := tr.Link(p, "b"); err != nil {
			t.Fatal(err)
		}
		tr.Keep(p, "text")
		tr.Put(p+"/x/y", tree.Node{Type: tree.File})
		if got := tr.Links("b"); got != nil {
			t.Errorf("%s: the other name has links %q", p, got)
		}
		if n, ok := tr.Lookup(p); !ok || !n.IsDir() {
			t.Errorf("%s is %+v", p, n)
		}
		if _, err := tr.Open(p); err == nil {
			t.Errorf("%s still has a content", p)
		}
	}
}

func TestCopy_isIndependent(t *testing.T) {
	var tr tree.Tree
	tr.Put("d/c", tree.Node{Type: tree.File, Size: 7})
	for _, p := range []tree.Path{"d/b", "a"} {
		if err := tr.Link(p, "d/c"); err != nil {
			t.Fatal(err)
		}
	}
	tr.Put("etc/passwd", tree.Node{Type: tree.File})
	tr.Keep("etc/passwd", "root")
	before := paths(t, &tr, "")
	copied, err := tree.Copy(&tr)
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(t, copied, ""); got != before {
		t.Errorf("copy is %q, want %q", got, before)
	}
	if got := copied.Links("d/b"); !slices.Equal(got, []tree.Path{"a", "d/b", "d/c"}) {
		t.Errorf("copy has links %q", got)
	}
	copied.Remove("d/c")
	copied.Put("new/x", tree.Node{Type: tree.File})
	copied.Keep("etc/passwd", "other")
	if got := paths(t, &tr, ""); got != before {
		t.Errorf("after changes of the copy the original is %q, want %q", got, before)
	}
	if got := tr.Links("a"); len(got) != 3 {
		t.Errorf("original has links %q", got)
	}
	if got := copied.Links("a"); !slices.Equal(got, []tree.Path{"a", "d/b"}) {
		t.Errorf("changed copy has links %q", got)
	}
	r, err := tr.Open("etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r); string(b) != "root" {
		t.Errorf("original keeps %q", b)
	}
	if empty, err := tree.Copy(&tree.Tree{}); err != nil || empty.Len() != 0 {
		t.Errorf("copy of nothing has %d entries, %v", empty.Len(), err)
	}
}

func TestTree_open(t *testing.T) {
	var tr tree.Tree
	tr.Put("etc/passwd", tree.Node{Type: tree.File})
	if _, err := tr.Open("etc/passwd"); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("content never given: %v", err)
	}
	if _, err := tr.Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	tr.Keep("etc/passwd", "root")
	r, err := tr.Open("etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r); string(b) != "root" {
		t.Errorf("kept %q", b)
	}
	tr.Remove("etc")
	tr.Put("etc/passwd", tree.Node{Type: tree.File})
	if _, err := tr.Open("etc/passwd"); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("content of a file that was replaced: %v", err)
	}
}

func TestResolve(t *testing.T) {
	var tr tree.Tree
	link := func(p tree.Path, target string) { tr.Put(p, tree.Node{Type: tree.Symlink, Link: target}) }
	tr.Put("usr/lib/x", tree.Node{Type: tree.File})
	link("lib", "usr/lib")
	link("abs", "/usr/lib")
	link("up", "../../../usr")
	link("usr/self", ".")
	link("usr/back", "../lib")
	link("dangling", "/nowhere/at/all")
	link("loop", "loop")
	for _, c := range []struct{ in, all, parent string }{
		{"lib/x", "usr/lib/x", "usr/lib/x"},
		{"lib", "usr/lib", "lib"},
		{"abs/x", "usr/lib/x", "usr/lib/x"},
		{"up/lib", "usr/lib", "usr/lib"},
		{"usr/self/self/lib", "usr/lib", "usr/lib"},
		{"usr/back/x", "usr/lib/x", "usr/lib/x"},
		{"lib/new/deep", "usr/lib/new/deep", "usr/lib/new/deep"},
		{"dangling", "nowhere/at/all", "dangling"},
		{"dangling/f", "nowhere/at/all/f", "nowhere/at/all/f"},
		{"", "", ""},
	} {
		if got, err := tree.Resolve(&tr, tree.Path(c.in)); err != nil || string(got) != c.all {
			t.Errorf("Resolve(%q) = %q, %v; want %q", c.in, got, err, c.all)
		}
		if got, err := tree.ResolveParent(&tr, tree.Path(c.in)); err != nil || string(got) != c.parent {
			t.Errorf("ResolveParent(%q) = %q, %v; want %q", c.in, got, err, c.parent)
		}
	}
	if _, err := tree.Resolve(&tr, "loop/x"); !errors.Is(err, tree.ErrLoop) {
		t.Errorf("loop: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	sum := func(s string) uint64 { h := tree.NewFingerprint(); io.WriteString(h, s); return h.Sum64() }
	if sum("a") != sum("a") || sum("a") == sum("b") || sum("") == 0 {
		t.Error("fingerprints do not tell contents apart")
	}
}

// unpruned is a file system that can only walk.
type unpruned struct{ tree.FS }

func TestPrune(t *testing.T) {
	var tr tree.Tree
	for _, p := range []tree.Path{"a/f", "b/g", "b/sub/h", "b.txt", "c/i"} {
		tr.Put(p, tree.Node{Type: tree.File})
	}
	for _, p := range []tree.Path{"c/l", "d"} {
		if err := tr.Link(p, "b/g"); err != nil {
			t.Fatal(err)
		}
	}
	for _, fsys := range []tree.FS{&tr, unpruned{&tr}} {
		for _, c := range []struct {
			from tree.Path
			skip string
			want string
		}{
			{"", "b", " a a/f b.txt c c/i c/l d=c/l"},
			{"b", "b", "b b/g b/sub b/sub/h"},
			{"", "a c", " b b.txt b/g b/sub b/sub/h d=b/g"},
			{"b", "b/sub", "b b/g"},
		} {
			var got []string
			for e, err := range tree.Prune(fsys, c.from, func(p tree.Path, _ tree.Type) bool {
				return slices.Contains(strings.Fields(c.skip), string(p))
			}) {
				if err != nil {
					t.Fatal(err)
				}
				s := string(e.Path)
				if e.Hard != "" {
					s += "=" + string(e.Hard)
				}
				got = append(got, s)
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%T from %q without %s: %q, want %q", fsys, c.from, c.skip, s, c.want)
			}
		}
	}
}

func TestSub(t *testing.T) {
	var tr tree.Tree
	for _, p := range []tree.Path{"a/b/f", "a/b/d/g", "a/bb"} {
		tr.Put(p, tree.Node{Type: tree.File})
	}
	if err := tr.Link("a/b/z", "a/b/f"); err != nil {
		t.Fatal(err)
	}
	tr.Keep("a/b/f", "content")
	sub := tree.Sub(&tr, "a/b")
	var walked, listed []string
	for e, err := range tree.Prune(sub, "", func(p tree.Path, _ tree.Type) bool { return p == "d" }) {
		if err != nil {
			t.Fatal(err)
		}
		walked = append(walked, string(e.Path)+"="+string(e.Hard))
	}
	if want := []string{"=", "f=", "z=f"}; !slices.Equal(walked, want) {
		t.Errorf("walk: %q, want %q", walked, want)
	}
	for e, err := range tree.List(sub, "d") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, string(e.Path))
	}
	if want := []string{"d/g"}; !slices.Equal(listed, want) {
		t.Errorf("list: %q, want %q", listed, want)
	}
	r, err := sub.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "content" {
		t.Errorf("open: %q, %v", b, err)
	}
	if _, err := tree.Stat(sub, "bb"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("beside the directory: %v", err)
	}
	if tree.Sub(&tr, tree.Root) != tree.FS(&tr) {
		t.Error("below the root is the same")
	}
}
