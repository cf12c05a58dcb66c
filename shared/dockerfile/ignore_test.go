package dockerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// files makes a tree: names that end in a slash are directories.
func files(names ...string) *tree.Tree {
	var t tree.Tree
	t.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755})
	for _, n := range names {
		node := tree.Node{Type: tree.File, Mode: 0o644}
		if strings.HasSuffix(n, "/") {
			node = tree.Node{Type: tree.Dir, Mode: 0o755}
		}
		t.Put(tree.Clean(n), node)
		t.Keep(tree.Clean(n), n)
	}
	return &t
}

func walk(t *testing.T, fsys tree.FS, from tree.Path) []string {
	t.Helper()
	var out []string
	for e, err := range fsys.Walk(from) {
		if err != nil {
			t.Fatal(err)
		}
		s := string(e.Path)
		if e.Node.IsDir() {
			s += "/"
		}
		if e.Hard != "" {
			s += " = " + string(e.Hard)
		}
		out = append(out, s)
	}
	return out
}

func mustIgnore(t *testing.T, text string) *Ignore {
	t.Helper()
	ig, err := ParseIgnore(".dockerignore", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ig
}

func TestFilter(t *testing.T) {
	ctx := []string{"Dockerfile", ".dockerignore", "a/b/c", "a/b/d", "a/e", "x.go", "y/x.go", "y/z/", "ü/ñ"}
	all := []string{"/", ".dockerignore", "Dockerfile", "a/", "a/b/", "a/b/c", "a/b/d", "a/e", "x.go", "y/", "y/x.go", "y/z/", "ü/", "ü/ñ"}
	without := func(gone ...string) []string {
		var out []string
		for _, s := range all {
			keep := true
			for _, g := range gone {
				keep = keep && s != g && !strings.HasPrefix(s, g+"/")
			}
			if keep {
				out = append(out, s)
			}
		}
		return out
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", all},
		{"comment, blank line and white space", "# a\n\n  a  \n", without("a")},
		{"CRLF and BOM", "\ufeffa\r\ny\r\n", without("a", "y")},
		{"trailing and leading slash", "/a/\n", without("a")},
		{"everything but one file", "*\n!a/b/c\n", []string{"/", "a/", "a/b/", "a/b/c"}},
		{"everything but what does not exist", "*\n!a/nope\n", []string{"/"}},
		{"back again below", "a\n!a/b\na/b/d\n", without("a/b/d", "a/e")},
		{"order counts", "!a/b\na\n", without("a")},
		{"any depth", "**/x.go\n", without("x.go", "y/x.go")},
		{"any depth back again", "**\n!**/*.go\n", []string{"/", "x.go", "y/", "y/x.go"}},
		{"only the top", "*.go\n", without("x.go")},
		{"one character", "?.go\n", without("x.go")},
		{"class", "[a-b]\n", without("a")},
		{"all below, not the directory", "a/**\n", without("a/b", "a/e")},
		{"itself", ".dockerignore\nDockerfile\n", without(".dockerignore", "Dockerfile")},
		{"letters beyond ASCII", "ü/?\n", without("ü/ñ")},
		{"dot and parents", "./a/../y\n", without("y")},
		{"empty directory", "y/x.go\n", without("y/x.go")},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := Filter(files(ctx...), mustIgnore(t, c.text))
			if diff := cmp.Diff(c.want, walk(t, fsys, tree.Root)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			agree(t, fsys, c.want, ctx)
		})
	}
}

// agree holds Stat, a walk from below and Open against what a whole walk showed.
func agree(t *testing.T, fsys tree.FS, seen, files []string) {
	t.Helper()
	shown := map[string]bool{}
	for _, s := range seen {
		shown[strings.TrimSuffix(s, "/")] = true
	}
	for _, s := range append(files, "y", "a", "a/b") {
		p := strings.TrimSuffix(s, "/")
		_, err := tree.Stat(fsys, tree.Path(p))
		if got := err == nil; got != shown[p] {
			t.Errorf("stat %s: %v", p, err)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if strings.HasSuffix(s, "/") || s == "y" || s == "a" || s == "a/b" {
			continue
		}
		r, err := fsys.Open(tree.Path(p))
		if got := err == nil; got != shown[p] || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %s: %v", p, err)
		}
		if err == nil {
			r.Close()
		}
	}
}

// Characters that mean something elsewhere stand for themselves.
func TestFilter_literal(t *testing.T) {
	names := []string{"!a", "a", "a.c", "a{2}", "aa", "abc", "b|c", "c^", "d$", "e(f)", "g+"}
	for _, pattern := range []string{"\\!a", "!!a\n\\!a", "a.c", "a{2}", "b|c", "c^", "?^", "d$", "e(f)", "g+", "*|c", "a{?}"} {
		got := walk(t, Filter(files(names...), mustIgnore(t, pattern+"\n")), tree.Root)
		gone := len(names) - (len(got) - 1)
		if gone != 1 {
			t.Errorf("%q leaves out %d: %q", pattern, gone, got)
		}
	}
	if _, err := ParseIgnore("f", []byte("a\n\xff\n")); !errors.Is(err, ErrNotText) {
		t.Error(err)
	}
}

func TestFilter_nil(t *testing.T) {
	fsys := files("a")
	if got := Filter(fsys, nil); got != tree.FS(fsys) {
		t.Error("a file system without an ignore file is wrapped")
	}
	if got := Filter(fsys, mustIgnore(t, "# nothing\n")); got != tree.FS(fsys) {
		t.Error("a file system with an empty ignore file is wrapped")
	}
}

// A hard link whose first name is hidden becomes a file of its own, and what is
// linked further becomes a link to it.
func TestFilter_hardLinks(t *testing.T) {
	fsys := files("a/one", "b/shown")
	for _, l := range []struct{ name, to tree.Path }{{"b/two", "a/one"}, {"c/three", "a/one"}, {"c/four", "b/shown"}} {
		if err := fsys.Link(l.name, l.to); err != nil {
			t.Fatal(err)
		}
	}
	got := walk(t, Filter(fsys, mustIgnore(t, "a\n")), tree.Root)
	want := []string{"/", "b/", "b/shown", "b/two", "c/", "c/four = b/shown", "c/three = b/two"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFilter_stops(t *testing.T) {
	fsys := Filter(files("a/b/c", "d"), mustIgnore(t, "a\n!a/b/c\n"))
	for limit := 1; limit < 6; limit++ {
		n := 0
		for range fsys.Walk(tree.Root) {
			if n++; n == limit {
				break
			}
		}
		if n != min(limit, 5) {
			t.Errorf("%d entries of %d", n, limit)
		}
	}
}

func TestFilter_missing(t *testing.T) {
	fsys := Filter(files("a/b"), mustIgnore(t, "z\n"))
	for _, p := range []tree.Path{"nope", "a/nope", "z"} {
		n := 0
		for _, err := range fsys.Walk(p) {
			n++
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", p, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d entries", p, n)
		}
	}
}

// failing is a file system that breaks in the middle of a walk.
type failing struct{ tree.FS }

var errBroken = errors.New("broken")

func (f failing) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for e := range f.FS.Walk(from) {
			if !yield(e, nil) {
				return
			}
		}
		yield(tree.Entry{}, errBroken)
	}
}

func TestFilter_error(t *testing.T) {
	var last error
	for _, err := range Filter(failing{files("a", "b")}, mustIgnore(t, "a\n")).Walk(tree.Root) {
		last = err
	}
	if !errors.Is(last, errBroken) {
		t.Error(last)
	}
}

// What Skip leaves unread is nothing that Filter shows.
func TestIgnore_Skip(t *testing.T) {
	for _, c := range []struct{ text, dir, file string }{
		{"a\n", "skip", "skip"},
		{"a\n!a/b\n", "read", "skip"},
		{"a\n!b\n", "skip", "skip"},
		{"a\n!**/b\n", "read", "skip"},
		{"a\n!*/b\n", "read", "skip"},
		{"a\n!b/*\n", "skip", "skip"},
		{"a\n!a/b/c/d\n", "read", "skip"},
		{"b\n", "read", "read"},
		{"*\n!a\n", "read", "read"},
	} {
		ig := mustIgnore(t, c.text)
		word := map[bool]string{true: "skip", false: "read"}
		if got := word[ig.Skip("a", tree.Dir)]; got != c.dir {
			t.Errorf("%q: directory: %s", c.text, got)
		}
		if got := word[ig.Skip("a", tree.File)]; got != c.file {
			t.Errorf("%q: file: %s", c.text, got)
		}
	}
}

func TestParseIgnore_errors(t *testing.T) {
	for text, want := range map[string]string{
		"a\n!\n":     `f: pattern "!": illegal exclusion pattern: "!"`,
		"a\n[\n":     `f: pattern "[": syntax error in pattern`,
		"a\n![z-a\n": `f: pattern "![z-a": syntax error in pattern`,
	} {
		if _, err := ParseIgnore("f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFilter_concurrent(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("d%d/f.go", i), fmt.Sprintf("d%d/g.txt", i))
	}
	fsys := Filter(files(names...), mustIgnore(t, "**/*.go\n!d7/*\nd9\n"))
	want := walk(t, fsys, tree.Root)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if diff := cmp.Diff(want, walk(t, fsys, tree.Root)); diff != "" {
				t.Error(diff)
			}
			if _, err := fsys.Open("d1/g.txt"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// upTo are the directories of a path from the top down, and the path.
func upTo(p string) (out []string) {
	for ; p != "."; p = path.Dir(p) {
		out = append([]string{p}, out...)
	}
	return out
}

// FuzzFilter holds the filter against the matcher asked about each path alone.
func FuzzFilter(f *testing.F) {
	f.Add("*\n!a/b\n")
	f.Add("a\n!a/b\n**/c\n!b/**\n")
	f.Add("a/*/c\n!**/b\na/b/[c-d]\n")
	f.Add("a/*/c\n!**/b\n")
	f.Add("!a\na*\n!a/**/c\n")
	ctx := []string{"a/a/a", "a/a/b", "a/a/c", "a/b/a", "a/b/c", "a/c", "b/a/b", "b/b", "b/c/a", "c", "ab/b", "ab/c/c"}
	f.Fuzz(func(t *testing.T, text string) {
		ig, err := ParseIgnore(".dockerignore", []byte(text))
		if err != nil {
			return
		}
		if strings.ContainsAny(text, "{}|^") {
			t.Skip("the matcher takes these for parts of regular expressions")
		}
		patterns, err := ignorefile.ReadAll(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		// show tells of each path by itself, with a matcher of its own.
		show := func(p string) bool {
			m, err := patternmatcher.New(patterns)
			if err != nil {
				t.Fatal(err)
			}
			var info patternmatcher.MatchInfo
			out := false
			for _, dir := range upTo(p) {
				if out, info, err = m.MatchesUsingParentResults(dir, info); err != nil {
					t.Fatal(err)
				}
			}
			return !out
		}
		want := map[string]bool{"": true}
		for _, name := range ctx {
			for _, p := range upTo(name) {
				if show(p) {
					for _, dir := range upTo(p) {
						want[dir] = true
					}
				}
			}
		}
		got := map[string]bool{}
		fsys := files(ctx...)
		for e, err := range Filter(fsys, ig).Walk(tree.Root) {
			if err != nil {
				t.Fatal(err)
			}
			got[string(e.Path)] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		for e := range fsys.Walk(tree.Root) {
			if ig.Skip(e.Path, e.Node.Type) && e.Path != tree.Root {
				for p := range want {
					if tree.Path(p).Within(e.Path) {
						t.Errorf("%q: %s is skipped, but %s is seen", text, e.Path, p)
					}
				}
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	var names []string
	for i := range 1000 {
		for j := range 100 {
			names = append(names, fmt.Sprintf("src/d%03d/f%03d.go", i, j))
		}
	}
	fsys := files(names...)
	for name, text := range map[string]string{
		"few patterns":  "*.log\n.git\nnode_modules\n**/*.tmp\n",
		"all left out":  "src\n",
		"back again":    "*\n!src/d500\n",
		"many patterns": strings.Repeat("**/build\n**/*.o\ndocs/*.md\n", 10),
	} {
		ig, err := ParseIgnore("f", []byte(text))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range Filter(fsys, ig).Walk(tree.Root) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	b.Run("unfiltered", func(b *testing.B) {
		for b.Loop() {
			for range fsys.Walk(tree.Root) {
			}
		}
	})
}

func TestNewIgnore(t *testing.T) {
	fsys := files("#", "a/b", "a/c", "k/x", "!odd")
	for _, c := range []struct {
		patterns []string
		want     string
	}{
		{nil, "/ !odd # a/ a/b a/c k/ k/x"},
		{[]string{"#"}, "/ !odd a/ a/b a/c k/ k/x"},
		{[]string{"/a/", " ./k ", ""}, "/ !odd #"},
		{[]string{"**", "! /a/b"}, "/ a/ a/b"},
	} {
		ig, err := NewIgnore(c.patterns)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(walk(t, Filter(fsys, ig), ""), " "); got != c.want {
			t.Errorf("%q: %q, want %q", c.patterns, got, c.want)
		}
	}
	for _, bad := range []string{"[", "!", "a\xff"} {
		if _, err := NewIgnore([]string{bad}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestOnly(t *testing.T) {
	fsys := files("a/b", "a/c/d", "a/c/b", "x/b", "!a", " s /f ")
	for pattern, want := range map[tree.Path]string{
		"a/c":    "/ a/ a/c/ a/c/b a/c/d",
		"**/b":   "/ a/ a/b a/c/ a/c/b x/ x/b",
		"*/b":    "/ a/ a/b x/ x/b",
		"!a":     "/ !a",
		" s /f ": "/  s /  s /f ",
	} {
		only, err := Only(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(walk(t, Filter(fsys, only), ""), " "); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
	if _, err := Only("["); err == nil {
		t.Error("a bad pattern: no error")
	}
}

// walks counts what a file system is asked to show.
type walks struct {
	*tree.Tree
	seen int
}

func (w *walks) Prune(from tree.Path, skip func(tree.Path, tree.Type) bool) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for e, err := range w.Tree.Prune(from, skip) {
			w.seen++
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestFilter_doesNotReadWhatItHides(t *testing.T) {
	fsys := &walks{Tree: files("out/a", "out/b", "in/a", "part/a", "part/b")}
	outer := mustIgnore(t, "part\n!part/b\n")
	got := walk(t, Filter(Filter(fsys, mustIgnore(t, "out\n")), outer), "")
	if want := "/ in/ in/a part/ part/b"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	if want := 5; fsys.seen != want {
		t.Errorf("%d entries read, want %d", fsys.seen, want)
	}
}
