package placement_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// place is what the request does to root, as lines or as an error's text.
func place(r placement.Request, src, root tree.FS) (string, error) {
	r.Source = src
	return text(root, placement.Place(r, root))
}

type placing struct {
	name string
	r    placement.Request
	want string // after "error: " a part of the error
}

func (c placing) run(t *testing.T, src, root tree.FS) {
	t.Helper()
	got, err := place(c.r, src, root)
	if part, ok := strings.CutPrefix(c.want, "error: "); ok {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want an error with %q; placed\n%s", c.name, err, part, got)
		}
		return
	}
	if err != nil || got != c.want {
		t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", c.name, err, got, c.want)
	}
}

func symbolic(t *testing.T, s string) *dockerfile.ModeChange {
	t.Helper()
	m, err := dockerfile.ParseMode(s)
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

func TestPlace_exclude(t *testing.T) {
	src := fsys(t, "/", "d/", "d/a = A", "d/x.md = x", "d/s/ 700", "d/s/x.md = x", "d/s/deep/", "d/s/deep/keep = k", "d/s/deep/x.md = x",
		"only/", "only/x.md = x", "a.go = 1", "b.go = 2", "lost -> nowhere", "dlink -> d", "arch/x.go/", "arch/x.go/f = f")
	root := fsys(t, "/")
	ex := func(s ...string) []string { return s }
	dir := func(patterns ...string) placement.Request {
		return placement.Request{Patterns: ex("d"), Dest: "n", DestDir: true, Exclude: patterns}
	}
	all := "n/ 755\nn/a = A 644\nn/s/ 700\nn/s/deep/ 755\nn/s/deep/keep = k 644\nn/s/deep/x.md = x 644\nn/s/x.md = x 644\nn/x.md = x 644"
	for _, c := range []placing{
		{"26 a name stands for the top only", dir("x.md"), strings.ReplaceAll(all, "\nn/x.md = x 644", "")},
		{"26 **", dir("**/x.md"), "n/ 755\nn/a = A 644\nn/s/ 700\nn/s/deep/ 755\nn/s/deep/keep = k 644"},
		{"26 with a slash", dir("s/x.md"), strings.ReplaceAll(all, "\nn/s/x.md = x 644", "")},
		{"26 the source's own name means nothing", dir("d", "d/a"), all},
		{"26 slashes around", dir("/s/"), "n/ 755\nn/a = A 644\nn/x.md = x 644"},
		{"26 directory left empty", dir("s/*", "a", "*.md"), "n/ 755\nn/s/ 700"},
		{"26 taken back", dir("s", "!s/deep/keep"), "n/ 755\nn/a = A 644\nn/s/ 700\nn/s/deep/ 755\nn/s/deep/keep = k 644\nn/x.md = x 644"},
		{"26 taken back too early", dir("!s/deep/keep", "s"), "n/ 755\nn/a = A 644\nn/x.md = x 644"},
		{"26 # is no comment", dir("#", "a"), strings.ReplaceAll(all, "n/a = A 644\n", "")},
		{"33 everything", dir("**"), "n/ 755"},
		{"26 through a link", placement.Request{Patterns: ex("dlink"), Dest: "n", Exclude: ex("s", "*.md")}, "n/ 755\nn/a = A 644"},
		{"26 files of a wildcard", placement.Request{Patterns: ex("*.go"), Dest: "n", Exclude: ex("b*")}, "n = 1 644"},
		{"26 no files of a wildcard", placement.Request{Patterns: ex("*.go"), Dest: "n", Exclude: ex("*.go")}, ""},
		{"26 directories of a wildcard", placement.Request{Patterns: ex("onl*"), Dest: "n", Exclude: ex("only")}, "n/ 755\nn/x.md = x 644"},
		{"26 named outright", placement.Request{Patterns: ex("a.go"), Dest: "n", Exclude: ex("*.go")}, "n = 1 644"},
		{"26 dangling link of a wildcard", placement.Request{Patterns: ex("*o*"), Dest: "n", DestDir: true, Exclude: ex("lost", "*.md")}, "n/ 755\nn/a.go = 1 644\nn/b.go = 2 644"},
		{"26 bad pattern", dir("["), "error: --exclude"},
		{"26 inline files stay", placement.Request{Inline: []placement.Inline{{Name: "X", Data: "x"}}, Dest: "n", DestDir: true, Exclude: ex("X")}, "n/ 755\nn/X = x 644"},
		{"10 dangling link of a wildcard", placement.Request{Patterns: ex("*o*"), Dest: "n", DestDir: true}, `error: source "lost"`},
	} {
		c.run(t, src, root)
	}
}

func TestPlace_parents(t *testing.T) {
	src := fsys(t, "/", "f = F", "d/ 711 4:4", "d/s/ 700 6:6", "d/s/b = b", "d/s/x.md = x", "d/x.md = x", "e/", "e/x.md = x",
		"e/d/", "e/d/b = 2", "empty/", "link -> d", "abs -> /d/s", "tofile -> f")
	root := fsys(t, "/", "there/ 711 9:9", "there/d/ 755 9:9", "tolink -> there", "bad/", "bad/d = file", "file = x")
	p := func(dest tree.Path, patterns ...string) placement.Request {
		return placement.Request{Patterns: patterns, Dest: dest, Parents: true}
	}
	with := func(r placement.Request, change func(*placement.Request)) placement.Request {
		change(&r)
		return r
	}
	all := "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/b = b 644\nn/d/s/x.md = x 644\nn/d/x.md = x 644"
	for _, c := range []placing{
		{"26 file", p("n", "d/s/b"), "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/b = b 644"},
		{"26 directory", p("n", "d"), all},
		{"26 absolute, with dots", p("n", "/../d/s/./"), "n/ 755\nn/b = b 644\nn/x.md = x 644"},
		{"26 top", p("n", "empty"), "n/ 755\nn/empty/ 755"},
		{"26 pivot", p("n", "./d/./s/b"), "n/ 755\nn/s/ 700\nn/s/b = b 644"},
		{"26 first of two pivots", p("n", "./d/./s/./b"), "n/ 755\nn/s/ 700\nn/s/b = b 644"},
		{"26 no pivot", p("n", "./d/s/."), "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/b = b 644\nn/d/s/x.md = x 644"},
		{"26 wildcard", p("n", "d/*/b"), "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/b = b 644"},
		{"26 **", p("n", "**/x.md"), "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/x.md = x 644\nn/d/x.md = x 644\nn/e/ 755\nn/e/x.md = x 644"},
		{"26 ** in a name", p("n", "**.md"), "n/ 755\nn/d/ 711\nn/d/s/ 700\nn/d/s/x.md = x 644\nn/d/x.md = x 644\nn/e/ 755\nn/e/x.md = x 644"},
		{"26 ** after a pivot", p("n", "./e/./**/b"), "n/ 755\nn/d/ 755\nn/d/b = 2 644"},
		{"26 wildcard before a pivot", p("n", "[de]*/./*/b"), "n/ 755\nn/s/ 700\nn/s/b = b 644\nn/d/ 755\nn/d/b = 2 644"},
		{"26 several", p("n", "e/d/b", "f"), "n/ 755\nn/e/ 755\nn/e/d/ 755\nn/e/d/b = 2 644\nn/f = F 644"},
		{"26 the whole source", with(p("n", "."), func(r *placement.Request) { r.Exclude = []string{"e*", "*o*", "link", "abs"} }), all + "\nn/f = F 644"},
		{"26 links stay links", p("n", "tofile", "link"), "n/ 755\nn/tofile -> f\nn/link -> d"},
		{"26 link on the way", p("n", "link/s/b"), "error: link/s/b"},
		{"26 wildcard and a link on the way", p("n", "[la]*/b", "f"), "n/ 755\nn/f = F 644"},
		{"26 missing", p("n", "f", "d/none"), `error: source "d/none"`},
		{"26 no match", p("n", "**/none"), ""},
		{"26 no match beside a match", p("n", "**/none", "f"), "n/ 755\nn/f = F 644"},
		{"26 existing directories stay", p("there", "d/s/b"), "there/d/s/ 700\nthere/d/s/b = b 644"},
		{"26 destination is a link", p("tolink", "f"), "there/f = F 644"},
		{"26 destination is a file", p("file", "f"), "error: directory"},
		{"26 file on the way", p("bad", "d/s/b"), "error: file is there"},
		{"26 exclude from the pivot", with(p("n", "./d/./s"), func(r *placement.Request) { r.Exclude = []string{"s/b", "x.md"} }), "n/ 755\nn/s/ 700\nn/s/x.md = x 644"},
		{"26 exclude from the root", with(p("n", "d"), func(r *placement.Request) { r.Exclude = []string{"s", "d/s"} }), "n/ 755\nn/d/ 711\nn/d/x.md = x 644"},
		{"26 nothing left, no directories", with(p("n", "**/x.md", "f"), func(r *placement.Request) { r.Exclude = []string{"**/x.md"} }), "n/ 755\nn/f = F 644"},
		{"26 source excluded", with(p("n", "d", "f"), func(r *placement.Request) { r.Exclude = []string{"d"} }), `error: source "d"`},
		{"25 parents get owner and mode", with(p("n", "d/s/b"), func(r *placement.Request) { r.Owner, r.Mode = &placement.Owner{UID: 1, GID: 2}, mode(0o750) }),
			"n/ 750 1:2\nn/d/ 750 1:2\nn/d/s/ 750 1:2\nn/d/s/b = b 750 1:2"},
		{"24 symbolic mode of parents", with(p("n", "d/x.md"), func(r *placement.Request) { r.Mode = symbolic(t, "go-rwx") }), "n/ 755\nn/d/ 700\nn/d/x.md = x 600"},
		{"13 owners of another stage", with(p("n", "d/s"), func(r *placement.Request) { r.KeepOwner = true }),
			"n/ 755\nn/d/ 711 4:4\nn/d/s/ 700 6:6\nn/d/s/b = b 644\nn/d/s/x.md = x 644"},
		{"38 inline", with(p("n"), func(r *placement.Request) { r.Inline = []placement.Inline{{Name: "X", Data: "x"}} }), "n/ 755\nn/X = x 644"},
	} {
		c.run(t, src, root)
	}
}

func TestPlace_spaces(t *testing.T) {
	src := &tree.Tree{}
	src.Put(" a /b ", tree.Node{Type: tree.File, Mode: 0o644})
	src.Keep(" a /b ", "")
	r := placement.Request{Patterns: []string{" a /b "}, Dest: "n", Parents: true}
	if got, err := place(r, src, fsys(t, "/")); err != nil || got != "n/ 755\nn/ a / 755\nn/ a /b  644" {
		t.Errorf("36 spaces at the ends of a name: %v\n%q", err, got)
	}
}

func TestPlace_link(t *testing.T) {
	src := fsys(t, "/", "f = F", "d/ 700", "d/a = A", "d/l/", "d/l/x = x")
	root := fsys(t, "/ 711", "there/ 711 9:9", "there/old = o", "link -> there", "file = f", "lf -> there/old", "m/", "m/a/", "m/a/in = i")
	lnk := func(dest tree.Path, patterns ...string) placement.Request {
		return placement.Request{Patterns: patterns, Dest: dest, Link: true}
	}
	owned := lnk("x/y", "f")
	owned.Owner, owned.Mode = &placement.Owner{UID: 5, GID: 6}, mode(0o640)
	for _, c := range []placing{
		{"27 to a name", lnk("n", "f"), "n = F 644"},
		{"27 links are not followed", lnk("link/x", "f"), "link/ 755\nlink/x = F 644"},
		{"27 nor the last one", lnk("lf", "f"), "lf = F 644"},
		{"27 parents anew", lnk("there/f", "f"), "there/ 755\nthere/f = F 644"},
		{"27 a directory is not seen", lnk("there", "f"), "there = F 644"},
		{"27 nor what it holds", lnk("m", "d"), "m/a = A 644\nm/l/ 755\nm/l/x = x 644"},
		{"27 file in the way", lnk("file/x", "f"), "file/ 755\nfile/x = F 644"},
		{"27 the root stays", lnk("", "d"), "a = A 644\nl/ 755\nl/x = x 644"},
		{"27 owner and mode", owned, "x/ 640 5:6\nx/y = F 640 5:6"},
	} {
		c.run(t, src, root)
	}
}

// What --link places is right on a root where something else is in the way.
func TestPlace_linkOverWhatIsThere(t *testing.T) {
	src := fsys(t, "/", "d/", "d/link/", "d/link/x = X", "d/file/", "d/file/y = Y", "d/m = M")
	root := fsys(t, "/", "there/", "link -> there", "file = f", "m/", "m/in = i")
	if err := layer.Overlay(root, placement.Place(placement.Request{Source: src, Patterns: []string{"d"}, Link: true}, root)); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[tree.Path]tree.Type{
		"link": tree.Dir, "link/x": tree.File, "file": tree.Dir, "file/y": tree.File, "m": tree.File, "m/in": 0, "there/x": 0,
	} {
		if n, _ := root.Lookup(p); n.Type != want {
			t.Errorf("27 %s: type %d, want %d", p, n.Type, want)
		}
	}
}

func TestParseOwner_link(t *testing.T) {
	if o, err := placement.ParseOwner(nil, "7:8"); err != nil || o != (placement.Owner{UID: 7, GID: 8}) {
		t.Errorf("27 numbers: %v, %v", o, err)
	}
	for _, spec := range []string{"app", "7:web"} {
		if _, err := placement.ParseOwner(nil, spec); err == nil || !strings.Contains(err.Error(), "--link") {
			t.Errorf("27 %s: %v", spec, err)
		}
	}
}

func TestPlace_chmod(t *testing.T) {
	src := fsys(t, "/", "d/ 711", "d/f 640", "d/x 750", "d/l -> f", "suid 4755")
	owner := &placement.Owner{UID: 3, GID: 3}
	for _, c := range []placing{
		{"24 zero", placement.Request{Patterns: []string{"suid"}, Dest: "n", Mode: mode(0)}, "n 0"},
		{"24 all", placement.Request{Patterns: []string{"suid"}, Dest: "n", Mode: mode(0o7777)}, "n 7777"},
		{"24 symbolic leaves made directories", placement.Request{Patterns: []string{"d"}, Dest: "n/m", Mode: symbolic(t, "u=rwX,go=rX")},
			"n/ 755\nn/m/ 755\nn/m/f 644\nn/m/l -> f\nn/m/x 755"},
		{"18 24 octal does not", placement.Request{Patterns: []string{"d/f"}, Dest: "n/m", Mode: mode(0o600)}, "n/ 600\nn/m 600"},
		{"25 links have no mode, but an owner", placement.Request{Patterns: []string{"d"}, Dest: "n", Mode: mode(0o700), Owner: owner},
			"n/ 700 3:3\nn/f 700 3:3\nn/l -> f 3:3\nn/x 700 3:3"},
		{"88 set-user-ID stays", placement.Request{Patterns: []string{"suid"}, Dest: "n", Owner: owner}, "n 4755 3:3"},
	} {
		c.run(t, src, fsys(t, "/"))
	}
}

func TestPlace_reservedNames(t *testing.T) {
	src := fsys(t, "/", "d/", "d/.wh.x", "e/.wh.d/", "e/.wh.d/f")
	src.Put("tar", tree.Node{Type: tree.File, Size: 1})
	src.Keep("tar", archive(t, false, &tar.Header{Name: ".wh.old", Typeflag: tar.TypeReg, Mode: 0o644}))
	for _, c := range []placing{
		{"36 file", placement.Request{Patterns: []string{"d"}, Dest: "n"}, "error: /n/.wh.x"},
		{"36 directory", placement.Request{Patterns: []string{"e"}, Dest: "n"}, "error: /n/.wh.d"},
		{"36 destination", placement.Request{Patterns: []string{"d/.wh.x"}, Dest: "n"}, "n 644"},
		{"44 in an archive", placement.Request{Patterns: []string{"tar"}, Dest: "n", Unpack: true}, "error: /n/.wh.old"},
	} {
		c.run(t, src, fsys(t, "/"))
	}
	_, err := place(placement.Request{Patterns: []string{"d"}, Dest: "n"}, src, fsys(t, "/"))
	var reserved *placement.ReservedError
	if !errors.As(err, &reserved) || reserved.Hint() == "" || !errors.Is(err, layer.ErrReservedName) {
		t.Errorf("36: %v", err)
	}
}

func TestPlace_archives(t *testing.T) {
	file := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	lnk := func(name, to string) *tar.Header {
		return &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	root := fsys(t, "/", "there/ 711 9:9", "there/old = o", "etc/", "link -> /there", "file = f", "dir/", "dir/l -> /etc", "dir/in = i")
	for _, c := range []struct {
		name    string
		headers []*tar.Header
		dest    tree.Path
		want    string
	}{
		{"18 directories that are only implied", []*tar.Header{{Name: "a/b/c", Typeflag: tar.TypeReg, Mode: 0o600, Uid: 5}}, "n",
			"n/ 755\nn/a/ 755\nn/a/b/ 755\nn/a/b/c = c 600 5:0"},
		{"28 file over directory", []*tar.Header{file("dir")}, "", "dir = c 644"},
		{"28 file over directory and back", []*tar.Header{file("dir"), {Name: "dir", Typeflag: tar.TypeDir, Mode: 0o700}, file("dir/l/x")}, "",
			"dir = c 644\ndir/ 700\ndir/l/ 755\ndir/l/x = c 644"},
		{"28 directory over file", []*tar.Header{{Name: "file", Typeflag: tar.TypeDir, Mode: 0o700}, file("file/x")}, "", "file/ 700\nfile/x = c 644"},
		{"28 directory over link", []*tar.Header{{Name: "link", Typeflag: tar.TypeDir, Mode: 0o700}, file("link/x")}, "", "link/ 700\nlink/x = c 644"},
		{"28 implied directory over file", []*tar.Header{file("file/x")}, "", "error: file is there"},
		{"35 fifo", []*tar.Header{{Name: "p", Typeflag: tar.TypeFifo, Mode: 0o600}}, "there", "there/p 600"},
		{"43 link of the image", []*tar.Header{file("link/x")}, "", "there/x = c 644"},
		{"43 link out of the destination", []*tar.Header{lnk("l", "/etc"), file("l/x")}, "there", "error: l is a link to /etc"},
		{"43 link that climbs out", []*tar.Header{lnk("l", "../../etc"), file("l/x")}, "there", "error: l is a link to"},
		{"43 link of the image out of the destination", []*tar.Header{file("l/x")}, "dir", "error: l is a link to /etc"},
		{"43 the destination is the root of links", []*tar.Header{{Name: "d", Typeflag: tar.TypeDir, Mode: 0o755}, lnk("l", "/d"), file("l/e/x")}, "there",
			"there/d/ 755\nthere/l -> /d\nthere/d/e/ 755\nthere/d/e/x = c 644"},
		{"43 hard link out", []*tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../file"}}, "there", "error: the target is not there"},
		{"43 hard link to what is there", []*tar.Header{{Name: "h", Typeflag: tar.TypeLink, Linkname: "/old"}}, "there", "there/h == there/old 644"},
	} {
		src := fsys(t, "/", "a")
		src.Keep("a", archive(t, true, c.headers...))
		placing{c.name, placement.Request{Patterns: []string{"a"}, Dest: c.dest, DestDir: true, Unpack: true}, c.want}.run(t, src, root)
	}
	src := fsys(t, "/", "a")
	src.Keep("a", archive(t, false, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o4750}))
	placing{"24 modes are the archive's", placement.Request{Patterns: []string{"a"}, Dest: "n", Unpack: true, Mode: mode(0o600)}, "n/ 755\nn/f = c 4750"}.run(t, src, root)
	placing{"27 --link", placement.Request{Patterns: []string{"a"}, Dest: "link", Unpack: true, Link: true}, "link/ 755\nlink/f = c 4750"}.run(t, src, root)
}

func TestPlace_damagedArchives(t *testing.T) {
	whole := archive(t, false, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644}, &tar.Header{Name: "b", Typeflag: tar.TypeReg, Mode: 0o644})
	zipped := archive(t, true, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644})
	for name, c := range map[string]struct {
		content string
		plain   bool
	}{
		"41 empty":                  {"", true},
		"41 no entry":               {strings.Repeat("\x00", 1024), true},
		"41 header cut off":         {whole[:300], true},
		"41 gzip of something else": {"\x1f\x8b\x08garbage", true},
		"content cut off":           {whole[:512], false},
		"second header damaged":     {whole[:1024] + strings.Repeat("Q", 512) + whole[1536:], false},
		"gzip cut off":              {zipped[:len(zipped)-30], true},
	} {
		src := fsys(t, "/", "a")
		src.Put("a", tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(c.content))})
		src.Keep("a", c.content)
		got, err := place(placement.Request{Patterns: []string{"a"}, Dest: "n", DestDir: true, Unpack: true}, src, fsys(t, "/"))
		var damaged *placement.ArchiveError
		switch {
		case c.plain && (err != nil || !strings.HasPrefix(got, "n/ 755\nn/a")):
			t.Errorf("%s: %v\n%s", name, err, got)
		case !c.plain && (!errors.As(err, &damaged) || damaged.Hint() == ""):
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// counted counts what is walked over.
type counted struct {
	tree.FS
	seen, walks int
}

func (c *counted) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return c.Prune(from, nil) }

func (c *counted) Prune(from tree.Path, skip func(tree.Path, tree.Type) bool) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		c.walks++
		for e, err := range tree.Prune(c.FS, from, skip) {
			c.seen++
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestPlace_readsNoMoreThanItNeeds(t *testing.T) {
	src, root := &tree.Tree{}, fsys(t, "/")
	for _, dir := range []tree.Path{"src/a", "src/node_modules", "src/kept", "other"} {
		for i := range 200 {
			src.Put(tree.Path(fmt.Sprintf("f%d", i)).Below(dir), tree.Node{Type: tree.File})
		}
	}
	for _, c := range []struct {
		name string
		r    placement.Request
		most int
	}{
		{"one walk", placement.Request{Patterns: []string{"src"}, Dest: "n"}, 620},
		{"excluded directory", placement.Request{Patterns: []string{"src"}, Dest: "n", Exclude: []string{"node_modules"}}, 420},
		{"something taken back elsewhere", placement.Request{Patterns: []string{"src"}, Dest: "n", Exclude: []string{"node_modules", "!kept/x"}}, 420},
		{"parents", placement.Request{Patterns: []string{"src/k*"}, Dest: "n", Parents: true}, 220},
		{"parents of everything", placement.Request{Patterns: []string{"src/**"}, Dest: "n", Parents: true, Exclude: []string{"src/node_modules"}}, 420},
	} {
		fsys := &counted{FS: src}
		c.r.Source = fsys
		for _, err := range placement.Place(c.r, root) {
			if err != nil {
				t.Fatal(c.name, err)
			}
		}
		if fsys.seen > c.most {
			t.Errorf("%s: %d entries read in %d walks, want no more than %d", c.name, fsys.seen, fsys.walks, c.most)
		}
	}
}

func TestRequest_Contents(t *testing.T) {
	src := fsys(t, "/", "d/", "d/a = A", "d/b = B", "d/s/", "d/s/c = C", "f = F", "l -> f", "x.go = 1")
	if err := src.Link("d/h", "d/a"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    placement.Request
		want string
	}{
		{placement.Request{Patterns: []string{"d", "l"}}, "d/a d/b d/s/c f"},
		{placement.Request{Patterns: []string{"d", "*.go"}, Exclude: []string{"a", "s", "x*"}}, "d/b d/h"},
		{placement.Request{Patterns: []string{"**/c", "l"}, Parents: true}, "d/s/c"},
		{placement.Request{Patterns: []string{"./d/./"}, Parents: true, Exclude: []string{"b"}}, "d/a d/s/c"},
	} {
		c.r.Source = src
		got, err := c.r.Contents()
		var names []string
		for _, p := range got {
			names = append(names, string(p))
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%+v: %q, %v; want %s", c.r.Patterns, names, err, c.want)
		}
	}
	missing := placement.Request{Source: src, Patterns: []string{"none"}, Parents: true}
	var lost *placement.NotFoundError
	if _, err := missing.Contents(); !errors.As(err, &lost) {
		t.Errorf("missing: %v", err)
	}
}

// The content of a hard link whose first name is left out is still there.
func TestPlace_hardLinkToExcluded(t *testing.T) {
	src := fsys(t, "/", "d/", "d/a = A")
	for _, name := range []tree.Path{"d/b", "d/c"} {
		if err := src.Link(name, "d/a"); err != nil {
			t.Fatal(err)
		}
	}
	src.Keep("d/b", "A")
	for _, r := range []placement.Request{
		{Patterns: []string{"d"}, Dest: "n", Exclude: []string{"a"}},
		{Patterns: []string{"./d/./[bc]"}, Dest: "n", Parents: true},
	} {
		if got, err := place(r, src, fsys(t, "/")); err != nil || got != "n/ 755\nn/b = A 644\nn/c == n/b 644" {
			t.Errorf("%v: %v\n%s", r.Patterns, err, got)
		}
	}
}
