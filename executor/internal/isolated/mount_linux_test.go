package isolated

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func ro(m sandbox.Mount) sandbox.Mount {
	m.ReadOnly = true
	return m
}

func shows(fsys tree.FS, from, at tree.Path) sandbox.Mount {
	return sandbox.Mount{Target: at, Files: &sandbox.Bind{FS: fsys, From: from}}
}

// doWith runs toys with mounts.
func doWith(t *testing.T, b sandbox.Sandbox, line string, ms ...sandbox.Mount) string {
	t.Helper()
	out, err := try1(t, b, sandbox.Process{Args: append([]string{"/toy"}, strings.Fields(line)...), Mounts: ms})
	if err != nil {
		t.Errorf("%s: %v: %s", line, err, out)
	}
	return out
}

// TestInsideMounts is what even a namespace with one user id can do.
func TestInsideMounts(t *testing.T) {
	d := driverFor(t)
	other := boxWith(t, d, lay("one", dir("d"), file("d/f", "layer"), file("gone", "x")), lay("two", gone("gone")))
	b := boxWith(t, d)
	cache := t.TempDir()
	out := doWith(t, b, "cat /s/s ; cat /o/d/f ; absent /o/gone ; write /c/x kept ; write /t/x lost ; refused /s/s ; refused /o/d/f",
		ro(sandbox.Mount{Target: "s/s", File: &sandbox.Secret{Data: []byte("hush"), Mode: 0o400}}),
		ro(shows(other, tree.Root, "o")),
		sandbox.Mount{Target: "c", Dir: &sandbox.Directory{Path: cache}},
		sandbox.Mount{Target: "t", Tmpfs: &sandbox.Tmpfs{}})
	if out != "hushlayer" {
		t.Errorf("output is %q", out)
	}
	if got, err := os.ReadFile(filepath.Join(cache, "x")); err != nil || string(got) != "kept" {
		t.Errorf("the directory has %q, %v", got, err)
	}
	out = doWith(t, b, "write /o/d/f lost ; rm /o/d ; stat /o", shows(other, tree.Root, "o"))
	if !strings.HasPrefix(out, "/o 755 0:0 ") {
		t.Errorf("the root of a writable bind: %s", out)
	}
	if got := read(t, other, "d/f"); got != "layer" {
		t.Errorf("the other sandbox has %q", got)
	}
	want(t, commit(t, b, ""))
	do(t, b, "absent /s ; absent /o ; absent /c ; absent /t")

	for _, m := range []sandbox.Mount{
		{Target: "s", File: &sandbox.Secret{Mode: 0o400, UID: 42}},
		{Target: "s", Socket: &sandbox.Socket{Mode: 0o600, UID: 42, Serve: func(context.Context, io.ReadWriteCloser) {}}},
	} {
		got, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "stat", "/s"}, Mounts: []sandbox.Mount{m}})
		if !granted(t).SingleID() {
			if err != nil || !strings.Contains(got, " 42:0 ") {
				t.Errorf("%q, %v", got, err)
			}
			continue
		}
		var h interface{ Hint() string }
		if !errors.As(err, &h) || !strings.Contains(h.Hint(), "newuidmap") {
			t.Errorf("what belongs to a user that is not there: %v", err)
		}
	}
	_, err := try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}, Mounts: []sandbox.Mount{{Target: "x"}}})
	if err == nil || !strings.Contains(err.Error(), "/x") {
		t.Errorf("a mount of nothing: %v", err)
	}
	_, err = try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}, Mounts: []sandbox.Mount{{Tmpfs: &sandbox.Tmpfs{}}}})
	if err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("a mount in place of the root: %v", err)
	}
	want(t, commit(t, b, ""))
}

// TestInsideMountsOfDirectory binds a directory of this machine, whose name means
// much in an overlay's options: itself to read, a copy-on-write of it to write.
func TestInsideMountsOfDirectory(t *testing.T) {
	at := filepath.Join(t.TempDir(), "a,b:c\\d\xff")
	for name, data := range map[string]string{"f": "1", "sub/g": "2", "ignored": "3"} {
		p := filepath.Join(at, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(at, 0o750), os.Symlink("/sub", filepath.Join(at, "link")), os.Symlink("f", filepath.Join(at, "to-f"))); err != nil {
		t.Fatal(err)
	}
	open := func(o disk.Options) tree.FS {
		fsys, err := disk.Open(at, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fsys.Close() })
		return fsys
	}
	whole := open(disk.Options{})
	b := boxWith(t, driverFor(t))
	out := doWith(t, b, "cat /m/f ; cat /l/g ; cat /q ; refused /m/f ; refused /q ; stat /m",
		ro(shows(whole, tree.Root, "m")), ro(shows(whole, "link", "l")), ro(shows(whole, "to-f", "q")))
	if !strings.HasPrefix(out, "121/m 750 0:0 ") {
		t.Errorf("output is %q", out)
	}
	// It is the directory itself.
	if err := os.WriteFile(filepath.Join(at, "late"), []byte("late"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := doWith(t, b, "cat /m/late", ro(shows(whole, tree.Root, "m"))); out != "late" {
		t.Errorf("output is %q", out)
	}
	out = doWith(t, b, "write /m/f lost ; write /l/new lost ; write /q lost ; rm /m/sub ; cat /m/f ; cat /q ; stat /m",
		shows(whole, tree.Root, "m"), shows(whole, "link", "l"), shows(whole, "to-f", "q"))
	if !strings.HasPrefix(out, "lostlost/m 750 0:0 ") {
		t.Errorf("output is %q", out)
	}
	for name, want := range map[string]string{"f": "1", "sub/g": "2"} {
		if got, err := os.ReadFile(filepath.Join(at, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(at, "sub/new")); err == nil {
		t.Error("a write got through")
	}
	some := open(disk.Options{Skip: func(p tree.Path, _ tree.Type) bool { return p == "ignored" }})
	doWith(t, b, "absent /m/ignored ; cat /m/f", ro(shows(some, tree.Root, "m")))
	want(t, commit(t, b, ""))

	// What holds the build's own layers is not shown.
	parent, err := disk.Open(granted(t).Dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	_, err = try1(t, b, sandbox.Process{Args: []string{"/toy", "id"}, Mounts: []sandbox.Mount{shows(parent, tree.Root, "m")}})
	var h interface{ Hint() string }
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "--kaniko-dir") {
		t.Errorf("a bind of the store: %v", err)
	}
}

// TestInsideMountsSetID holds a program of this machine against one of an image.
func TestInsideMountsSetID(t *testing.T) {
	if granted(t).SingleID() {
		t.Skip("there is no other user")
	}
	d := driverFor(t)
	dirty := t.TempDir()
	in, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	toy := filepath.Join(dirty, "toy")
	if err := errors.Join(os.WriteFile(toy, in, 0o755), unix.Chmod(toy, 0o4755), os.Chmod(dirty, 0o755)); err != nil {
		t.Fatal(err)
	}
	fsys, err := disk.Open(dirty, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	b := boxWith(t, d)
	for _, m := range []sandbox.Mount{ro(shows(fsys, tree.Root, "m")), shows(fsys, tree.Root, "m"), {Target: "m", Dir: &sandbox.Directory{Path: dirty}}} {
		out, err := try1(t, b, sandbox.Process{Args: []string{"/m/toy", "setid"}, User: "42:43", Mounts: []sandbox.Mount{m}})
		if err != nil || out != "42\n" {
			t.Errorf("a set-id program of this machine runs as %q, %v", out, err)
		}
	}
	other, err := d.New(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	set := slices.Collect(func(yield func(layer.Change) bool) {
		for c, err := range toyLayer(t).Changes(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Path == "toy" {
				c.Node.Mode = 0o4755
			}
			if !yield(c) {
				return
			}
		}
	})
	if err := other.Apply(t.Context(), lay("", set...)); err != nil {
		t.Fatal(err)
	}
	out, err := try1(t, b, sandbox.Process{Args: []string{"/m/toy", "setid"}, User: "42:43", Mounts: []sandbox.Mount{ro(shows(other, tree.Root, "m"))}})
	if err != nil || out != "0\n" {
		t.Errorf("a set-id program of an image runs as %q, %v", out, err)
	}
}

// TestInsideMountsWrapped hides a sandbox in another one, as tracing does.
func TestInsideMountsWrapped(t *testing.T) {
	d := driverFor(t)
	other := boxWith(t, d, lay("", file("f", "f")))
	b := boxWith(t, d)
	if out := doWith(t, b, "cat /m", ro(shows(wrapped{other}, "f", "m"))); out != "f" {
		t.Errorf("output is %q", out)
	}
	if n := len(d.(*driver).store.byKey); n != 1 { // the toy's layer
		t.Errorf("%d things are kept", n)
	}
}

type wrapped struct{ sandbox.Sandbox }

func (w wrapped) Open(tree.Path) (io.ReadCloser, error) { return nil, errors.New("is not to be read") }

func (w wrapped) Unwrap() sandbox.Sandbox { return w.Sandbox }

// TestInsideMountsAtOnce lets several sandboxes ask for the same copy.
func TestInsideMountsAtOnce(t *testing.T) {
	d := driverFor(t)
	fsys := &tree.Tree{}
	fsys.Put(tree.Root, dir(tree.Root).Node)
	fsys.Put("f", file("f", "once").Node)
	fsys.Keep("f", "once")
	counted := &counter{FS: fsys}
	boxes := make([]sandbox.Sandbox, 4)
	for i := range boxes {
		boxes[i] = boxWith(t, d)
	}
	var wg sync.WaitGroup
	for _, b := range boxes {
		wg.Go(func() {
			m := ro(shows(counted, tree.Root, "m"))
			m.Files.Key = "key"
			if out := doWith(t, b, "cat /m/f", m); out != "once" {
				t.Errorf("output is %q", out)
			}
		})
	}
	wg.Wait()
	if counted.n != 1 {
		t.Errorf("it was copied %d times", counted.n)
	}
}

type counter struct {
	tree.FS
	mu sync.Mutex
	n  int
}

func (c *counter) Open(p tree.Path) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.FS.Open(p)
}

func TestInsideOffline(t *testing.T) {
	d := driverFor(t)
	b := boxWith(t, d)
	offline := sandbox.Process{Args: []string{"/toy", "ls", "/sys/class/net", ";", "cat", "/proc/net/dev"}, Offline: true}
	if err := d.Check(sandbox.Needs{Offline: true}); err != nil {
		t.Skip(err)
	}
	out, err := try1(t, b, offline)
	if err != nil || granted(t).FreshProc && !strings.HasPrefix(out, "lo \n") || strings.Count(out, ":") != 1 || !strings.Contains(out, "lo:") {
		t.Errorf("%q, %v", out, err)
	}

	g := *granted(t)
	g.NoNetwork = "the kernel said no"
	d, err = New(t.Context(), &g)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var no *NoNetworkError
	if err := d.Check(sandbox.Needs{Offline: true}); !errors.As(err, &no) || !strings.Contains(err.Error(), "said no") || no.Hint() == "" {
		t.Errorf("a driver without network namespaces: %v", err)
	}
	if err := d.Check(sandbox.Needs{}); err != nil {
		t.Error(err)
	}
	b = boxWith(t, d)
	if _, err := try1(t, b, offline); !errors.As(err, &no) {
		t.Errorf("a command without network, where that cannot be had: %v", err)
	}
}
