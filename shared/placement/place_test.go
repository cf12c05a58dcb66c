package placement_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// fsys makes a tree of lines "path [-> link | = content | /] [mode] [uid:gid]";
// a path that ends in a slash is a directory.
func fsys(t *testing.T, lines ...string) *tree.Tree {
	t.Helper()
	tr := &tree.Tree{}
	for _, line := range lines {
		f := strings.Fields(line)
		n := tree.Node{Type: tree.File, Mode: 0o644, MTime: time.Unix(100, 0)}
		if strings.HasSuffix(f[0], "/") {
			n.Type, n.Mode = tree.Dir, 0o755
		}
		content := ""
		for i := 1; i < len(f); i++ {
			switch {
			case f[i] == "->":
				n.Type, n.Link, n.Mode = tree.Symlink, f[i+1], 0o777
				i++
			case f[i] == "=":
				content = strings.ReplaceAll(f[i+1], "|", "\n")
				n.Size = int64(len(content))
				i++
			case strings.Contains(f[i], ":"):
				fmt.Sscanf(f[i], "%d:%d", &n.UID, &n.GID)
			default:
				fmt.Sscanf(f[i], "%o", &n.Mode)
			}
		}
		p := tree.Clean(f[0])
		tr.Put(p, n)
		if n.Type == tree.File {
			tr.Keep(p, content)
		}
	}
	return tr
}

// text is the stream as lines; parents that were there already are left out.
func text(root tree.FS, changes layer.Changes) (string, error) {
	var lines []string
	for c, err := range changes {
		if err != nil {
			return strings.Join(lines, "\n"), err
		}
		if e, err := tree.Stat(root, c.Path); err == nil && c.Node.IsDir() {
			e.Node.MTime = c.Node.MTime
			if e.Node.SameMetadata(c.Node) {
				continue
			}
		}
		s := string(c.Path)
		switch {
		case c.Hard != "":
			s += " == " + string(c.Hard)
		case c.Node.Type == tree.Dir:
			s += "/"
		case c.Node.Type == tree.Symlink:
			s += " -> " + c.Node.Link
		case c.Open != nil:
			r, err := c.Open()
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(r)
			if err != nil {
				return "", err
			}
			if len(b) > 0 {
				s += " = " + string(b)
			}
		}
		if c.Node.Type != tree.Symlink {
			s += fmt.Sprintf(" %o", c.Node.Mode)
		}
		if c.Node.UID != 0 || c.Node.GID != 0 {
			s += fmt.Sprintf(" %d:%d", c.Node.UID, c.Node.GID)
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n"), nil
}

func mode(m tree.Mode) *dockerfile.ModeChange {
	change, err := dockerfile.ParseMode(fmt.Sprintf("%o", m))
	if err != nil {
		panic(err)
	}
	return &change
}

func TestPlace(t *testing.T) {
	src := fsys(t,
		"f = F 640 7:7", "suid = S 4755", "dir/", "dir/a = A 600 5:5", "dir/sub/ 700 6:6", "dir/sub/b = B",
		"dir/l -> a", "dir/dangling -> /none", "empty/", "tofile -> f", "todir -> dir", "out -> ../../../f",
		"x.go = 1", "y.go = 2", "[z] = Z", "one/two/three = 3",
	)
	root := fsys(t,
		"/", "etc/", "etc/passwd = root:x:0:0::/root:/bin/sh|app:x:10:20::/:/bin/sh", "etc/group = root:x:0:|web:x:30:app",
		"there/ 711 9:9", "there/sub/ 711 9:9", "link -> /there", "lf -> there/old", "dl -> /missing/x", "there/old = o", "file = f",
		"there/tl -> old",
	)
	for _, c := range []struct {
		name string
		r    placement.Request
		want string
	}{
		{"1 directory means its contents", placement.Request{Patterns: []string{"dir"}, Dest: "d"},
			"d/ 755\nd/a = A 600\nd/dangling -> /none\nd/l -> a\nd/sub/ 700\nd/sub/b = B 644"},
		{"1 directory with a dot", placement.Request{Patterns: []string{"dir/."}, Dest: "d", DestDir: true},
			"d/ 755\nd/a = A 600\nd/dangling -> /none\nd/l -> a\nd/sub/ 700\nd/sub/b = B 644"},
		{"2 file to a directory that exists", placement.Request{Patterns: []string{"f"}, Dest: "there"}, "there/f = F 640"},
		{"2 file to a new name", placement.Request{Patterns: []string{"f"}, Dest: "new/name"}, "new/ 755\nnew/name = F 640"},
		{"3 slash makes a directory", placement.Request{Patterns: []string{"f"}, Dest: "d", DestDir: true}, "d/ 755\nd/f = F 640"},
		{"5 one match is renamed", placement.Request{Patterns: []string{"x.*"}, Dest: "main"}, "main = 1 644"},
		{"6 no match beside a match", placement.Request{Patterns: []string{"nope*", "f"}, Dest: "there"}, "there/f = F 640"},
		{"6 no match at all", placement.Request{Patterns: []string{"nope*"}, Dest: "new"}, ""},
		{"7 matched directories are merged", placement.Request{Patterns: []string{"one*", "*mpty"}, Dest: "d", DestDir: true}, "d/ 755\nd/two/ 755\nd/two/three = 3 644"},
		{"8 escaped class", placement.Request{Patterns: []string{"[[]z]"}, Dest: "z"}, "z = Z 644"},
		{"9 clamped", placement.Request{Patterns: []string{"../../f"}, Dest: "d"}, "d = F 640"},
		{"10 link to file", placement.Request{Patterns: []string{"tofile"}, Dest: "there"}, "there/tofile = F 640"},
		{"10 link to directory", placement.Request{Patterns: []string{"todi*"}, Dest: "d", DestDir: true},
			"d/ 755\nd/a = A 600\nd/dangling -> /none\nd/l -> a\nd/sub/ 700\nd/sub/b = B 644"},
		{"12 link out of the context", placement.Request{Patterns: []string{"out"}, Dest: "d"}, "d = F 640"},
		{"15 destination is a link to a directory", placement.Request{Patterns: []string{"f"}, Dest: "link"}, "there/f = F 640"},
		{"16 destination is a link to a file", placement.Request{Patterns: []string{"f"}, Dest: "lf"}, "there/old = F 640"},
		{"16 destination is a dangling link", placement.Request{Patterns: []string{"f"}, Dest: "dl"}, "missing/ 755\nmissing/x = F 640"},
		{"17 parent is a link", placement.Request{Patterns: []string{"f"}, Dest: "link/n/f"}, "there/n/ 755\nthere/n/f = F 640"},
		{"16 destination is a link below a directory", placement.Request{Patterns: []string{"f"}, Dest: "there/tl"}, "there/old = F 640"},
		{"18 chown reaches new parents", placement.Request{Patterns: []string{"f"}, Dest: "n/m/f", Owner: &placement.Owner{UID: 1, GID: 2}},
			"n/ 755 1:2\nn/m/ 755 1:2\nn/m/f = F 640 1:2"},
		{"18 chmod reaches new parents", placement.Request{Patterns: []string{"f"}, Dest: "n/f", Mode: mode(0o711)}, "n/ 711\nn/f = F 711"},
		{"19 existing directory stays", placement.Request{Patterns: []string{"dir"}, Dest: "there", Owner: &placement.Owner{UID: 1, GID: 1}},
			"there/a = A 600 1:1\nthere/dangling -> /none 1:1\nthere/l -> a 1:1\nthere/sub/ 700 1:1\nthere/sub/b = B 644 1:1"},
		{"20 new directory from a stage is root's", placement.Request{Patterns: []string{"dir/sub"}, Dest: "d", KeepOwner: true}, "d/ 755\nd/b = B 644"},
		{"20 children from a stage keep their owners", placement.Request{Patterns: []string{"dir"}, Dest: "there", KeepOwner: true},
			"there/a = A 600 5:5\nthere/dangling -> /none\nthere/l -> a\nthere/sub/ 700 6:6\nthere/sub/b = B 644"},
		{"21 setuid is kept, owners are not", placement.Request{Patterns: []string{"suid"}, Dest: "s"}, "s = S 4755"},
		{"25 chmod spares links", placement.Request{Patterns: []string{"dir/l*", "dir"}, Dest: "d", DestDir: true, Mode: mode(0o500)},
			"d/ 500\nd/l = A 500\nd/a = A 500\nd/dangling -> /none\nd/l -> a\nd/sub/ 500\nd/sub/b = B 500"},
		{"33 empty directory", placement.Request{Patterns: []string{"empty"}, Dest: "e"}, "e/ 755"},
		{"33 empty directory onto one that exists", placement.Request{Patterns: []string{"empty"}, Dest: "there"}, ""},
		{"38 inline", placement.Request{Inline: []placement.Inline{{Name: "a", Data: "1"}, {Name: "b", Data: "2"}}, Dest: "i", DestDir: true},
			"i/ 755\ni/a = 1 644\ni/b = 2 644"},
		{"to the root", placement.Request{Patterns: []string{"x.go", "y.go"}, Dest: "", DestDir: true}, "x.go = 1 644\ny.go = 2 644"},
	} {
		c.r.Source = src
		if got, err := text(root, placement.Place(c.r, root)); err != nil || got != c.want {
			t.Errorf("%s: %v\ngot:\n%s\nwant:\n%s", c.name, err, got, c.want)
		}
	}
}

func TestPlace_refuses(t *testing.T) {
	src := fsys(t, "f = F", "dir/", "dir/d/", "dir/d/x = X", "dir/e = E")
	root := fsys(t, "/", "file = f", "t/d = file", "u/e/")
	for name, r := range map[string]placement.Request{
		"4 several sources to a file":      {Patterns: []string{"f", "dir/e"}, Dest: "new"},
		"4 several matches to a file":      {Patterns: []string{"dir/*"}, Dest: "new"},
		"missing source":                   {Patterns: []string{"f", "none"}, Dest: "new", DestDir: true},
		"directory onto a file":            {Patterns: []string{"dir"}, Dest: "file"},
		"into a file":                      {Patterns: []string{"f"}, Dest: "file", DestDir: true},
		"below a file":                     {Patterns: []string{"f"}, Dest: "file/x"},
		"28 directory meets file":          {Patterns: []string{"dir"}, Dest: "t"},
		"28 file meets directory":          {Patterns: []string{"dir"}, Dest: "u"},
		"bad pattern":                      {Patterns: []string{"[a-"}, Dest: "x"},
		"inline file meets directory":      {Inline: []placement.Inline{{Name: "e"}}, Dest: "u", DestDir: true},
		"working directory below a file":   {Patterns: []string{"f"}, Dest: "file/sub/dir"},
		"several sources to existing file": {Patterns: []string{"f", "dir/e"}, Dest: "file"},
	} {
		r.Source = src
		if got, err := text(root, placement.Place(r, root)); err == nil {
			t.Errorf("%s: no error; placed\n%s", name, got)
		}
	}
	_, err := text(root, placement.Place(placement.Request{Source: src, Patterns: []string{"none"}, Dest: "x"}, root))
	var missing *placement.NotFoundError
	if !errors.As(err, &missing) || missing.Hint() == "" {
		t.Errorf("missing source: %v", err)
	}
}

func TestPlace_hardLinks(t *testing.T) {
	src := fsys(t, "d/", "d/a = A", "d/soft -> a")
	for name, of := range map[tree.Path]tree.Path{"d/b": "d/a", "d/softer": "d/soft"} {
		if err := src.Link(name, of); err != nil {
			t.Fatal(err)
		}
	}
	got, err := text(fsys(t, "/"), placement.Place(placement.Request{Source: src, Patterns: []string{"d"}, Dest: "n"}, fsys(t, "/")))
	if want := "n/ 755\nn/a = A 644\nn/b == n/a 644\nn/soft -> a\nn/softer -> a"; err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestPlace_everyDirectoryOnTheWayIsInTheLayer(t *testing.T) {
	root := fsys(t, "/", "a/ 700", "a/b/ 711 3:3")
	var got []string
	for c, err := range placement.Place(placement.Request{Source: fsys(t, "f"), Patterns: []string{"f"}, Dest: "a/b/f"}, root) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %o", c.Path, c.Node.Mode))
	}
	if want := []string{"a 700", "a/b 711", "a/b/f 644"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func archive(t *testing.T, zip bool, headers ...*tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	var w io.Writer = &b
	z := gzip.NewWriter(&b)
	if zip {
		w = z
	}
	tw := tar.NewWriter(w)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 1
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(tw, "c")
		}
	}
	tw.Close()
	if zip {
		z.Close()
	}
	return b.String()
}

func TestPlace_unpack(t *testing.T) {
	headers := func() []*tar.Header {
		return []*tar.Header{
			{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700, Uid: 8},
			{Name: "lib/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 8},
			{Name: "lib/f", Typeflag: tar.TypeReg, Mode: 0o4711, Uid: 8, Gid: 9},
			{Name: "lib/h", Typeflag: tar.TypeLink, Linkname: "lib/f", Mode: 0o4711, Uid: 8, Gid: 9},
			{Name: "l64", Typeflag: tar.TypeSymlink, Linkname: "lib"},
			{Name: "l64/g", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "../../up", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: "/lib"},
			{Name: "abs/x", Typeflag: tar.TypeReg, Mode: 0o644},
		}
	}
	root := fsys(t, "/", "etc/", "usrlocal/ 711 4:4", "local -> usrlocal")
	want := "usrlocal/lib/ 750 8:0\nusrlocal/lib/f = c 4711 8:9\nusrlocal/lib/h == usrlocal/lib/f 4711 8:9\nusrlocal/l64 -> lib\n" +
		"usrlocal/lib/g = c 644\nusrlocal/up = c 644\nusrlocal/abs -> /lib\nusrlocal/lib/x = c 644"
	for _, zip := range []bool{false, true} {
		src := fsys(t, "a.bin", "not.tar.gz = text")
		content := archive(t, zip, headers()...)
		src.Put("a.bin", tree.Node{Type: tree.File, Size: int64(len(content))})
		src.Keep("a.bin", content)
		r := placement.Request{Source: src, Patterns: []string{"a.bin"}, Dest: "local", Unpack: true}
		if got, err := text(root, placement.Place(r, root)); err != nil || got != want {
			t.Errorf("gzip %v: %v\ngot:\n%s\nwant:\n%s", zip, err, got, want)
		}
		r.Patterns = []string{"not.tar.gz"}
		if got, err := text(root, placement.Place(r, root)); err != nil || got != "usrlocal/not.tar.gz = text 644" {
			t.Errorf("41 no archive: %v\n%s", err, got)
		}
		r.Patterns, r.Unpack = []string{"a.bin"}, false
		if got, err := text(root, placement.Place(r, root)); err != nil || !strings.HasPrefix(got, "usrlocal/a.bin") {
			t.Errorf("COPY of an archive: %v\n%s", err, got)
		}
	}
	owned := placement.Request{Patterns: []string{"a"}, Dest: "o", Unpack: true, Owner: &placement.Owner{UID: 1, GID: 1}}
	src := fsys(t, "a")
	src.Keep("a", archive(t, false, headers()[1:3]...))
	src.Put("a", tree.Node{Type: tree.File, Size: 1})
	src.Keep("a", archive(t, false, headers()[1:3]...))
	owned.Source = src
	if got, err := text(root, placement.Place(owned, root)); err != nil || got != "o/ 755 1:1\no/lib/ 750 1:1\no/lib/f = c 4711 1:1" {
		t.Errorf("45 chown overrides: %v\n%s", err, got)
	}
}

func TestMakeDir(t *testing.T) {
	root := fsys(t, "/", "srv/ 700", "l -> srv", "f = x")
	owner := &placement.Owner{UID: 3, GID: 4}
	for dest, want := range map[tree.Path]string{
		"a/b": "a/ 755 3:4\na/b/ 755 3:4", "srv": "", "l/x": "srv/x/ 755 3:4", "": "", "l": "",
	} {
		if got, err := text(root, placement.MakeDir(placement.Request{Dest: dest, Owner: owner}, root)); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", dest, got, err, want)
		}
	}
	for _, dest := range []tree.Path{"f", "f/x"} {
		if _, err := text(root, placement.MakeDir(placement.Request{Dest: dest}, root)); err == nil {
			t.Errorf("117 %q is no directory: no error", dest)
		}
	}
}

func TestParseOwner(t *testing.T) {
	root := fsys(t, "/", "etc/passwd = root:x:0:0::/root:/bin/sh|app:x:10:20::/:/bin/sh|broken", "etc/group = web:x:30:|broken:x")
	want := map[string]placement.Owner{
		"": {}, "app": {UID: 10, GID: 20}, "app:web": {UID: 10, GID: 30}, ":web": {GID: 30}, "7": {UID: 7, GID: 7}, "7:8": {UID: 7, GID: 8},
		"7:web": {UID: 7, GID: 30}, "app:0": {UID: 10}, "4294967294": {UID: 4294967294, GID: 4294967294},
	}
	for _, spec := range slices.Sorted(maps.Keys(want)) {
		if got, err := placement.ParseOwner(root, spec); err != nil || got != want[spec] {
			t.Errorf("%q: %v, %v; want %v", spec, got, err, want[spec])
		}
	}
	for _, spec := range []string{"nobody", "app:none", "4294967295", "-1"} {
		if got, err := placement.ParseOwner(root, spec); err == nil || !strings.Contains(err.Error(), "/etc/") {
			t.Errorf("%q: %v, %v; want an error that names the file", spec, got, err)
		}
	}
	if _, err := placement.ParseOwner(fsys(t, "/"), "app"); err == nil || !strings.Contains(err.Error(), "no /etc/passwd") {
		t.Errorf("23 scratch: %v", err)
	}
}
