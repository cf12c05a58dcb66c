package inplace

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// chance makes roots, and what is done to them, by chance that can be repeated.
type chance struct{ *rand.Rand }

func (c chance) one(of int) bool { return c.IntN(of) == 0 }

// path is one of few, so that much happens to each.
func (c chance) path() tree.Path {
	if c.one(12) {
		return []tree.Path{"top", "etc/new", "var/log/x", "home/app/f"}[c.IntN(4)]
	}
	p := tree.Path("r")
	for range 1 + c.IntN(3) {
		p = p.Join(string('a' + rune(c.IntN(3))))
	}
	return p
}

func (c chance) mode() tree.Mode {
	return []tree.Mode{0o755, 0o644, 0o600, 0o4711, 0o2775, 0o1777, 0, 0o555}[c.IntN(8)]
}

func (c chance) content() string {
	return strings.Repeat(string('a'+rune(c.IntN(20))), []int{0, 1, 4, 4, 100, 70_000}[c.IntN(6)])
}

func (c chance) target() string {
	return []string{"a", "../b", "/r/c", "/r/a/b", "nowhere", "."}[c.IntN(6)]
}

// some is one of the lists of layers, or the beginning of one.
func (c chance) some(known [][]sandbox.Layer, least int) []sandbox.Layer {
	list := known[c.IntN(len(known))]
	return list[:least+c.IntN(len(list)-least+1)]
}

// layer is one layer on top of what is in after, which then has it.
func (c chance) layer(t *testing.T, key string, after *tree.Tree) sandbox.Layer {
	var cs []layer.Change
	o := layer.NewOverlay(after)
	for range 4 + c.IntN(20) {
		p := c.path()
		var ch layer.Change
		switch c.IntN(12) {
		case 0:
			ch = sandboxtest.Delete(p)
		case 1:
			ch = sandboxtest.Opaque(p)
		case 2, 3, 4, 5:
			ch = sandboxtest.Dir(p, c.mode())
		case 6:
			ch = sandboxtest.Symlink(p, c.target())
		case 7:
			target := c.path()
			if n, ok := after.Lookup(target); !ok || n.IsDir() || p.Within(target) || target.Within(p) {
				continue
			}
			ch = sandboxtest.Hard(p, target)
		case 8:
			ch = sandboxtest.File(p, "")
			ch.Node.Type, ch.Node.Mode = tree.Fifo, c.mode()
			ch.Open = nil
		default:
			ch = sandboxtest.File(p, c.content())
			ch.Node.Mode = c.mode()
		}
		if ch.Kind == layer.Put && ch.Hard == "" {
			ch.Node.UID, ch.Node.GID = c.IntN(3), c.IntN(3)
			ch.Node.MTime = time.Unix(1_500_000_000+int64(c.IntN(5)), 0)
			if ch.Node.Type != tree.Symlink && ch.Node.Type != tree.Fifo && c.one(4) {
				ch.Node.Xattrs = tree.Xattrs{"user.a": c.content()[:0] + "v"}
			}
		}
		if err := o.Add(ch); err != nil {
			t.Fatal(err)
		}
		cs = append(cs, ch)
	}
	return sandboxtest.Layer(key, nil, cs...)
}

// command does what a command could. What fails is not done.
func (c chance) command() {
	for range 1 + c.IntN(8) {
		c.act(c.path().Abs(), c.path().Abs())
	}
}

func (c chance) act(p, q string) {
	switch c.IntN(24) {
	case 0, 1, 2:
		write(p, os.O_TRUNC, c.content())
	case 3: // what keeps size and time
		if st, err := os.Lstat(p); err == nil && st.Mode().IsRegular() {
			write(p, 0, strings.Repeat("Z", int(st.Size())))
			_ = os.Chtimes(p, st.ModTime(), st.ModTime())
		}
	case 4:
		write(p, os.O_APPEND, "more")
	case 5, 6:
		_ = os.MkdirAll(p, os.FileMode(c.mode()|0o700))
	case 7, 8:
		_ = disk.Remove(p)
	case 9, 10:
		_ = os.Rename(p, q)
	case 11:
		_ = disk.Remove(q)
		_ = os.Rename(p, q)
	case 12:
		_ = unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, q, unix.RENAME_EXCHANGE)
	case 13, 14:
		_ = os.Link(p, q)
	case 15:
		_ = os.Symlink(c.target(), p)
	case 16:
		_ = unix.Chmod(p, uint32(c.mode()))
	case 17:
		_ = unix.Lchown(p, c.IntN(3), c.IntN(3))
	case 18:
		t := unix.NsecToTimespec(time.Unix(1_500_000_000+int64(c.IntN(3)), int64(c.IntN(3))).UnixNano())
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	case 19:
		_ = unix.Mkfifo(p, 0o644)
	case 20:
		if l, err := net.Listen("unix", p); err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
		}
	case 21:
		_ = unix.Lsetxattr(p, []string{"user.a", "user.b"}[c.IntN(2)], []byte("changed"), 0)
		_ = unix.Lremovexattr(p, "user.a")
	case 22: // new entries of a directory inherit it
		const acl = "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff \x00\x05\x00\xff\xff\xff\xff"
		_ = unix.Lsetxattr(p, "system.posix_acl_default", []byte(acl), 0)
	case 23:
		_ = disk.Remove(p)
		_ = os.MkdirAll(p, 0o755)
		write(filepath.Join(p, "a"), os.O_TRUNC, c.content())
	}
}

// write writes a file, and does not wait for a reader of a pipe.
func write(p string, how int, content string) {
	if f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK|how, 0o644); err == nil {
		_, _ = f.WriteString(content)
		_ = f.Close()
	}
}

// looks is all that can be seen of an entry.
type looks struct {
	Node   tree.Node
	Socket bool
	Hard   tree.Path
	Sum    [sha256.Size]byte
}

// rootLooks is how the root looks. Times are whole seconds if coarse is set, and those
// since the test began are all the same.
func rootLooks(t *testing.T, d *Driver, coarse bool, began time.Time) map[tree.Path]looks {
	t.Helper()
	all := map[tree.Path]looks{}
	held := d.protect.all
	fsys, err := disk.Open("/", disk.Options{Xattrs: true, Skip: func(p tree.Path, _ tree.Type) bool { return held.in[p] }})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	for e, err := range fsys.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		l := looks{Node: e.Node, Hard: e.Hard}
		if e.Node.Type == tree.File {
			l.Sum = sha256.Sum256([]byte(content(t, fsys, e.Path)))
		}
		l.Node.MTime = noted(l.Node.MTime, coarse, began)
		if e.Path == tree.Root {
			l.Node.MTime = time.Time{}
		}
		all[e.Path] = l
	}
	err = filepath.WalkDir("/", func(path string, e fs.DirEntry, err error) error {
		p := tree.Clean(path)
		switch {
		case err != nil:
			return err
		case held.in[p] && e.IsDir():
			return fs.SkipDir
		case e.Type()&fs.ModeSocket != 0:
			all[p] = looks{Socket: true}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func noted(at time.Time, coarse bool, began time.Time) time.Time {
	switch {
	case !at.Before(began.Truncate(time.Second)):
		return time.Time{}
	case coarse:
		return time.Unix(at.Unix(), 0)
	}
	return at
}

// stateLooks is what the driver knows.
func stateLooks(t *testing.T, d *Driver, began time.Time) map[tree.Path]tree.Entry {
	all := map[tree.Path]tree.Entry{}
	for e, err := range d.state.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		e.Node.MTime = noted(e.Node.MTime, true, began)
		all[e.Path] = e
	}
	return all
}

// captured is what a commit tells, with contents.
func captured(t *testing.T, box sandbox.Sandbox, key string) []layer.Change {
	t.Helper()
	var cs []layer.Change
	for c, err := range box.Commit(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Open != nil {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			c.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(b))), nil }
		}
		cs = append(cs, c)
	}
	return cs
}

// told is a layer as it can be compared.
func told(t *testing.T, cs []layer.Change, began time.Time) []string {
	var list []string
	for _, c := range cs {
		s := fmt.Sprintf("%d %s hard=%s ", c.Kind, c.Path, c.Hard)
		if c.Kind == layer.Put && c.Hard == "" {
			c.Node.MTime = noted(c.Node.MTime, true, began)
			s += fmt.Sprintf("%+v", c.Node)
		}
		if c.Open != nil {
			r, _ := c.Open()
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			s += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		list = append(list, s)
	}
	return list
}

// pretend makes the driver believe that a command ran, which the test then is.
func pretend(t *testing.T, of sandbox.Sandbox) {
	t.Helper()
	b := of.(*box)
	if _, err := b.claim(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	prepare := b.d.baseline
	if b.d.ran {
		prepare = b.d.settled
	}
	if err := prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.d.ran = true
}

// story is a few boxes in a row.
type story struct {
	t     *testing.T
	d     *Driver
	seed  uint64
	c     chance
	n     int
	began time.Time
}

// key is one of its own.
func (s *story) key(kind string) string {
	s.n++
	return fmt.Sprintf("%s:%d/%d", kind, s.seed, s.n)
}

// step lets a command do something in the box and captures it.
func (s *story) step(box sandbox.Sandbox) sandbox.Layer {
	s.t.Helper()
	key := s.key("step")
	pretend(s.t, box)
	s.c.command()
	return sandboxtest.Layer(key, nil, captured(s.t, box, key)...)
}

// base makes the layers of an image.
func (s *story) base(shell sandbox.Layer) []sandbox.Layer {
	var after tree.Tree
	layers := []sandbox.Layer{shell}
	for c := range shell.Changes(s.t.Context()) {
		if err := layer.NewOverlay(&after).Add(c); err != nil {
			s.t.Fatal(err)
		}
	}
	for range 1 + s.c.IntN(3) {
		layers = append(layers, s.c.layer(s.t, s.key("base"), &after))
	}
	return layers
}

// more puts commands and layers on top of layers, as a stage does, and gives all.
func (s *story) more(box sandbox.Sandbox, layers []sandbox.Layer) []sandbox.Layer {
	layers = layers[:len(layers):len(layers)]
	for range 1 + s.c.IntN(3) {
		if s.c.one(3) {
			after, err := tree.Copy(box)
			if err != nil {
				s.t.Fatal(err)
			}
			l := s.c.layer(s.t, s.key("copy"), after)
			if err := box.Apply(s.t.Context(), l); err != nil {
				s.t.Fatal(err)
			}
			layers = append(layers, l)
			continue
		}
		layers = append(layers, s.step(box))
	}
	return layers
}

// TestJail_goBack: whatever was done on a root, the next sandbox finds what unpacking
// its layers into an empty one would give it, and captures the same.
func TestJail_goBack(t *testing.T) {
	needJail(t)
	shell := sandboxtest.Shell(t)
	var said []string
	d := newDriver(t, Options{Debug: func(s string) { said = append(said, s) }})
	never := d.watching.never
	went, not := 0, map[string]int{}
	word := regexp.MustCompile(`/\S+`)
	// Other ones on each file system.
	const rounds = 40
	first := uint64(0)
	for i, kind := range []string{"_TMPFS", "_OVERLAY"} {
		if os.Getenv(jailEnv+kind) != "" {
			first = uint64(i+1) * rounds
		}
	}
	for seed := first; seed < first+rounds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d.valid = false
			if d.watching.never = never; seed%3 == 0 {
				d.watching.never = "not wanted"
			}
			s := &story{t: t, d: d, seed: seed, c: chance{rand.New(rand.NewPCG(seed, 30))}, began: time.Now()}
			base := s.base(shell)
			known := [][]sandbox.Layer{base}
			for range 1 + s.c.IntN(3) {
				// A stage begins with an image, or with what an earlier one was at some time.
				layers := s.c.some(known, len(base))
				box := open(t, d, layers...)
				known = append(known, s.more(box, layers))
				box.Close()
			}
			layers := base
			if s.c.one(3) {
				layers = s.c.some(known, len(base))
			}
			said = nil
			box := open(t, d, layers...)
			for _, text := range said {
				if strings.HasPrefix(text, "went back") {
					went++
				} else if why, ok := strings.CutPrefix(text, "does not go back: "); ok {
					not[word.ReplaceAllString(why, "PATH")]++
				}
			}
			coarse := len(layers) > len(base)
			gotRoot, gotState := rootLooks(t, d, coarse, s.began), stateLooks(t, d, s.began)
			pretend(t, box)
			chance{rand.New(rand.NewPCG(seed, 31))}.command()
			gotLayer := told(t, captured(t, box, "x"), s.began)
			box.Close()

			d.valid = false // nothing is known of the root
			box = open(t, d, layers...)
			if diff := cmp.Diff(rootLooks(t, d, coarse, s.began), gotRoot); diff != "" {
				t.Errorf("the root that was gone back to (-unpacked +gone back):\n%s", diff)
			}
			if diff := cmp.Diff(stateLooks(t, d, s.began), gotState); diff != "" {
				t.Errorf("what is known of it (-unpacked +gone back):\n%s", diff)
			}
			pretend(t, box)
			chance{rand.New(rand.NewPCG(seed, 31))}.command()
			if diff := cmp.Diff(told(t, captured(t, box, "y"), s.began), gotLayer); diff != "" {
				t.Errorf("what a command changed (-unpacked +gone back):\n%s", diff)
			}
			box.Close()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("went back %d times of %d; else: %v", went, rounds, not)
	if went < rounds/2 {
		t.Errorf("went back only %d times", went)
	}
}
