package inplace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// teller is a driver of which the test knows what it said of going back.
type teller struct {
	*Driver
	said string
}

func newTeller(t *testing.T, o Options) *teller {
	d := &teller{}
	o.Debug = func(s string) {
		if strings.Contains(s, "back") {
			d.said = s
		}
	}
	d.Driver = newDriver(t, o)
	return d
}

// A driver that is not certain of what it did to the root unpacks anew.
func TestJail_goBackDoubt(t *testing.T) {
	needJail(t)
	plain := func(t *testing.T, _ *teller, b sandbox.Sandbox, script string) {
		sh(t, b, script)
		commit(t, b, "step")
	}
	for _, tt := range []struct {
		name string
		o    Options
		do   func(t *testing.T, d *teller, b sandbox.Sandbox)
		want string // of what is said; empty if the driver knows of nothing to go back to
	}{
		{"redo", Options{Mode: Redo}, func(t *testing.T, d *teller, b sandbox.Sandbox) { plain(t, d, b, "echo >/new") }, "not all changes of files are looked for"},
		{"time", Options{Mode: Time}, func(t *testing.T, d *teller, b sandbox.Sandbox) { plain(t, d, b, "echo >/new") }, "not all changes of files are looked for"},
		{"not committed", Options{}, func(t *testing.T, _ *teller, b sandbox.Sandbox) { sh(t, b, "echo >/new") }, "a command's changes were not captured"},
		{"applied upon what was not committed", Options{}, func(t *testing.T, _ *teller, b sandbox.Sandbox) {
			sh(t, b, "echo >/new")
			if err := b.Apply(t.Context(), sandboxtest.Layer("copy", nil, sandboxtest.File("copied", "x"))); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"not drained", Options{}, func(t *testing.T, _ *teller, b sandbox.Sandbox) {
			sh(t, b, "echo >/new; echo >/newer")
			for range b.Commit(t.Context(), "step") {
				break
			}
		}, "its changes were not read to the end"},
		{"mounted", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "echo >/new; mkdir /mnt")
			mount(t, "/mnt")
		}, "mounts came or went"},
		{"mounted meanwhile", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			sh(t, b, "mkdir -p /mnt")
			if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			commit(t, b, "step")
			if err := unix.Unmount("/mnt", 0); err != nil {
				t.Fatal(err)
			}
		}, "mounts came or went"},
		{"mount left", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "echo >/new")
			if err := os.Mkdir(d.path(journalName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "what a command saw mounted could not be taken away"},
		{"shadow", Options{}, func(t *testing.T, _ *teller, b sandbox.Sandbox) {
			if err := b.Apply(t.Context(), sandboxtest.Layer("copy", nil, sandboxtest.File("etc/hosts", "x"), sandboxtest.File("new", "x"))); err != nil {
				t.Fatal(err)
			}
		}, "it changed what is kept beside the root"},
		{"link to the shadow", Options{}, func(t *testing.T, _ *teller, b sandbox.Sandbox) {
			if err := b.Apply(t.Context(), sandboxtest.Layer("copy", nil, sandboxtest.Hard("new", "etc/resolv.conf"))); err != nil {
				t.Fatal(err)
			}
		}, "it changed what is kept beside the root"},
		{"several names", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) { plain(t, d, b, "echo >>/d/one; echo >/new") }, "/d/one had several names"},
		{"one name less", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) { plain(t, d, b, "rm /d/one; echo >/new") }, "had several names"},
		{"way deleted", Options{Keep: []string{"/d/k"}}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "rm -r /d; echo >/d; echo >/new")
		}, "a command changed what leads to a mount"},
		{"way of no layer", Options{Keep: []string{"/n/k"}}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "mkdir -p /n; echo >/n/x; echo >/new")
		}, "it changed what leads to a mount"},
		{"way replaced by a layer", Options{Keep: []string{"/d/k"}}, func(t *testing.T, _ *teller, b sandbox.Sandbox) {
			if err := b.Apply(t.Context(), sandboxtest.Layer("copy", nil, sandboxtest.Symlink("d", "bin"), sandboxtest.File("new", "x"))); err != nil {
				t.Fatal(err)
			}
		}, "a directory stays that is none in the image"},
		{"too much", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			u := &undo{before: map[tree.Path]*was{}}
			for i := range maxUndo {
				u.before[tree.Path(fmt.Sprint("many/", i))] = nil
			}
			plain(t, d, b, "echo >/new")
			d.past.add(level{key: "more", undo: u})
		}, "too much changed since"},
		{"content that no layer has", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "echo >/d/lies; echo >/new")
		}, "no layer has /d/lies as it was"},
		{"layer that fails", Options{}, func(t *testing.T, d *teller, b sandbox.Sandbox) {
			plain(t, d, b, "echo >/d/fails; echo >/new")
		}, "not now"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newTeller(t, tt.o)
			read, opened := 0, 0
			fails := sandboxtest.File("d/fails", "f")
			fails.Open = func() (io.ReadCloser, error) {
				if opened++; opened == 2 && tt.want == "not now" {
					return nil, errors.New("not now")
				}
				return io.NopCloser(strings.NewReader("f")), nil
			}
			lies := sandboxtest.File("d/lies", "1")
			lies.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(fmt.Sprint(read))), nil }
			layers := []sandbox.Layer{sandboxtest.Shell(t), sandboxtest.Layer("base", &read, sandboxtest.Dir("d", 0o755),
				sandboxtest.File("d/one", "1"), sandboxtest.Hard("d/two", "d/one"), lies, fails)}
			box := open(t, d.Driver, layers...)
			tt.do(t, d, box)
			box.Close()
			before := read
			box = open(t, d.Driver, layers...)
			defer box.Close()
			if tt.want == "" && d.said != "" || !strings.Contains(d.said, tt.want) || strings.HasPrefix(d.said, "went") {
				t.Errorf("said %q, want %q", d.said, tt.want)
			}
			if read == before {
				t.Error("the base was not unpacked anew")
			}
			for _, p := range []string{"/new", "/newer", "/copied", "/n/x"} {
				if exists(p) {
					t.Errorf("%s is there", p)
				}
			}
		})
	}
}

// What a command left that its layer has not is not found by a stage that begins with
// the layer, nor does it keep from going back below it.
func TestJail_goBackUnlike(t *testing.T) {
	needJail(t)
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"socket", func() error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "/left", Net: "unix"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}, "a command left a socket, which no layer has"},
		{"ignored", func() error { return os.WriteFile("/ignored/left", nil, 0o644) }, "a command changed what is ignored"},
		{"ignored and gone", func() error { return os.Remove("/ignored/base") }, "a command changed what is ignored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newTeller(t, Options{Ignored: []tree.Path{"ignored"}})
			layers := []sandbox.Layer{sandboxtest.Shell(t), sandboxtest.Layer("base", nil, sandboxtest.Dir("ignored", 0o755), sandboxtest.File("ignored/base", "x"))}
			box := open(t, d.Driver, layers...)
			pretend(t, box)
			if err := errors.Join(os.WriteFile("/made", nil, 0o644), tt.do()); err != nil {
				t.Fatal(err)
			}
			commit(t, box, "step")
			sh(t, box, "echo >/new")
			commit(t, box, "more")
			box.Close()
			box = open(t, d.Driver, append(layers[:2:2], sandboxtest.Layer("step", nil, sandboxtest.File("made", "")))...)
			if !strings.HasSuffix(d.said, tt.want) || exists("/left") || exists("/ignored/left") || exists("/new") || !exists("/ignored/base") {
				t.Errorf("said %q, left: %v", d.said, exists("/left") || exists("/ignored/left") || exists("/new"))
			}
			box.Close()
			box = open(t, d.Driver, layers...)
			pretend(t, box)
			if err := tt.do(); err != nil {
				t.Fatal(err)
			}
			commit(t, box, "step")
			box.Close()
			box = open(t, d.Driver, layers...)
			defer box.Close()
			if !strings.HasPrefix(d.said, "went back to 2 layers") || exists("/left") || exists("/ignored/left") {
				t.Errorf("said %q, left: %v", d.said, exists("/left") || exists("/ignored/left"))
			}
		})
	}
}

// What is usual is certain, and costs as little as it can.
func TestJail_goBackCheap(t *testing.T) {
	needJail(t)
	cache := sandbox.Mount{Target: "var/cache", Dir: &sandbox.Directory{Path: DefaultDir + "/tmp/cache"}}
	if err := os.MkdirAll(cache.Dir.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(cache.Dir.Path)
	for _, tt := range []struct {
		name   string
		script string
		apply  []layer.Change
		mounts []sandbox.Mount
		opened int
	}{
		{name: "new files", script: "mkdir -p /n/e/w && echo x >/n/e/w/f && ln /n/e/w/f /n/again && echo >/d/new && ln -s d /s"},
		{name: "nothing", script: "true"},
		{name: "metadata of directories", script: "chmod 700 /d; chown 3:4 /; chmod 700 /etc; touch -d @1 /d/sub"},
		{name: "links and empty files", script: "rm /d/link /d/empty; ln -s . /d/empty"},
		{name: "copied files", apply: []layer.Change{sandboxtest.File("d/new", "x"), sandboxtest.File("etc/new", "x"), sandboxtest.Hard("d/newer", "d/new"), sandboxtest.Hard("d/newest", "d/f")}},
		{name: "changed content", script: "echo more >>/d/f", opened: 1},
		{name: "changed below", script: "echo more >>/bin/busybox.conf; echo more >>/etc/group", opened: 2},
		{name: "moved", script: "mv /d /e; echo >/d", opened: 1},
		{name: "mounted", script: "echo x >/var/cache/f; mkdir /var/log; echo >/var/log/l", mounts: []sandbox.Mount{cache}},
		{name: "new links of a file, then changed", script: "ln /d/f /d/g; echo >>/d/g", opened: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newTeller(t, Options{})
			layers := []sandbox.Layer{sandboxtest.Shell(t), sandboxtest.Layer("base", nil, sandboxtest.Dir("d", 0o755), sandboxtest.File("d/f", "1"),
				sandboxtest.Symlink("d/link", "f"), sandboxtest.File("d/empty", ""), sandboxtest.Dir("d/sub", 0o755), sandboxtest.Dir("var", 0o755))}
			box := open(t, d.Driver, layers...)
			never := time.Now().AddDate(1, 0, 0)
			want := rootLooks(t, d.Driver, false, never)
			if tt.apply != nil {
				if err := box.Apply(t.Context(), sandboxtest.Layer("copy", nil, tt.apply...)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.script != "" {
				err := box.Run(t.Context(), sandbox.Process{Args: []string{"/bin/sh", "-ec", tt.script}, Env: []string{"PATH=/bin"}, Mounts: tt.mounts})
				if err != nil {
					t.Fatal(err)
				}
				commit(t, box, "step")
			}
			box.Close()
			box = open(t, d.Driver, layers...)
			defer box.Close()
			if !strings.HasPrefix(d.said, "went back to 2 layers") || !strings.HasSuffix(d.said, fmt.Sprintf(" %d layers read", tt.opened)) {
				t.Errorf("said %q, want %d layers read", d.said, tt.opened)
			}
			got := rootLooks(t, d.Driver, false, never)
			if diff := different(want, got); len(diff) > 0 {
				t.Errorf("not as it was: %q", diff)
			}
		})
	}
}

// different are the paths that look different.
func different(a, b map[tree.Path]looks) []tree.Path {
	var list []tree.Path
	for p := range a {
		if fmt.Sprint(a[p]) != fmt.Sprint(b[p]) {
			list = append(list, p)
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			list = append(list, p)
		}
	}
	slices.Sort(list)
	return list
}

// A build that is cancelled while a root goes back leaves one that nobody takes for
// anything.
func TestJail_goBackCancelled(t *testing.T) {
	needJail(t)
	d := newTeller(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough of this")
	read := 0
	base := sandboxtest.Layer("base", &read, sandboxtest.File("f", "1"), sandboxtest.File("g", "1"))
	changes := base.Changes
	base.Changes = func(ctx context.Context) layer.Changes {
		if read == 1 {
			cancel(cause)
		}
		return changes(ctx)
	}
	layers := []sandbox.Layer{sandboxtest.Shell(t), base}
	box := open(t, d.Driver, layers...)
	sh(t, box, "echo 2 >/f; echo 2 >/new")
	commit(t, box, "step")
	box.Close()
	box, err := d.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Apply(ctx, layers...); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	box.Close()
	box = open(t, d.Driver, layers...)
	defer box.Close()
	if got := content(t, box, "f"); got != "1" || exists("/new") || read != 3 {
		t.Errorf("f holds %q, new is there: %v, the base was read %d times", got, exists("/new"), read)
	}
}

// In a pod what is in /var/run is ignored, and the next stage does not find it.
func TestJail_goBackVarRun(t *testing.T) {
	needJail(t)
	if err := newDriver(t, Options{Cleanup: true}).Close(); err != nil { // what other tests left
		t.Fatal(err)
	}
	mount(t, "/var/run/secrets/token")
	d := newTeller(t, Options{})
	layers := []sandbox.Layer{sandboxtest.Shell(t), sandboxtest.Layer("base", nil, sandboxtest.Dir("var", 0o755), sandboxtest.Symlink("var/run", "/run"),
		sandboxtest.Dir("run", 0o755))}
	box := open(t, d.Driver, layers...)
	sh(t, box, "echo z >/var/run/z; echo z >/run/z; chmod 700 /var/run; echo >/var/new")
	commit(t, box, "step")
	box.Close()
	box = open(t, d.Driver, layers...)
	defer box.Close()
	if !strings.HasPrefix(d.said, "went back to 2 layers") {
		t.Errorf("said %q", d.said)
	}
	sh(t, box, "[ ! -e /var/run/z ] && [ ! -e /run/z ] && [ ! -e /var/new ] && [ -e /var/run/secrets/token/in ] && [ $(stat -c %a /var/run) = 755 ]")
	want(t, "changes", commit(t, box, "c"))
	if e, err := tree.Stat(box, "var/run"); err != nil || e.Node.Type != tree.Symlink {
		t.Errorf("var/run is %+v, %v", e, err)
	}
}

func TestUndo(t *testing.T) {
	p := past{}
	for i := range 4 {
		u := &undo{before: map[tree.Path]*was{}}
		for j := range maxUndo / 3 {
			u.before[tree.Path(fmt.Sprint(j))] = nil
		}
		p.add(level{key: fmt.Sprint(i), undo: u})
	}
	if p.levels[0].undo.lost == "" || p.levels[0].undo.before != nil || p.levels[1].undo.lost != "" {
		t.Error("not the lowest is given up, or another too")
	}
	p = past{levels: []level{{key: "a"}, {key: "b", empty: true}, {key: "c"}, {key: ""}, {key: "e"}}}
	for _, tt := range []struct {
		layers       string
		levels, same int
	}{{"", 0, 0}, {"x", 0, 0}, {"a", 1, 1}, {"ab", 2, 2}, {"ac", 3, 2}, {"abc", 3, 3}, {"ax", 1, 1}, {"abce", 3, 3}, {"acxx", 3, 2}} {
		var layers []sandbox.Layer
		for _, key := range strings.Split(tt.layers, "") {
			layers = append(layers, sandbox.Layer{Key: key})
		}
		if levels, same := p.match(layers); levels != tt.levels || same != tt.same {
			t.Errorf("%s: %d levels and %d layers, want %d and %d", tt.layers, levels, same, tt.levels, tt.same)
		}
	}
}
