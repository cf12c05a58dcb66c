// Package sandboxtest is the suite that every sandbox driver passes, and a driver
// in memory for tests of what uses drivers.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Run runs the suite. newDriver makes a driver on a machine as fresh as may be;
// the suite closes it, and newDriver may check in a cleanup that nothing is left.
// lacks are what the driver is known not to do.
func Run(t *testing.T, newDriver func(t *testing.T) sandbox.Driver, lacks ...Lack) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, d sandbox.Driver)
	}{
		{"apply", testApply},
		{"links", testLinks},
		{"owners", testOwners},
		{"capture", testCapture},
		{"attributes", testAttributes},
		{"commits", testCommits},
		{"background", testBackground},
		{"status", testStatus},
		{"users", testUsers},
		{"surroundings", testSurroundings},
		{"directory", testDirectory},
		{"files", testFiles},
		{"keys", testKeys},
		{"stages", testStages},
		{"siblings", testSiblings},
		{"layers", testLayers},
		{"cancel", testCancel},
		{"errors", testErrors},
		{"binds", func(t *testing.T, d sandbox.Driver) { testBinds(t, d, lacks) }},
		{"mounts", func(t *testing.T, d sandbox.Driver) { testMounts(t, d, lacks) }},
		{"sockets", testSockets},
		{"offline", func(t *testing.T, d sandbox.Driver) { testOffline(t, d, lacks) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDriver(t)
			t.Cleanup(func() {
				if err := errors.Join(d.Close(), d.Close()); err != nil {
					t.Errorf("close the driver: %v", err)
				}
			})
			c.run(t, d)
		})
	}
}

// root is a sandbox under test.
type root struct {
	t   *testing.T
	box sandbox.Sandbox
	n   int
}

// open makes a sandbox of layers.
func open(t *testing.T, d sandbox.Driver, layers ...sandbox.Layer) *root {
	t.Helper()
	box, err := d.New(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	r := &root{t: t, box: box}
	t.Cleanup(r.close)
	r.apply(layers...)
	return r
}

func (r *root) close() {
	r.t.Helper()
	if err := errors.Join(r.box.Close(), r.box.Close()); err != nil {
		r.t.Errorf("close the sandbox: %v", err)
	}
}

func (r *root) apply(layers ...sandbox.Layer) {
	r.t.Helper()
	if len(layers) == 0 {
		return
	}
	if err := r.box.Apply(r.t.Context(), layers...); err != nil {
		r.t.Fatal(err)
	}
}

func shellEnv() []string { return []string{"PATH=/bin"} }

// process is a shell command.
func process(script string) sandbox.Process {
	return sandbox.Process{Args: []string{"/bin/sh", "-c", script}, Env: shellEnv()}
}

// run runs a process and gives its output.
func (r *root) run(p sandbox.Process) (string, error) {
	var out bytes.Buffer
	p.Output = &out
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	err := r.box.Run(ctx, p)
	return out.String(), err
}

// sh runs a script that must succeed and gives its output.
func (r *root) sh(script string) string {
	r.t.Helper()
	out, err := r.run(process("set -e\n" + script))
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// commit drains what changed, with contents that can be read again.
func (r *root) commit() []layer.Change {
	r.t.Helper()
	r.n++
	cs, err := drain(r.box.Commit(r.t.Context(), fmt.Sprintf("%s:%d", r.t.Name(), r.n)))
	if err != nil {
		r.t.Fatal(err)
	}
	return cs
}

func drain(c layer.Changes) ([]layer.Change, error) {
	var cs []layer.Change
	for c, err := range c {
		if err != nil {
			return cs, err
		}
		if c.Kind == layer.Put && c.Node.Type == tree.File && c.Hard == "" {
			s, err := readAll(c.Open)
			if err != nil {
				return cs, err
			}
			if int64(len(s)) != c.Node.Size {
				return cs, fmt.Errorf("%s has %d bytes, and its node says %d", c.Path, len(s), c.Node.Size)
			}
			c.Open = bytesOf(s)
		}
		cs = append(cs, c)
	}
	return cs, nil
}

func readAll(open func() (io.ReadCloser, error)) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), errors.Join(err, f.Close())
}

// lines shows changes: "+" put, "-" deleted, "=" linked to.
func lines(cs []layer.Change) []string {
	out := []string{}
	for _, c := range cs {
		switch {
		case c.Kind == layer.Delete:
			out = append(out, "- "+string(c.Path))
		case c.Kind != layer.Put:
			out = append(out, fmt.Sprintf("kind %d of %s", c.Kind, c.Path))
		case c.Hard != "":
			out = append(out, "= "+string(c.Path)+" "+string(c.Hard))
		default:
			out = append(out, "+ "+string(c.Path))
		}
	}
	return out
}

func (r *root) wantCommit(want ...string) {
	r.t.Helper()
	if want == nil {
		want = []string{}
	}
	if d := cmp.Diff(want, lines(r.commit())); d != "" {
		r.t.Errorf("changes (-want +got):\n%s", d)
	}
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func testApply(t *testing.T, d sandbox.Driver) {
	r := open(t, d)
	for e, err := range r.box.Walk(tree.Root) {
		if err == nil && e.Path != tree.Root {
			t.Errorf("a new sandbox holds %s", e.Path.Abs())
		}
	}
	if _, err := r.box.Open("bin/sh"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open in a new sandbox: %v", err)
	}
	r.apply(Shell(t),
		Layer("a", nil, Dir("d", 0o755), File("d/one", "1"), File("d/two", "1"), File("d/three", "1"),
			Dir("o", 0o755), File("o/old", "1"), Dir("o/sub", 0o755), File("o/sub/old", "1"), Dir("gone", 0o755), File("gone/x", "1"),
			File("to-dir", "1"), Dir("to-file", 0o755), File("to-file/x", "1"), Symlink("linked", "d")),
		// Its own puts are spared by a layer's deletions, whichever comes first.
		Layer("b", nil, File("o/new", "2"), Opaque("o"), File("o/newer", "2"), Delete("d/one"), File("d/two", "22"),
			Delete("d/three"), File("d/three", "3"), File("d/four", "4"), Delete("d/four"), Delete("gone"), Delete("never/was"),
			Dir("to-dir", 0o755), File("to-dir/x", "2"), File("to-file", "2"), File("linked/x", "2")),
	)
	r.apply(Layer("c", nil, File("deep/er/file", "3")))
	want := "d/four d/three d/two deep/er/file linked/x o/new o/newer to-dir/x to-file"
	got := strings.Join(strings.Fields(r.sh("cd / && find d deep gone linked o to-dir to-file -type f 2>/dev/null | sort || true")), " ")
	wantText(t, "files that commands see", got, want)
	var known []string
	for e, err := range r.box.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(string(e.Path), "/")
		if e.Node.Type == tree.File && !slices.Contains([]string{"bin", "etc"}, top) {
			known = append(known, string(e.Path))
		}
	}
	wantText(t, "files that Walk knows", strings.Join(known, " "), want)
	wantText(t, "content", r.sh("cat /d/two /d/three /to-file /deep/er/file"), "22323")
	for p, want := range map[tree.Path]string{"d/two": "22", "etc/resolv.conf": "# of the image\n", "etc/group": "root:x:0:\napp:x:2345:\nextra:x:3456:other,app\n"} {
		got, err := readAll(func() (io.ReadCloser, error) { return r.box.Open(p) })
		if err != nil || got != want {
			t.Errorf("open %s: %q, %v; want %q", p, got, err, want)
		}
	}
	wantText(t, "times and modes", r.sh("stat -c '%Y %a %u:%g' /d /o /deep /tmp /d/two"),
		"1600000000 755 0:0\n1600000000 755 0:0\n0 755 0:0\n1600000000 1777 0:0\n1600000000 644 0:0\n")
	r.wantCommit()
}

func testLinks(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t),
		Layer("l1", nil, File("a", "x"), Hard("b", "a"), Symlink("s", "a"), Hard("s2", "s"), File("c", "y")),
		Layer("l2", nil, Dir("d", 0o755), Hard("d/c2", "c")))
	wantText(t, "links", r.sh("[ /a -ef /b ] && cat /d/c2 /s2 && readlink /s2"), "yxa\n")
	r.sh("ln /a /n")
	r.wantCommit("+ a", "= b a", "= n a")
	r.sh("echo x >/new; ln /new /d/new2; ln -s /new /sym; ln /sym /sym2")
	r.wantCommit("+ d", "+ d/new2", "= new d/new2", "+ sym", "= sym2 sym")
	r.sh("rm /new")
	r.wantCommit("- new")
	wantText(t, "content", r.sh("cat /d/new2"), "x\n")
}

func testOwners(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t), Layer("o", nil,
		as(File("suid", "x"), 0o6755, 12, 34), as(Dir("sgid", 0), 0o2775, 0, 50), File("sgid/plain", "x"),
		as(Symlink("sym", "suid"), 0o777, 3, 4), as(File("none", ""), 0, 0, 0),
		as(layer.Change{Path: "pipe", Kind: layer.Put, Node: tree.Node{Type: tree.Fifo, MTime: old()}}, 0o622, 1, 1)))
	wantText(t, "owners and modes", r.sh("stat -c '%n %a %u:%g %F' /suid /sgid /sgid/plain /sym /none /pipe"),
		"/suid 6755 12:34 regular file\n/sgid 2775 0:50 directory\n/sgid/plain 644 0:0 regular file\n"+
			"/sym 777 3:4 symbolic link\n/none 0 0:0 regular empty file\n/pipe 622 1:1 fifo\n")
	r.sh("echo s >/made; chown 12:34 /made; chmod 4711 /made; mkfifo /pipe2; chown -h 5:6 /sym")
	cs := r.commit()
	if d := cmp.Diff([]string{"+ made", "+ pipe2", "+ sym"}, lines(cs)); d != "" {
		t.Fatal(d)
	}
	n := cs[0].Node
	if n.Mode != 0o4711 || n.UID != 12 || n.GID != 34 || n.Type != tree.File || n.MTime.Nanosecond() != 0 || time.Since(n.MTime) > time.Hour {
		t.Errorf("made is %+v", n)
	}
	if n := cs[2].Node; n.UID != 5 || n.GID != 6 || n.Link != "suid" || n.Mode != 0o777 {
		t.Errorf("sym is %+v", n)
	}
}

// testCapture is one command each, on the same root.
func testCapture(t *testing.T, d sandbox.Driver) {
	base := []sandbox.Layer{Shell(t), Layer("capture", nil,
		Dir("d", 0o755), File("d/a", "aaaa"), File("d/b", "bbbb"), Dir("d/sub", 0o755), File("d/sub/x", "x"),
		Dir("d/sub/deep", 0o755), File("d/sub/deep/y", "y"), Symlink("d/l", "a"), File("f", "f"), Symlink("link", "d"),
		Dir("empty", 0o755))}
	for _, c := range []struct {
		name, script string
		want         []string
	}{
		{"nothing", "true", nil},
		{"read", "cat /d/* >/dev/null 2>&1 || true; ls -R /d /bin /etc >/dev/null", nil},
		{"create", "echo x >/d/new", []string{"+ d", "+ d/new"}},
		{"create at the top", "echo x >/new", []string{"+ new"}},
		{"same size and time", "cp -p /d/a /tmp/ref; rm /tmp/ref; touch -r /d/a /dev/shm/ref 2>/dev/null || touch -r /d/a /d/ref; " +
			"printf AAAA >/d/a; touch -r /d/b /d/a; rm -f /d/ref /dev/shm/ref; touch -r /f /d /tmp", []string{"+ d", "+ d/a"}},
		{"same content and time", "printf aaaa >/d/a; touch -r /d/b /d/a", nil},
		{"time", "touch -d @1500000000 /d/a", []string{"+ d", "+ d/a"}},
		{"mode", "chmod 600 /d/a", []string{"+ d", "+ d/a"}},
		{"owner", "chown 7:8 /d/a", []string{"+ d", "+ d/a"}},
		{"mode and owner as they were", "chmod 644 /d/a; chown 0:0 /d/a /d", nil},
		{"mode there and back", "chmod 600 /d/a; chmod 644 /d/a", nil},
		{"delete", "rm /d/a", []string{"+ d", "- d/a"}},
		{"delete and make as it was", "cp -p /d/a /d/c; rm /d/a; mv /d/c /d/a; touch -r /f /d", nil},
		{"delete a directory", "rm -r /d", []string{"- d"}},
		{"delete below", "rm -r /d/sub", []string{"+ d", "- d/sub"}},
		{"create and delete", "mkdir -p /d/t/u; echo >/d/t/u/v; rm -r /d/t; touch -r /f /d", nil},
		{"directory becomes file", "rm -r /d/sub; echo x >/d/sub", []string{"+ d", "+ d/sub"}},
		{"file becomes directory", "rm /f; mkdir /f; echo x >/f/in", []string{"+ f", "+ f/in"}},
		{"directory becomes link", "rm -r /d/sub; ln -s b /d/sub", []string{"+ d", "+ d/sub"}},
		{"link becomes directory", "rm /link; mkdir -p /link/in", []string{"+ link", "+ link/in"}},
		{"link leads elsewhere", "ln -sfn f /link", []string{"+ link"}},
		{"directory anew", "rm -r /d/sub; mkdir -p /d/sub; echo z >/d/sub/new", []string{"+ d", "+ d/sub", "- d/sub/deep", "+ d/sub/new", "- d/sub/x"}},
		{"rename a file", "mv /d/a /d/z", []string{"+ d", "- d/a", "+ d/z"}},
		{"rename a directory", "mv /d/sub /moved", []string{"+ d", "- d/sub", "+ moved", "+ moved/deep", "+ moved/deep/y", "+ moved/x"}},
		{"swap", "mv /d/a /d/t; mv /d/b /d/a; mv /d/t /d/b; touch -r /f /d", []string{"+ d", "+ d/a", "+ d/b"}},
		{"time of a directory", "touch -d @1500000000 /empty", []string{"+ empty"}},
		{"mode of the root", "chmod 711 /; chmod 755 /", nil},
		{"a tree", "mkdir -p /t/u/v; echo 1 >/t/u/v/w; echo 2 >/t/a", []string{"+ t", "+ t/a", "+ t/u", "+ t/u/v", "+ t/u/v/w"}},
		{"names with odd bytes", `printf x >"/d/a b"; printf x >/d/$(printf 'n\nl'); printf x >/d/$(printf '\303\244\377')`,
			[]string{"+ d", "+ d/a b", "+ d/n\nl", "+ d/ä\xff"}},
		{"a socket's place", "rm /d/a; touch -r /f /d", []string{"+ d", "- d/a"}},
		{"devices", "mknod /d/null c 1 3 2>/dev/null && rm /d/null; touch -r /f /d; true", nil},
		{"big", "head -c 3000000 /dev/zero >/d/zeros; touch -r /f /d", []string{"+ d", "+ d/zeros"}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			r := open(t, d, base...)
			defer r.close()
			r.sh(c.script)
			r.wantCommit(c.want...)
			// What was told once is not told again.
			r.sh("true")
			r.wantCommit()
		})
	}
	t.Run("chmod-root", func(t *testing.T) {
		r := open(t, d, base...)
		defer r.close()
		r.sh("chmod 711 /")
		cs := r.commit()
		if d := cmp.Diff([]string{"+ "}, lines(cs)); d != "" || cs[0].Node.Mode != 0o711 {
			t.Errorf("%+v", cs)
		}
	})
	t.Run("content", func(t *testing.T) {
		r := open(t, d, base...)
		defer r.close()
		r.sh("echo hello >/d/new; cat /d/new /d/b >/d/a")
		for _, c := range r.commit() {
			want := map[tree.Path]string{"d/new": "hello\n", "d/a": "hello\nbbbb"}[c.Path]
			if want == "" {
				continue
			}
			if got, err := readAll(c.Open); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %q", c.Path, got, err, want)
			}
			if got, err := readAll(func() (io.ReadCloser, error) { return r.box.Open(c.Path) }); err != nil || got != want {
				t.Errorf("open %s: %q, %v; want %q", c.Path, got, err, want)
			}
			if e, err := tree.Stat(r.box, c.Path); err != nil || !e.Node.SameMetadata(c.Node) {
				t.Errorf("%s: Walk shows %+v, %v; want %+v", c.Path, e.Node, err, c.Node)
			}
		}
	})
}

func testAttributes(t *testing.T, d sandbox.Driver) {
	f := File("f", "x")
	f.Node.Xattrs = tree.Xattrs{"user.kept": "old"}
	r := open(t, d, Shell(t), toy(t), Layer("x", nil, f, File("g", "x")))
	set := func(path, name, value string) error {
		t.Helper()
		out, err := r.run(sandbox.Process{Args: []string{toyName, path, name, value}, Env: shellEnv()})
		if err != nil && strings.Contains(out, "not supported") {
			t.Skipf("the file system takes no attributes: %s", out)
		}
		return err
	}
	for _, c := range []struct {
		path, name, value string
		want              []string
	}{
		{"/f", "user.kept", "old", nil},
		{"/g", "user.new", "1", []string{"+ g"}},
		{"/g", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", []string{"+ g"}},
	} {
		if strings.Contains(c.value, "\x00") {
			c.value = fmt.Sprintf(hexPrefix+"%x", c.value)
		}
		if err := set(c.path, c.name, c.value); err != nil {
			t.Errorf("set %s of %s: %v", c.name, c.path, err)
			continue
		}
		cs := r.commit()
		got := lines(cs)
		if c.want == nil {
			c.want = []string{}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("set %s of %s:\n%s", c.name, c.path, d)
		} else if len(cs) > 0 && cs[0].Node.Xattrs[c.name] == "" {
			t.Errorf("%s is not in %v", c.name, cs[0].Node.Xattrs)
		}
	}
}

func testCommits(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	r.wantCommit()
	r.sh("echo 1 >/a; mkdir /d")
	r.wantCommit("+ a", "+ d")
	r.wantCommit()
	r.apply(Layer("later", nil, File("b", "1"), File("d/x", "1"), Delete("a")))
	r.sh("echo 2 >/c")
	r.wantCommit("+ c")
	r.sh("rm /b; echo 22 >/d/x")
	r.wantCommit("- b", "+ d", "+ d/x")
	r.sh("echo 1 >/one")
	r.sh("echo 1 >/two; rm /c")
	r.wantCommit("- c", "+ one", "+ two")
	// A command that fails leaves changes all the same.
	if _, err := r.run(process("echo 3 >/three; exit 1")); err == nil {
		t.Error("exit 1 is no error")
	}
	r.wantCommit("+ three")
}

func testBackground(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	// A name of its own, since other tests on this machine may be seen.
	mark := fmt.Sprintf("x%dx%d", os.Getpid(), time.Now().UnixNano())
	r.sh("sh -c 'trap \"\" TERM HUP INT; while :; do echo " + mark + " >>/ticks; usleep 5000; done' >/dev/null 2>&1 & " +
		"setsid sh -c 'while :; do echo " + mark + " >>/ticks; usleep 5000; done' >/dev/null 2>&1 & " +
		"while ! [ -s /ticks ]; do usleep 1000; done")
	cs := r.commit()
	if d := cmp.Diff([]string{"+ ticks"}, lines(cs)); d != "" {
		t.Fatal(d)
	}
	size := cs[0].Node.Size
	time.Sleep(50 * time.Millisecond)
	wantText(t, "size of what a process left behind wrote", r.sh("stat -c %s /ticks"), fmt.Sprintln(size))
	r.wantCommit()
	if out := r.sh("ps | grep -c '[x]" + mark[1:] + "' || true"); strings.TrimSpace(out) != "0" {
		t.Errorf("processes left: %s", out)
	}
}

func testStatus(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	for script, want := range map[string]sandbox.ExitError{
		"exit 3":              {Status: 3},
		"exit 255":            {Status: 255},
		"kill -9 $$":          {Status: 137, Signal: 9},
		"kill -TERM $$":       {Status: 143, Signal: 15},
		"nonesuch":            {Status: 127},
		"false | true; false": {Status: 1},
	} {
		_, err := r.run(process(script))
		var exit *sandbox.ExitError
		if !errors.As(err, &exit) || *exit != want {
			t.Errorf("%s: %v, want %v", script, err, &want)
		}
	}
	for _, args := range [][]string{{"/no/such"}, {"nonesuch"}} {
		_, err := r.run(sandbox.Process{Args: args, Env: shellEnv()})
		var exit *sandbox.ExitError
		if !errors.As(err, &exit) || exit.Status != 127 {
			t.Errorf("%q: %v, want status 127", args, err)
		}
	}
	out, err := r.run(process("for i in 1 2 3; do echo o$i; echo e$i >&2; done"))
	wantText(t, "output", out, "o1\ne1\no2\ne2\no3\ne3\n")
	if err != nil {
		t.Error(err)
	}
	if err := r.box.Run(t.Context(), process("echo to nobody")); err != nil {
		t.Errorf("without output: %v", err)
	}
}

func testUsers(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	const script = `echo $(id -u) $(id -g) $(id -G | tr ' ' '\n' | sort -n) $HOME`
	for user, want := range map[string]string{
		"":          "0 0 0 /root\n",
		"root":      "0 0 0 /root\n",
		"app":       "1234 2345 2345 3456 /home/app\n",
		"1234":      "1234 2345 2345 3456 /home/app\n",
		"app:extra": "1234 3456 3456 /home/app\n",
		"app:77":    "1234 77 77 /home/app\n",
		"4321:1":    "4321 1 1 /\n",
	} {
		p := process(script)
		p.User = user
		out, err := r.run(p)
		if err != nil {
			t.Errorf("user %q: %v: %s", user, err, out)
			continue
		}
		wantText(t, "user "+user, out, want)
	}
	p := process("true")
	p.User = "nobody-knows"
	if _, err := r.run(p); err == nil || !strings.Contains(err.Error(), "nobody-knows") {
		t.Errorf("unknown user: %v", err)
	}
	// A user that a command made.
	r.sh("echo late:x:999:999::/:/bin/sh >>/etc/passwd")
	r.wantCommit("+ etc", "+ etc/passwd")
	p = process("id -u; echo x >/tmp/mine")
	p.User = "late"
	out, err := r.run(p)
	if err != nil || out != "999\n" {
		t.Errorf("late user: %q, %v", out, err)
	}
	cs := r.commit()
	if d := cmp.Diff([]string{"+ tmp", "+ tmp/mine"}, lines(cs)); d != "" || cs[1].Node.UID != 999 || cs[0].Node.Mode != 0o1777 {
		t.Errorf("%+v", cs)
	}
}

func testSurroundings(t *testing.T, d sandbox.Driver) {
	t.Setenv("SANDBOXTEST_SECRET", "leaked")
	r := open(t, d, Shell(t))
	wantText(t, "environment", r.sh("env | grep -v -e ^PATH= -e ^PWD= -e ^SHLVL= -e ^_= | sort"), "HOME=/root\n")
	p := process("echo $A,$HOME")
	p.Env = append(shellEnv(), "A=b c", "HOME=/elsewhere")
	out, err := r.run(p)
	if err != nil || out != "b c,/elsewhere\n" {
		t.Errorf("environment: %q, %v", out, err)
	}
	r.sh("if read x; then exit 1; fi") // end of input, and no waiting
	r.sh("echo x >/dev/null; [ -c /dev/null ]; head -c 3 /dev/zero | wc -c | grep -q 3; head -c 1 /dev/urandom >/dev/null")
	r.sh("[ -r /proc/self/status ]; [ -d /proc/$$ ]; [ -e /proc/self/fd/0 ]; echo x >/dev/stdout; echo x >/dev/stderr")
	r.sh("cat /etc/hosts /etc/resolv.conf >/dev/null 2>&1 || true; echo edited >>/etc/resolv.conf || true; echo edited >>/etc/hosts || true")
	r.sh("echo x >/dev/new-file 2>/dev/null || true; touch /sys/x 2>/dev/null || true")
	r.wantCommit()
	got, err := readAll(func() (io.ReadCloser, error) { return r.box.Open("etc/resolv.conf") })
	if err != nil || got != "# of the image\n" {
		t.Errorf("the image's resolv.conf is %q, %v", got, err)
	}
	for _, name := range os.Environ() {
		if strings.HasPrefix(name, "SANDBOXTEST_SECRET=") {
			if out := r.sh("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c ^SANDBOXTEST_SECRET=x || true"); out != "0\n" {
				t.Errorf("environment shows up: %s", out)
			}
		}
	}
}

func testDirectory(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t), Layer("dirs", nil, as(Dir("mine", 0), 0o700, 1234, 2345), Symlink("to-mine", "mine")))
	run := func(dir tree.Path, user string) string {
		t.Helper()
		p := process("pwd -P; echo x >f")
		p.Dir, p.User = dir, user
		out, err := r.run(p)
		if err != nil {
			t.Fatalf("in %q: %v: %s", dir, err, out)
		}
		return out
	}
	wantText(t, "directory", run("mine", "app"), "/mine\n")
	r.wantCommit("+ mine", "+ mine/f")
	wantText(t, "directory", run("to-mine", ""), "/mine\n")
	r.commit()
	wantText(t, "directory", run("new/er", ""), "/new/er\n")
	cs := r.commit()
	if d := cmp.Diff([]string{"+ new", "+ new/er", "+ new/er/f"}, lines(cs)); d != "" {
		t.Fatal(d)
	}
	if n := cs[1].Node; n.Mode != 0o755 || n.UID != 0 || n.GID != 0 {
		t.Errorf("made directory is %+v", n)
	}
}

func testFiles(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	for _, user := range []string{"", "app"} {
		p := process("cat /dev/pipes/script /dev/pipes/data; /dev/pipes/script")
		p.User = user
		p.Files = []sandbox.File{
			{Name: "script", Mode: 0o755, Data: "#!/bin/sh\necho ran\n"},
			{Name: "data", Mode: 0o400, Data: "\x00data\n"},
		}
		out, err := r.run(p)
		if err != nil {
			t.Errorf("user %q: %v: %s", user, err, out)
		}
		wantText(t, "files", out, "#!/bin/sh\necho ran\n\x00data\nran\n")
	}
	r.sh("! [ -e /dev/pipes ]")
	r.wantCommit()
}

func testKeys(t *testing.T, d sandbox.Driver) {
	calls := 0
	shell := Shell(t)
	base := Layer("counted", &calls, File("f", "1"))
	for range 3 {
		r := open(t, d, shell, base)
		wantText(t, "content", r.sh("cat /f; [ ! -e /left ]; echo 2 >/f; echo x >/left"), "1")
		r.close()
	}
	// A sandbox that only read leaves its root as it was.
	calls = 0
	for range 3 {
		r := open(t, d, shell, base)
		wantText(t, "content", readFile(t, r.box, "f"), "1")
		r.close()
	}
	if calls > 1 {
		t.Errorf("the same layer was read %d times for the same roots", calls)
	}
	r := open(t, d, shell)
	r.sh("[ ! -e /f ]")
	if _, err := r.box.Open("f"); err == nil {
		t.Error("a file of another root is there")
	}
	r.close()
	// Without a key nothing is known.
	for _, content := range []string{"a", "b"} {
		r := open(t, d, shell, Layer("", nil, File("f", content)))
		wantText(t, "content", r.sh("cat /f"), content)
		r.close()
	}
}

func readFile(t *testing.T, fsys tree.FS, p tree.Path) string {
	t.Helper()
	s, err := readAll(func() (io.ReadCloser, error) { return fsys.Open(p) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testStages starts a second sandbox from what the first committed.
func testStages(t *testing.T, d sandbox.Driver) {
	shell := Shell(t)
	first := open(t, d, shell, Layer("stage", nil, Dir("d", 0o755), File("d/f", "1"), File("gone", "1")))
	first.sh("echo 2 >/d/f; echo 2 >/new; rm /gone; ln /new /newer")
	key := "commit-of-first"
	cs, err := drain(first.box.Commit(t.Context(), key))
	if err != nil {
		t.Fatal(err)
	}
	first.close()
	second := open(t, d, shell, Layer("stage", nil, Dir("d", 0o755), File("d/f", "1"), File("gone", "1")), Layer(key, nil, cs...),
		Layer("copy", nil, File("d/copied", "3")))
	wantText(t, "what the second stage sees", second.sh("cd / && cat d/f new newer d/copied && ls d && [ ! -e gone ] && [ new -ef newer ]"), "2\n2\n2\n3copied\nf\n")
	wantText(t, "content", readFile(t, second.box, "d/f"), "2\n")
	second.sh("echo 4 >>/d/f")
	second.wantCommit("+ d", "+ d/f")
	second.close()
	third := open(t, d, shell)
	wantText(t, "what a third stage sees", third.sh("ls -d /d /new /newer 2>/dev/null || echo nothing"), "nothing\n")
}

// testSiblings is sandboxes one after the other that begin with the same layers. None
// sees what another did.
func testSiblings(t *testing.T, d sandbox.Driver) {
	base := []sandbox.Layer{Shell(t), Layer("siblings", nil, as(Dir("d", 0), 0o2750, 3, 4), as(File("d/f", "1"), 0o4711, 5, 6), File("d/g", "22"),
		File("d/one", "3"), Hard("d/two", "d/one"), Symlink("d/l", "f"), Dir("d/sub", 0o700), File("d/sub/deep", "4"), File("d/empty", "")),
		Layer("siblings' second", nil, Delete("d/g"), File("d/g", "55"), Dir("e", 0o755))}
	look := "cd / && for p in $(find /d /e /new /moved 2>/dev/null | sort); do stat -c '%n %F %a %u:%g %h %Y' $p; [ ! -f $p ] || cat $p; done; readlink /d/l; [ /d/one -ef /d/two ]"
	first := open(t, d, base...)
	want := first.sh(look)
	first.close()
	for _, script := range []string{
		"echo >/new", "rm -r /d", "rm -r /d; echo >/d", "mv /d /moved; mkdir /d", "echo more >>/d/f; echo more >>/d/g", "rm /d/f; ln /d/g /d/f",
		"echo more >/d/two", "rm /d/one", "chmod 777 /d; chown 7:8 /d /d/sub; touch -d @1500000000 /d/sub", "ln -sfn sub /d/l; rm -r /d/sub; ln -s /e /d/sub; echo >/d/sub/new",
		"rm /d/empty; mkfifo /d/empty", "rm -r /e; mv /d /e; ln -s e /d", "true",
	} {
		r := open(t, d, base...)
		wantText(t, "what is there before "+script, r.sh(look), want)
		r.sh(script)
		r.commit()
		r.apply(Layer("copied after "+script, nil, File("e/x", "1"), Dir("new", 0o755), File("d/f", "copied"), File("new/x", "1")))
		r.sh("echo >>/d/f; rm -r /new")
		r.commit()
		r.close()
	}
	last := open(t, d, base...)
	wantText(t, "what is there in the end", last.sh(look), want)
	wantText(t, "content", readFile(t, last.box, "d/g"), "55")
	last.wantCommit()
	last.sh("chmod 4711 /d/f; touch -d @1600000000 /d/f /d")
	last.wantCommit()
}

func testLayers(t *testing.T, d sandbox.Driver) {
	layers := []sandbox.Layer{Shell(t)}
	const n = 120
	for i := range n {
		layers = append(layers, Layer(fmt.Sprint("many:", i), nil,
			Dir("many", 0o755), File(tree.Path(fmt.Sprint("many/", i)), fmt.Sprint(i)), File("last", fmt.Sprint(i))))
	}
	r := open(t, d, layers...)
	wantText(t, "files", r.sh("ls /many | wc -l; cat /last"), fmt.Sprintf("%d\n%d", n, n-1))
	for i := range 5 {
		r.sh(fmt.Sprintf("echo %d >/many/new%d", i, i))
		r.wantCommit("+ many", fmt.Sprint("+ many/new", i))
	}
	r.apply(Layer("more", nil, Delete("many")))
	wantText(t, "after deletion", r.sh("[ -e /many ] || echo gone"), "gone\n")
}

func testCancel(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough of this")
	out := &trigger{do: func() { cancel(cause) }}
	p := process("trap '' TERM; echo started; while :; do sleep 1; done")
	p.Output = out
	start := time.Now()
	err := r.box.Run(ctx, p)
	if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled command: %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if err := r.box.Apply(ctx, Layer("x", nil, File("x", "1"))); err == nil {
		t.Error("apply goes on after its context has ended")
	}
	r.close()
	r = open(t, d, Shell(t))
	wantText(t, "the next one", r.sh("echo works"), "works\n")
}

// trigger does something once, on the first output.
type trigger struct{ do func() }

func (w *trigger) Write(b []byte) (int, error) {
	w.do()
	return len(b), nil
}

func testErrors(t *testing.T, d sandbox.Driver) {
	r := open(t, d, Shell(t))
	bad := errors.New("the registry went away")
	err := r.box.Apply(t.Context(), sandbox.Layer{Key: "broken", Changes: func(context.Context) layer.Changes {
		return func(yield func(layer.Change, error) bool) {
			if yield(File("half", "1"), nil) {
				yield(layer.Change{}, bad)
			}
		}
	}})
	if !errors.Is(err, bad) {
		t.Errorf("a broken layer: %v", err)
	}
	r.close()
	// Half a layer is no layer.
	r = open(t, d, Shell(t), Layer("broken", nil, File("whole", "1")))
	wantText(t, "after a broken layer", r.sh("ls /half /whole 2>/dev/null || true"), "/whole\n")
	r.close()
	if err := r.box.Run(t.Context(), process("true")); err == nil {
		t.Error("a closed sandbox runs commands")
	}
	if d.Limit() == 1 {
		r = open(t, d)
		if _, err := d.New(t.Context(), "second"); err == nil {
			t.Error("a second sandbox where the limit is one")
		}
	}
}
