package inplace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	slices.Sort(list)
	return list
}

// newDriver makes a driver that must leave nothing behind.
func newDriver(t testing.TB, o Options) *Driver {
	t.Helper()
	before := names(t, DefaultDir)
	o.Force = true
	o.Warn = func(s string) { t.Log(s) }
	d, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	watchAnyway(d)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(before, names(t, DefaultDir)); d != "" {
			t.Errorf("left in %s:\n%s", DefaultDir, d)
		}
	})
	return d
}

func open(t testing.TB, d *Driver, layers ...sandbox.Layer) sandbox.Sandbox {
	t.Helper()
	box, err := d.New(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Apply(t.Context(), layers...); err != nil {
		t.Fatal(err)
	}
	return box
}

func sh(t testing.TB, box sandbox.Sandbox, script string) string {
	t.Helper()
	var out bytes.Buffer
	err := box.Run(t.Context(), sandbox.Process{
		Args: []string{"/bin/sh", "-ec", script}, Env: []string{"PATH=/bin"}, Output: &out,
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return out.String()
}

func commit(t testing.TB, box sandbox.Sandbox, key string) []string {
	t.Helper()
	list := []string{}
	for c, err := range box.Commit(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Open != nil {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, r)
			r.Close()
		}
		sign := "+ "
		if c.Kind == layer.Delete {
			sign = "- "
		}
		list = append(list, sign+string(c.Path))
	}
	return list
}

func want(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func content(t testing.TB, fsys tree.FS, p tree.Path) string {
	t.Helper()
	r, err := fsys.Open(p)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// mount mounts a file system with a file "in" for the time of the test.
func mount(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("mounted"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJail_suite(t *testing.T) {
	needJail(t)
	sandboxtest.Run(t, func(t *testing.T) sandbox.Driver { return newDriver(t, Options{}) }, sandboxtest.NoReadOnly, sandboxtest.NoOffline)
	if got, err := os.ReadFile("/etc/hostname"); err != nil || string(got) != "# of the runtime\n" {
		t.Errorf("hostname of the runtime: %q, %v", got, err)
	}
}

// A Kubernetes pod: a secret below /var/run, which is a link in the base image.
func TestJail_varRun(t *testing.T) {
	needJail(t)
	mount(t, "/var/run/secrets/token")
	for _, tt := range []struct {
		capture bool
		base    layer.Change
		want    []string
	}{
		{false, sandboxtest.Symlink("var/run", "/run"), []string{"+ run", "+ run/y", "+ var", "+ var/runner"}},
		{true, sandboxtest.Symlink("var/run", "/run"), []string{"+ run", "+ run/y", "+ var", "+ var/runner"}},
		{false, sandboxtest.Dir("var/run", 0o755), []string{"+ run", "+ run/y", "+ var", "+ var/runner"}},
		{true, sandboxtest.Dir("var/run", 0o755), []string{"+ run", "+ run/y", "+ var", "+ var/run", "+ var/run/z", "+ var/runner"}},
	} {
		t.Run(fmt.Sprintf("%v-%d", tt.capture, tt.base.Node.Type), func(t *testing.T) {
			d := newDriver(t, Options{CaptureVarRun: tt.capture})
			box := open(t, d, sandboxtest.Shell(t), sandboxtest.Layer("old", nil,
				sandboxtest.Dir("var", 0o755), sandboxtest.Dir("var/run", 0o755), sandboxtest.File("var/run/earlier", "x")),
				sandboxtest.Layer("base", nil, sandboxtest.Delete("var/run/earlier"), tt.base,
					sandboxtest.Dir("run", 0o755), sandboxtest.File("run/x", "x")))
			sh(t, box, "cat /var/run/secrets/token/in; [ ! -e /var/run/earlier ]; echo y >/run/y; echo z >/var/run/z; echo >/var/runner; rm -f /var/run/secrets/token/in")
			want(t, "changes", commit(t, box, "c"), tt.want...)
			if e, err := tree.Stat(box, "var/run"); err != nil || e.Node.Type != tt.base.Node.Type {
				t.Errorf("var/run is %+v, %v", e, err)
			}
			if err := box.Close(); err != nil {
				t.Fatal(err)
			}
			box = open(t, d, sandboxtest.Shell(t))
			sh(t, box, "[ -d /var/run/secrets/token ]; [ ! -e /var/run/z ] && [ ! -e /var/runner ] && [ ! -e /run/x ]")
			want(t, "changes of an empty root", commit(t, box, "d"))
			if err := os.WriteFile("/var/run/secrets/token/in", []byte("mounted"), 0o600); err != nil {
				t.Fatal(err)
			}
			box.Close()
		})
	}
}

// What layers have at paths that are held is kept beside the root.
func TestJail_shadow(t *testing.T) {
	needJail(t)
	d := newDriver(t, Options{Keep: []string{"/context"}})
	if err := os.MkdirAll("/context", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/context/mine", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll("/context")
	box := open(t, d, sandboxtest.Shell(t), sandboxtest.Layer("l", nil,
		sandboxtest.Dir("context", 0o755), sandboxtest.File("context/theirs", "theirs"), sandboxtest.Hard("out", "context/theirs"),
		sandboxtest.File("in", "in"), sandboxtest.Hard("context/in", "in"), sandboxtest.File("etc/hosts", "theirs"),
		sandboxtest.Dir("dev/sub", 0o755), sandboxtest.File("dev/sub/f", "dev")))
	for p, want := range map[tree.Path]string{
		"context/theirs": "theirs", "out": "theirs", "context/in": "in", "in": "in", "etc/hosts": "theirs", "dev/sub/f": "dev",
	} {
		if got := content(t, box, p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if l := linksOf(t, box); l != "context/in=in out=context/theirs" && l != "in=context/in out=context/theirs" {
		t.Errorf("links: %s", l)
	}
	sh(t, box, "cat /out; [ ! -e /context/theirs ]; [ ! -e /dev/sub ]; cat /context/mine; echo >/context/new; grep -q runtime /etc/hosts")
	want(t, "changes", commit(t, box, "c"))
	if err := box.Apply(t.Context(), sandboxtest.Layer("l2", nil, sandboxtest.Delete("context"), sandboxtest.Delete("etc"))); err != nil {
		t.Fatal(err)
	}
	for _, p := range []tree.Path{"context/theirs", "etc/hosts", "etc/passwd"} {
		if _, err := box.Open(p); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	sh(t, box, "grep -q runtime /etc/hosts; cat /context/mine; [ ! -e /etc/passwd ]")
	want(t, "changes", commit(t, box, "d"))
	box.Close()
}

func linksOf(t testing.TB, fsys tree.FS) string {
	var list []string
	for e, err := range fsys.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Hard != "" {
			list = append(list, string(e.Path)+"="+string(e.Hard))
		}
	}
	return strings.Join(list, " ")
}

func TestJail_mountsOfCommands(t *testing.T) {
	needJail(t)
	d := newDriver(t, Options{})
	box := open(t, d, sandboxtest.Shell(t), sandboxtest.Layer("l", nil, sandboxtest.Dir("mnt", 0o755), sandboxtest.File("mnt/f", "x")))
	sh(t, box, "mount -t tmpfs none /mnt; echo x >/mnt/new; echo x >/new")
	defer unix.Unmount("/mnt", unix.MNT_DETACH)
	want(t, "changes", commit(t, box, "c"), "+ new")
	box.Close()
}

func TestJail_disposable(t *testing.T) {
	needJail(t)
	if err := newDriver(t, Options{Cleanup: true}).Close(); err != nil { // what other tests left
		t.Fatal(err)
	}
	mount(t, "/workspace")
	marker := filepath.Join(DefaultDir, Marker)
	try := func() error {
		d, err := New(t.Context(), Options{})
		if err == nil {
			err = d.Close()
		}
		return err
	}
	for _, p := range []string{"/tmp", "/var/lib/empty", "/run"} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"/.dockerenv", "/run/.containerenv"} {
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(p)
	}
	if err := os.WriteFile("/var/lib/precious", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := try()
	var refused *RootError
	if !errors.As(err, &refused) || refused.Path != "/var/lib/precious" || !strings.Contains(refused.Hint(), marker) {
		t.Errorf("a root with something in it: %v", err)
	}
	if _, err := os.Stat("/var/lib/precious"); err != nil {
		t.Error(err)
	}
	if err := os.Remove("/var/lib/precious"); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil {
		t.Errorf("a root with nothing in it: %v", err)
	}
	// The first build told the second.
	if err := os.WriteFile("/var/lib/left", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil {
		t.Errorf("a root that an earlier build left: %v", err)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if err := try(); err == nil {
		t.Error("a root with something in it is taken")
	}
	for _, o := range []Options{{Dir: "/"}, {Dir: "kaniko"}, {Keep: []string{"/"}}, {Keep: []string{"x"}}} {
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
}

func TestJail_cleanup(t *testing.T) {
	needJail(t)
	d := newDriver(t, Options{Cleanup: true, Keep: []string{"/a/b/keep"}})
	box := open(t, d, sandboxtest.Shell(t))
	sh(t, box, "mkdir -p /a/b/keep /a/c; echo x >/a/b/keep/f; echo x >/a/b/g; chmod 700 /a; chown 5:5 /a")
	box.Close()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "root", names(t, "/"), "a", "dev", "etc", "kaniko", "proc", "sys")
	want(t, "/a/b", names(t, "/a/b"), "keep")
	want(t, "/a", names(t, "/a"), "b")
	want(t, "/etc", names(t, "/etc"), "hostname", "hosts", "resolv.conf")
	if st, err := os.Stat("/a"); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("/a: %v, %v", st.Mode(), err)
	}
	if err := os.RemoveAll("/a"); err != nil {
		t.Fatal(err)
	}
}

// The next sandbox goes on from what the disk holds, if that is how it begins.
func TestJail_reuse(t *testing.T) {
	needJail(t)
	d := newDriver(t, Options{})
	shell := sandboxtest.Shell(t)
	var a, b, c int
	layers := []sandbox.Layer{shell, sandboxtest.Layer("a", &a, sandboxtest.File("a", "1")),
		sandboxtest.Layer("b", &b, sandboxtest.File("b", "1")), sandboxtest.Layer("c", &c, sandboxtest.File("c", "1"))}
	for i, tt := range []struct {
		layers   []sandbox.Layer
		script   string
		commit   string
		a, b, c  int
		notThere string
	}{
		{layers[:2], "", "", 1, 0, 0, "/b"},
		{layers[:3], "", "", 1, 1, 0, "/c"},
		{layers[:3], "echo x >/new", "committed", 1, 1, 0, "/new"},
		{append(layers[:3:3], sandboxtest.Layer("committed", &c)), "", "", 1, 1, 0, "/c"}, // it has what the last one did
		{layers[:3], "", "", 1, 1, 0, "/new"},                                             // what the last but one did can be undone
		{layers[:3], "echo x >/new", "", 1, 1, 0, "/new"},
		{layers, "", "", 2, 2, 1, "/new"}, // nobody committed what the last one did
		{layers[:2], "", "", 2, 2, 1, "/b"},
		{layers, "", "", 2, 3, 2, "/new"},
		{nil, "", "", 2, 3, 2, "/bin"},
	} {
		box, err := d.New(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Apply(t.Context(), tt.layers...); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(tt.notThere); err == nil {
			t.Errorf("step %d: %s is there", i, tt.notThere)
		}
		if tt.script != "" {
			sh(t, box, tt.script)
		}
		if tt.commit != "" {
			commit(t, box, tt.commit)
		}
		if a != tt.a || b != tt.b || c != tt.c {
			t.Errorf("step %d: layers were read %d, %d and %d times, want %d, %d and %d", i, a, b, c, tt.a, tt.b, tt.c)
		}
		box.Close()
	}
}

func TestJail_modes(t *testing.T) {
	needJail(t)
	base := []sandbox.Layer{sandboxtest.Shell(t), sandboxtest.Layer("m", nil, sandboxtest.File("f", "1"), sandboxtest.File("ref", ""))}
	for _, tt := range []struct {
		script string
		modes  []Mode
	}{
		{"echo 2 >/f", []Mode{Full, Redo, Time}},
		{"chmod 600 /f", []Mode{Full, Redo}},
		{"printf 2 >/f; touch -r /ref /f", []Mode{Full}},
		{"printf 1 >/f; touch -r /ref /f", nil},
		{"rm /f", []Mode{Full, Redo, Time}},
	} {
		for _, m := range []Mode{Full, Redo, Time} {
			d := newDriver(t, Options{Mode: m})
			box := open(t, d, base...)
			sh(t, box, tt.script)
			got := commit(t, box, "x")
			if seen := len(got) > 0; seen != slices.Contains(tt.modes, m) {
				t.Errorf("%s: mode %d captures %q", tt.script, m, got)
			}
			box.Close()
			d.Close()
		}
	}
}

// Stamps are brought up to date where layers were applied: a command that does
// nothing has changed nothing.
func TestJail_refresh(t *testing.T) {
	needJail(t)
	d := newDriver(t, Options{})
	box := open(t, d, sandboxtest.Shell(t))
	rng := rand.New(rand.NewPCG(1, 2))
	path := func() tree.Path {
		p := tree.Path("r")
		for range 1 + rng.IntN(3) {
			p = p.Join(string('a' + rune(rng.IntN(3))))
		}
		return p
	}
	refreshed := 0
	for i := range 60 {
		var cs []layer.Change
		after, err := tree.Copy(box)
		if err != nil {
			t.Fatal(err)
		}
		o := layer.NewOverlay(after)
		for range 1 + rng.IntN(4) {
			p := path()
			c := sandboxtest.File(p, "x")
			switch n := rng.IntN(12); {
			case n == 0:
				c = sandboxtest.Delete(p)
			case n < 4:
				c = sandboxtest.Dir(p, 0o755)
			case n < 8:
				target := path()
				if n, ok := after.Lookup(target); !ok || n.IsDir() || p.Within(target) || target.Within(p) {
					continue
				}
				c = sandboxtest.Hard(p, target)
			}
			if err := o.Add(c); err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		if err := box.Apply(t.Context(), sandboxtest.Layer(fmt.Sprint(i), nil, cs...)); err != nil {
			t.Fatal(err)
		}
		if d.stamps != nil {
			refreshed++
		}
		sh(t, box, "true")
		if got := commit(t, box, ""); len(got) > 0 {
			t.Fatalf("step %d: %q after %v", i, got, cs)
		}
	}
	if refreshed < 20 {
		t.Errorf("stamps were kept only %d times", refreshed)
	}
	box.Close()
}

func TestProtection(t *testing.T) {
	for in, want := range map[string]string{
		`/plain`: "/plain", `/a\040b`: "/a b", `/tab\011x`: "/tab\tx", `/back\134slash`: `/back\slash`, `/short\04`: `/short\04`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape %s: %q, want %q", in, got, want)
		}
	}
	p, err := protected("kaniko", Options{Keep: []string{"/workspace"}})
	if err != nil {
		t.Skipf("no list of mounts: %v", err)
	}
	for q, want := range map[tree.Path]bool{
		"kaniko": true, "kaniko/executor": true, "kaniko2": false, "workspace/a/b": true, "dev/null": true, "proc": true,
		"etc": false, "etc/resolv.conf": true, "etc/resolv.conf.d": false, "": false, "srv/kaniko": false,
	} {
		if got := p.covers(q); got != want {
			t.Errorf("covers %q: %v, want %v", q, got, want)
		}
	}
	if !p.leads("etc") || p.leads("usr/none") || !p.leads("") {
		t.Error("leads is wrong")
	}
}

// BenchmarkStep is a command that changes one file of 50,000.
func BenchmarkStep(b *testing.B) {
	needJail(b)
	d := newDriver(b, Options{})
	many := func(yield func(layer.Change, error) bool) {
		for i := range 50_000 {
			p := tree.Path(fmt.Sprintf("d%03d", i/100))
			if i%100 == 0 && !yield(sandboxtest.Dir(p, 0o755), nil) {
				return
			}
			if !yield(sandboxtest.File(p.Join(fmt.Sprint(i)), "x"), nil) {
				return
			}
		}
	}
	var cs []layer.Change
	for c := range many {
		cs = append(cs, c)
	}
	box := open(b, d, sandboxtest.Shell(b), sandboxtest.Layer("many", nil, cs...))
	sh(b, box, "true")
	commit(b, box, "first")
	b.ResetTimer()
	for i := range b.N {
		sh(b, box, fmt.Sprintf("echo %d >/d007/700", i))
		if got := commit(b, box, ""); len(got) == 0 {
			b.Error("nothing captured")
		}
	}
	b.StopTimer()
	box.Close()
}
