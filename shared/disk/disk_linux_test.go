package disk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("owners, devices and trusted attributes need root")
	}
}

func content(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

var someTime = time.Unix(1_500_000_000, 0)

func file(p tree.Path, s string) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Open: content(s), Node: tree.Node{
		Type: tree.File, Mode: 0o644, Size: int64(len(s)), MTime: someTime,
	}}
}

func node(p tree.Path, n tree.Node) layer.Change {
	if n.MTime.IsZero() {
		n.MTime = someTime
	}
	return layer.Change{Path: p, Kind: layer.Put, Node: n}
}

func dir(p tree.Path) layer.Change { return node(p, tree.Node{Type: tree.Dir, Mode: 0o755}) }

func link(p tree.Path, target string) layer.Change {
	return node(p, tree.Node{Type: tree.Symlink, Mode: 0o777, Link: target})
}

func hard(p, target tree.Path) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Hard: target, Node: tree.Node{Type: tree.File}}
}

func gone(p tree.Path) layer.Change   { return layer.Change{Path: p, Kind: layer.Delete} }
func opaque(p tree.Path) layer.Change { return layer.Change{Path: p, Kind: layer.Opaque} }

func stream(cs ...layer.Change) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for _, c := range cs {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, root string, o disk.WriterOptions, cs ...layer.Change) {
	t.Helper()
	if err := disk.WriteAll(t.Context(), root, o, stream(cs...), nil); err != nil {
		t.Fatal(err)
	}
}

// show is a tree in lines that a test can compare.
func show(t testing.TB, fsys tree.FS, contents bool) []string {
	t.Helper()
	var lines []string
	for e, err := range fsys.Walk(tree.Root) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a tree without even a root
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Path == tree.Root {
			continue
		}
		n := e.Node
		mtime := int64(0)
		if !n.MTime.IsZero() {
			mtime = n.MTime.Unix()
		}
		if n.Type == tree.Symlink {
			n.Mode = 0o777
		}
		line := fmt.Sprintf("%s type=%d %04o %d:%d size=%d t=%d link=%q dev=%v x=%v", e.Path, n.Type, n.Mode, n.UID, n.GID, n.Size, mtime, n.Link, n.Dev, n.Xattrs)
		if e.Hard != "" {
			line = fmt.Sprintf("%s hard=%s", e.Path, e.Hard)
		} else if contents && n.Type == tree.File {
			r, err := fsys.Open(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %q", b)
		}
		lines = append(lines, line)
	}
	return lines
}

func open(t testing.TB, root string, o disk.Options) *disk.Dir {
	t.Helper()
	d, err := disk.Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// layers makes random layers in which every kind of change happens to few paths,
// so that they collide a lot.
type layers struct {
	r     *rand.Rand
	trees bool // whiteouts and hard links only of what the kernel's overlay does alike
}

func (l layers) path() tree.Path {
	p := tree.Path(string('a' + rune(l.r.IntN(3))))
	for l.r.IntN(3) > 0 && len(p) < 9 {
		p = p.Join(string('a' + rune(l.r.IntN(3))))
	}
	return p
}

func (l layers) layer(below *tree.Tree) []layer.Change {
	var cs []layer.Change
	t, err := tree.Copy(below)
	if err != nil {
		panic(err)
	}
	o := layer.NewOverlay(t)
	for range l.r.IntN(12) {
		p := l.path()
		mode := tree.Mode(l.r.IntN(int(tree.ModeMask) + 1))
		n := tree.Node{Mode: mode, UID: l.r.IntN(3), GID: l.r.IntN(3), MTime: time.Unix(int64(l.r.IntN(1e9)), 0)}
		if l.r.IntN(4) == 0 {
			n.Xattrs = tree.Xattrs{"trusted.test": fmt.Sprint(l.r.IntN(9))}
		}
		c := layer.Change{Path: p, Kind: layer.Put}
		switch l.r.IntN(9) {
		case 0, 1:
			c.Kind = layer.Delete
			// A lower directory cannot hold the whiteout without its parents.
			if n, ok := t.Lookup(p.Parent()); l.trees && (!ok || !n.IsDir()) {
				continue
			}
		case 2:
			c.Kind = layer.Opaque
			// The kernel has no opaque file, and a layer no opaque of what it does not have.
			if n, ok := t.Lookup(p); !ok || !n.IsDir() {
				continue
			}
		case 3, 4:
			n.Type = tree.Dir
		case 5:
			n.Type, n.Link = tree.Symlink, "/"+string(l.path())
		case 6:
			n.Type = tree.Fifo
		case 7:
			target := l.path()
			if n, ok := t.Lookup(target); !ok || n.IsDir() || target.Within(p) {
				continue
			}
			if l.trees && !slices.ContainsFunc(cs, func(c layer.Change) bool { return c.Path == target }) {
				continue
			}
			// It may be gone by what stands in the way of p.
			c.Hard = target
			if p.Within(target) {
				continue
			}
		default:
			s := strings.Repeat("x", l.r.IntN(5))
			n.Type, n.Size, c.Open = tree.File, int64(len(s)), content(s)
		}
		if c.Kind == layer.Put && c.Hard == "" {
			c.Node = n
		}
		if err := o.Add(c); err != nil {
			panic(err)
		}
		cs = append(cs, c)
	}
	return cs
}

func TestWriter_doesWhatTreeDoes(t *testing.T) {
	needRoot(t)
	for seed := range uint64(400) {
		l := layers{r: rand.New(rand.NewPCG(seed, 1))}
		root, want := t.TempDir(), &tree.Tree{}
		for n := range 3 {
			cs := l.layer(want)
			write(t, root, disk.WriterOptions{}, cs...)
			if err := layer.Overlay(want, stream(cs...)); err != nil {
				t.Fatal(err)
			}
			got := show(t, open(t, root, disk.Options{Xattrs: true}), false)
			if d := cmp.Diff(show(t, want, false), got); d != "" {
				for _, c := range cs {
					t.Logf("%+v", c)
				}
				t.Fatalf("seed %d, layer %d (-tree +disk):\n%s", seed, n, d)
			}
		}
	}
}

// The kernel's overlayfs is the judge of the form for lower directories.
func TestWriter_overlayLower(t *testing.T) {
	needRoot(t)
	for seed := range uint64(150) {
		l := layers{r: rand.New(rand.NewPCG(seed, 2)), trees: true}
		base := t.TempDir()
		want := &tree.Tree{}
		want.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755})
		var lowers []string
		var all [][]layer.Change
		for n := range 3 {
			lower := filepath.Join(base, fmt.Sprint(n))
			if err := os.Mkdir(lower, 0o755); err != nil {
				t.Fatal(err)
			}
			cs := l.layer(want)
			all = append(all, cs)
			w, err := disk.NewWriter(lower, disk.WriterOptions{Whiteouts: disk.Trusted})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cs {
				if _, err := w.Put(c); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := layer.Overlay(want, stream(cs...)); err != nil {
				t.Fatal(err)
			}
			// What a driver does with directories that this layer did not describe.
			var repair []layer.Change
			for _, p := range w.Implied() {
				if n, ok := want.Lookup(p); ok && n.IsDir() {
					repair = append(repair, layer.Change{Path: p, Kind: layer.Put, Node: n})
				}
			}
			write(t, lower, disk.WriterOptions{Whiteouts: disk.Trusted}, repair...)
			lowers = append(lowers, lower)
		}
		slices.Reverse(lowers)
		merged := filepath.Join(base, "merged")
		if err := os.Mkdir(merged, 0o755); err != nil {
			t.Fatal(err)
		}
		err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lowers, ":"))
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			t.Skipf("no overlayfs can be mounted here: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, err := disk.Open(merged, disk.Options{Xattrs: true})
		if err != nil {
			t.Fatal(err)
		}
		got := show(t, d, false)
		d.Close()
		if err := unix.Unmount(merged, 0); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(show(t, want, false), got); d != "" {
			for n, cs := range all {
				for _, c := range cs {
					t.Logf("%d %+v", n, c)
				}
			}
			t.Fatalf("seed %d (-tree +overlay):\n%s", seed, d)
		}
	}
}

func TestWriter_staysInside(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []layer.Change
		fails   bool
	}{
		{"put through a link", []layer.Change{link("a", "OUT"), file("a/x", "new")}, false},
		{"put through a link to a file", []layer.Change{link("a", "OUT/x"), file("a", "new")}, false},
		{"directory over a link", []layer.Change{link("a", "OUT"), dir("a"), file("a/x", "new")}, false},
		{"delete through a link", []layer.Change{link("a", "OUT"), gone("a/x")}, false},
		{"opaque through a link", []layer.Change{link("a", "OUT"), opaque("a")}, false},
		{"hard link through a link", []layer.Change{link("a", "OUT"), hard("b", "a/x")}, true},
		{"hard link to a link", []layer.Change{link("a", "OUT/x"), hard("b", "a"), file("b", "new")}, false},
		{"chmod through a link", []layer.Change{link("a", "OUT"), node("a", tree.Node{Type: tree.Fifo, Mode: 0o600})}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, root := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(out, "x"), []byte("old"), 0o640); err != nil {
				t.Fatal(err)
			}
			before := show(t, open(t, out, disk.Options{}), true)
			for i := range tt.changes {
				n := &tt.changes[i].Node
				n.UID, n.GID = os.Geteuid(), os.Getegid()
				n.Link = strings.Replace(n.Link, "OUT", out, 1)
			}
			// As one layer, and as one layer for each change.
			err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(tt.changes...), nil)
			if (err != nil) != tt.fails {
				t.Errorf("one layer: %v", err)
			}
			root = t.TempDir()
			for _, c := range tt.changes {
				err = disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(c), nil)
			}
			if (err != nil) != tt.fails {
				t.Errorf("many layers: %v", err)
			}
			if d := cmp.Diff(before, show(t, open(t, out, disk.Options{}), true)); d != "" {
				t.Errorf("outside changed:\n%s", d)
			}
		})
	}
}

func TestWriter_metadata(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	suid := file("d/suid", "x")
	suid.Node.Mode, suid.Node.UID, suid.Node.GID = 0o6755, 12, 34
	caps := file("d/caps", "x")
	caps.Node.UID, caps.Node.Xattrs = 5, tree.Xattrs{"security.capability": capability, "user.x": "y"}
	none := file("d/none", "x")
	none.Node.Mode = 0
	open777 := file("d/open", "x")
	open777.Node.Mode = 0o777
	cs := []layer.Change{
		node("d", tree.Node{Type: tree.Dir, Mode: 0o3775, UID: 7, GID: 8, MTime: time.Unix(1, 5)}),
		suid, caps, none, open777, hard("d/suid2", "d/suid"),
		node("d/pipe", tree.Node{Type: tree.Fifo, Mode: 0o622}),
		node("d/null", tree.Node{Type: tree.CharDevice, Mode: 0o666, Dev: tree.Dev{Major: 1, Minor: 3}}),
		node("d/block", tree.Node{Type: tree.BlockDevice, Mode: 0o660, GID: 6, Dev: tree.Dev{Major: 259, Minor: 1 << 18}}),
		node("d/link", tree.Node{Type: tree.Symlink, Mode: 0o777, UID: 3, GID: 4, Link: "nowhere", MTime: time.Unix(-5, 0)}),
		node("old", tree.Node{Type: tree.Dir, Mode: 0o555, MTime: time.Unix(77, 0)}),
		node("z", tree.Node{Type: tree.Dir, Mode: 0o700, UID: 1<<32 - 2, GID: 1 << 22}),
		node("d/last", tree.Node{Type: tree.Dir, Mode: 0o711, MTime: time.Unix(2, 0)}),
	}
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	write(t, root, disk.WriterOptions{}, cs...)
	write(t, root, disk.WriterOptions{}, file("old/child", "later"))
	want := &tree.Tree{}
	if err := layer.Overlay(want, stream(append(cs, file("old/child", "later"))...)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(show(t, want, false), show(t, open(t, root, disk.Options{Xattrs: true}), false)); d != "" {
		t.Error(d)
	}
}

func TestWriter_inheritsNothing(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	// user::rwx group::rwx other::rwx as a default list, which children inherit.
	acl := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x07\x00\xff\xff\xff\xff\x08\x00\x07\x00\x03\x00\x00\x00\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x07\x00\xff\xff\xff\xff"
	n := tree.Node{Type: tree.Dir, Mode: 0o2775, GID: 50, Xattrs: tree.Xattrs{"system.posix_acl_default": acl}}
	err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(node("d", n)), nil)
	if errors.As(err, new(disk.Refusal)) {
		t.Skipf("no access control lists here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cs := []layer.Change{
		file("d/f", "x"), dir("d/sub"), node("d/p", tree.Node{Type: tree.Fifo, Mode: 0o600}), file("d/sub/f", "x"), link("d/l", "x"),
	}
	write(t, root, disk.WriterOptions{}, cs...)
	want := &tree.Tree{}
	if err := layer.Overlay(want, stream(append([]layer.Change{node("d", n)}, cs...)...)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(show(t, want, false), show(t, open(t, root, disk.Options{Xattrs: true}), false)); d != "" {
		t.Error(d)
	}
}

func TestWriter_content(t *testing.T) {
	root := t.TempDir()
	big := strings.Repeat("\x00", 3<<20) + "x" + strings.Repeat("\x00", 1<<20)
	mine := func(c layer.Change) layer.Change {
		c.Node.UID, c.Node.GID = os.Geteuid(), os.Getegid()
		return c
	}
	sums := map[tree.Path]uint64{}
	err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(mine(file("big", big)), mine(file("a", "hello")), mine(file("e", ""))),
		func(c layer.Change, n tree.Node) error {
			sums[c.Path] = n.Fingerprint
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[tree.Path]string{"big": big, "a": "hello", "e": ""} {
		h := tree.NewFingerprint()
		io.WriteString(h, s)
		if sums[name] != h.Sum64() {
			t.Errorf("%s: fingerprint %x, want %x", name, sums[name], h.Sum64())
		}
		if b, err := os.ReadFile(filepath.Join(root, string(name))); err != nil || string(b) != s {
			t.Errorf("%s: other content, %v", name, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "big"), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > 1<<20 {
		t.Errorf("4 MiB of zeros take %d bytes on disk", used)
	}
	short := mine(file("short", "12345"))
	short.Node.Size = 6
	long := mine(file("long", "12345"))
	long.Node.Size = 4
	for _, c := range []layer.Change{short, long} {
		if err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(c), nil); err == nil {
			t.Errorf("%s: wrong size taken", c.Path)
		}
	}
	bad := errors.New("the network went away")
	c := mine(file("broken", "12345"))
	c.Open = func() (io.ReadCloser, error) { return nil, bad }
	if err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(c), nil); !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := disk.WriteAll(ctx, root, disk.WriterOptions{}, stream(c), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestWriter_full(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	err := disk.WriteAll(t.Context(), root, disk.WriterOptions{}, stream(file("big", strings.Repeat("x", 1<<20))), nil)
	var full *disk.FullError
	if !errors.As(err, &full) || !errors.Is(err, unix.ENOSPC) || full.Hint() == "" {
		t.Errorf("got %v, want a FullError", err)
	}
}

func TestWriter_refused(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	// A device 0:0 cannot stand in a lower directory, where it means a whiteout.
	c := node("dev", tree.Node{Type: tree.CharDevice, Mode: 0o600})
	bad := file("f", "x")
	bad.Node.Xattrs = tree.Xattrs{"nonsense.x": "y"}
	for _, tt := range []struct {
		c    layer.Change
		want disk.Refusal
	}{
		{c, disk.Refusal{Path: "dev", What: "device node", Gone: true, Err: unix.EPERM}},
		{bad, disk.Refusal{Path: "f", What: "nonsense.x", Err: unix.ENOTSUP}},
	} {
		var got []disk.Refusal
		o := disk.WriterOptions{Whiteouts: disk.Trusted}
		if err := disk.WriteAll(t.Context(), root, o, stream(tt.c), nil); !errors.Is(err, tt.want) {
			t.Errorf("nobody to tell: %v, want %v", err, tt.want)
		}
		o.Refused = func(r disk.Refusal) error { got = append(got, r); return nil }
		write(t, root, o, tt.c)
		if len(got) != 1 || got[0] != tt.want {
			t.Errorf("told %v, want %v", got, tt.want)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "dev")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a device is there: %v", err)
	}
}

func TestWriter_held(t *testing.T) {
	root := t.TempDir()
	for _, p := range []string{"var/run/secrets/token", "var/lib/x", "var/run/other"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, p), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := disk.WriterOptions{Held: []tree.Path{"var/run/secrets"}}
	write(t, root, o, gone("var"))
	want := []string{"var", "var/run", "var/run/secrets", "var/run/secrets/token"}
	var got []string
	for e, err := range open(t, root, disk.Options{}).Walk("var") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Path))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("after the deletion of var:\n%s", d)
	}
	for _, c := range []layer.Change{link("var/run", "/run"), gone("var/run/secrets/token"), link("var/run/secrets", "x"), file("var", "x")} {
		c.Node.UID, c.Node.GID = os.Geteuid(), os.Getegid()
		if err := disk.WriteAll(t.Context(), root, o, stream(c), nil); err == nil {
			t.Errorf("%+v: what is held was touched", c)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "var/run/secrets/token")); err != nil {
		t.Error(err)
	}
}

func TestDir_walk(t *testing.T) {
	root := t.TempDir()
	for _, p := range []string{"a/x", "a.b", "a-b", "b/c/d", "B"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, p), []byte(p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for p, target := range map[string]string{"b/link": "../a", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(root, p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(root, "b/c/d"), filepath.Join(root, "b/c/e")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "b/sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	walk := func(from tree.Path, o disk.Options) (got []string) {
		for e, err := range open(t, root, o).Walk(from) {
			if err != nil {
				return append(got, fmt.Sprint("error ", errors.Is(err, fs.ErrNotExist)))
			}
			s := string(e.Path)
			if e.Hard != "" {
				s += "=" + string(e.Hard)
			}
			got = append(got, s)
		}
		return got
	}
	for _, tt := range []struct {
		from tree.Path
		o    disk.Options
		want []string
	}{
		{"", disk.Options{}, []string{"", "B", "a", "a/x", "a-b", "a.b", "b", "b/c", "b/c/d", "b/c/e=b/c/d", "b/link", "loop"}},
		{"b/c", disk.Options{}, []string{"b/c", "b/c/d", "b/c/e=b/c/d"}},
		{"b/c/e", disk.Options{}, []string{"b/c/e"}},
		{"b/link", disk.Options{}, []string{"b/link"}},
		{"b/link/x", disk.Options{}, []string{"error true"}},
		{"a.b/x", disk.Options{}, []string{"error true"}},
		{"none", disk.Options{}, []string{"error true"}},
		{"b/sock", disk.Options{}, []string{"error true"}},
		{"", disk.Options{Skip: func(p tree.Path, ty tree.Type) bool { return p == "b" && ty == tree.Dir || p == "loop" }},
			[]string{"", "B", "a", "a/x", "a-b", "a.b"}},
	} {
		if d := cmp.Diff(tt.want, walk(tt.from, tt.o)); d != "" {
			t.Errorf("walk of %q:\n%s", tt.from, d)
		}
	}
	paths := walk("", disk.Options{})
	if !slices.IsSortedFunc(paths[:8], func(a, b string) int { return tree.Compare(tree.Path(a), tree.Path(b)) }) {
		t.Errorf("order is not tree.Compare's: %q", paths)
	}
}

func TestDir_open(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "d/f"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for p, target := range map[string]string{"link": "d/f", "dirlink": "d", "null": "/dev/null"} {
		if err := os.Symlink(target, filepath.Join(root, p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, root, disk.Options{})
	r, err := d.Open("d/f")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(b); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range []tree.Path{"link", "dirlink/f", "null", "pipe", "d", "", "none"} {
			if r, err := d.Open(p); err == nil {
				r.Close()
				t.Errorf("opened %q", p)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Open blocks")
	}
}

func TestRemove(t *testing.T) {
	base, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "keep"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(base, "root")
	deep := root + strings.Repeat("/d", 300)
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(deep, fmt.Sprint(i)), nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(out, filepath.Join(deep, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out, filepath.Join(base, "top")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "d/d"), 0); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"root", "top", "missing", "top"} {
		if err := disk.Remove(filepath.Join(base, p)); err != nil {
			t.Error(err)
		}
	}
	if names, _ := os.ReadDir(base); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
	if _, err := os.Stat(filepath.Join(out, "keep")); err != nil {
		t.Error(err)
	}
	if err := disk.Remove("/"); err == nil {
		t.Fatal("removed /")
	}
}

func TestRemove_sparesMounts(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	mount := filepath.Join(root, "a/mount")
	if err := os.MkdirAll(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, ""); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(mount, "keep"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(filepath.Join(root, "a")); err == nil {
		t.Error("removed what is mounted")
	}
	if err := os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := disk.Empty(root, []tree.Path{"a/mount"}); err != nil {
		t.Error(err)
	}
	want := []string{"a", "a/mount", "a/mount/keep"}
	var got []string
	for e, err := range open(t, root, disk.Options{}).Walk("a") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Path))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// benchFiles is the number of small files of the benchmarks, in directories of 100.
const benchFiles = 50_000

func small(yield func(layer.Change, error) bool) {
	body := strings.Repeat("x", 500)
	for i := range benchFiles {
		p := tree.Path(fmt.Sprintf("d%03d", i/100))
		if i%100 == 0 && !yield(dir(p), nil) {
			return
		}
		if !yield(file(p.Join(fmt.Sprint(i)), body), nil) {
			return
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	needRoot(b)
	for range b.N {
		root := b.TempDir()
		if err := disk.WriteAll(b.Context(), root, disk.WriterOptions{}, small, nil); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := disk.Remove(root); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkWalk(b *testing.B) {
	needRoot(b)
	root := b.TempDir()
	if err := disk.WriteAll(b.Context(), root, disk.WriterOptions{}, small, nil); err != nil {
		b.Fatal(err)
	}
	for _, o := range []disk.Options{{}, {Xattrs: true}} {
		b.Run(fmt.Sprintf("xattrs=%v", o.Xattrs), func(b *testing.B) {
			d := open(b, root, o)
			for range b.N {
				for _, err := range d.Walk(tree.Root) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	b.Run("read", func(b *testing.B) {
		d := open(b, root, disk.Options{})
		for range b.N {
			for e, err := range d.Walk(tree.Root) {
				if err != nil {
					b.Fatal(err)
				}
				if e.Node.Type != tree.File {
					continue
				}
				r, err := d.Open(e.Path)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		}
	})
}

func BenchmarkRemove(b *testing.B) {
	needRoot(b)
	for range b.N {
		b.StopTimer()
		root := b.TempDir()
		if err := disk.WriteAll(b.Context(), root, disk.WriterOptions{}, small, nil); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := disk.Remove(root); err != nil {
			b.Fatal(err)
		}
	}
}
