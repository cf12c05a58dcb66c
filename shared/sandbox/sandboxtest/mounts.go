package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Lack is something that a driver cannot do, so that the suite does not ask for it.
type Lack int

// What a driver may lack.
const (
	NoReadOnly Lack = iota + 1 // a command of root can write to what is read-only
	NoOffline                  // a command always has the machine's network
)

// mounted is what the mount tests start from.
func mounted(t *testing.T, d sandbox.Driver) *root {
	t.Helper()
	r := open(t, d, Shell(t), toy(t), Layer("mounts", nil,
		Dir("d", 0o755), File("d/f", "of the image\n"), Dir("d/sub", 0o755), File("d/sub/g", "g\n"),
		as(Dir("own", 0), 0o2750, 1234, 2345), Dir("empty", 0o755), File("file", "file\n"),
		Symlink("to-d", "d"), Symlink("to-file", "/file"), Symlink("dangling", "nowhere/x"), Symlink("up", "../../../d"),
		Dir("w", 0o755)))
	return r
}

// files are a file system to bind: content is at hand, and nothing else.
func files(t *testing.T) *tree.Tree {
	t.Helper()
	out := &tree.Tree{}
	out.Put(tree.Root, Dir(tree.Root, 0o755).Node)
	for _, p := range []tree.Path{"s", "s/dir"} {
		out.Put(p, Dir(p, 0o755).Node)
	}
	for p, content := range map[tree.Path]string{"s/f": "from there\n", "s/dir/g": "deep\n", "top": "top\n"} {
		out.Put(p, File(p, content).Node)
		out.Keep(p, content)
	}
	own := as(File("s/own", "x"), 0o640, 1234, 2345)
	out.Put("s/own", own.Node)
	out.Keep("s/own", "x")
	for p, to := range map[tree.Path]string{"link": "s", "abs": "/s/f", "s/l": "f"} {
		out.Put(p, Symlink(p, to).Node)
	}
	return out
}

// sources are file systems with the same content as files, each of its kind.
func sources(t *testing.T, d sandbox.Driver) map[string]tree.FS {
	t.Helper()
	out := map[string]tree.FS{"memory": files(t)}
	if d.Limit() == 1 {
		return out
	}
	box := open(t, d, Layer("source", nil, Dir("s", 0o755), File("s/f", "of an earlier layer\n"), File("s/gone", "x"), File("top", "top\n")),
		Layer("source2", nil, Dir("s", 0o755), File("s/f", "from there\n"), Delete("s/gone"), Dir("s/dir", 0o755), File("s/dir/g", "deep\n"),
			as(File("s/own", "x"), 0o640, 1234, 2345), Symlink("link", "s"), Symlink("abs", "/s/f"), Symlink("s/l", "f")))
	out["sandbox"] = box.box
	return out
}

func bind(fsys tree.FS, from, target tree.Path) sandbox.Mount {
	return sandbox.Mount{Target: target, ReadOnly: true, Files: &sandbox.Bind{FS: fsys, From: from, Key: "test"}}
}

func writable(m sandbox.Mount) sandbox.Mount {
	m.ReadOnly = false
	return m
}

func tmpfs(target tree.Path) sandbox.Mount {
	return sandbox.Mount{Target: target, Tmpfs: &sandbox.Tmpfs{}}
}

func secret(target tree.Path, mode tree.Mode, uid, gid int) sandbox.Mount {
	return sandbox.Mount{Target: target, ReadOnly: true,
		File: &sandbox.Secret{Data: []byte("hush\x00\xff\n"), Mode: mode, UID: uid, GID: gid}}
}

// with is a shell command that finds mounts.
func with(script string, ms ...sandbox.Mount) sandbox.Process {
	p := process("set -e\n" + script)
	p.Mounts = ms
	return p
}

func (r *root) mustRun(p sandbox.Process) string {
	r.t.Helper()
	out, err := r.run(p)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", p.Args[len(p.Args)-1], err, out)
	}
	return out
}

func testBinds(t *testing.T, d sandbox.Driver, lacks []Lack) {
	for name, fsys := range sources(t, d) {
		t.Run(name, func(t *testing.T) {
			r := mounted(t, d)
			defer r.close()
			const list = "cd /m; find . | sort | tr '\\n' ' '; cat f dir/g l; stat -c '%n %a %u:%g %Y' f own"
			const listed = ". ./dir ./dir/g ./f ./l ./own from there\ndeep\nfrom there\n" +
				"f 644 0:0 1600000000\nown 640 1234:2345 1600000000\n"
			wantText(t, "a directory", r.mustRun(with(list, bind(fsys, "s", "m"))), listed)
			wantText(t, "through a link", r.mustRun(with(list, bind(fsys, "link", "m"))), listed)
			wantText(t, "the root", r.mustRun(with("ls /m /m/s/dir", bind(fsys, tree.Root, "m"))), "/m:\nabs\nlink\ns\ntop\n\n/m/s/dir:\ng\n")
			wantText(t, "a file", r.mustRun(with("cat /d/new; [ -f /d/new ]", bind(fsys, "top", "d/new"))), "top\n")
			wantText(t, "a file through a link", r.mustRun(with("cat /d/f", bind(fsys, "abs", "d/f"))), "from there\n")
			wantText(t, "two", r.mustRun(with("cat /m/f /n/g", bind(fsys, "s", "m"), bind(fsys, "s/dir", "n"))), "from there\ndeep\n")
			r.wantCommit()

			const write = "echo lost >/m/f; echo x >/m/new; rm /m/dir/g; mv /m/own /m/other; chmod 700 /m; cat /m/f; ls /m"
			wantText(t, "what was written", r.mustRun(with(write, writable(bind(fsys, "s", "m")))), "lost\ndir\nf\nl\nnew\nother\n")
			wantText(t, "a file written", r.mustRun(with("echo lost >/m; cat /m", writable(bind(fsys, "top", "m")))), "lost\n")
			wantText(t, "afterwards", r.mustRun(with(list+"; cat /n; stat -c %a /m", bind(fsys, "s", "m"), bind(fsys, "top", "n"))), listed+"top\n755\n")
			r.wantCommit()
			if !slices.Contains(lacks, NoReadOnly) {
				out, err := r.run(with("{ echo x >/m/f; } 2>/dev/null || echo refused; touch /m/x 2>/dev/null || echo refused; rm /m/f 2>/dev/null || echo refused",
					bind(fsys, "s", "m")))
				if err != nil || out != "refused\nrefused\nrefused\n" {
					t.Errorf("writing to a read-only bind: %q, %v", out, err)
				}
			}
			if _, err := r.run(with("true", bind(fsys, "none/such", "m"))); err == nil || !strings.Contains(err.Error(), "none/such") {
				t.Errorf("a bind of what is not there: %v", err)
			}
			r.wantCommit()
		})
	}
	t.Run("once", func(t *testing.T) {
		r := mounted(t, d)
		counted := &countedFS{FS: files(t)}
		for range 3 {
			wantText(t, "content", r.mustRun(with("cat /m/f", bind(counted, "s", "m"))), "from there\n")
		}
		if n := counted.opens["s/f"]; n > 1 {
			t.Errorf("what has a key is read %d times", n)
		}
		for range 2 {
			m := bind(counted, "s", "m")
			m.Files.Key = ""
			wantText(t, "content", r.mustRun(with("cat /m/f", m)), "from there\n")
		}
		if n := counted.opens["s/f"]; n < 2 {
			t.Errorf("what has no key is read %d times", n)
		}
	})
}

// countedFS counts how often a file is opened.
type countedFS struct {
	tree.FS
	mu    sync.Mutex
	opens map[tree.Path]int
}

func (c *countedFS) Open(p tree.Path) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opens == nil {
		c.opens = map[tree.Path]int{}
	}
	c.opens[p]++
	return c.FS.Open(p)
}

// testMounts is one command each, on the same root. Whatever it mounts, the root
// is then as before, but for what the command put beside.
func testMounts(t *testing.T, d sandbox.Driver, lacks []Lack) {
	shared := t.TempDir()
	if err := os.WriteFile(filepath.Join(shared, "kept"), []byte("kept\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(shared, 0o755), os.Chmod(filepath.Dir(shared), 0o755)); err != nil {
		t.Fatal(err)
	}
	dir := func(target tree.Path) sandbox.Mount {
		return sandbox.Mount{Target: target, Dir: &sandbox.Directory{Path: shared}}
	}
	src := files(t)
	for _, c := range []struct {
		name   string
		mounts []sandbox.Mount
		script string
		out    string
		dir    tree.Path
		user   string
		want   []string
		lack   Lack // the test is skipped without
	}{
		{name: "directory", mounts: []sandbox.Mount{dir("c")}, script: "cat /c/kept; echo 1 >/c/new; ls /c", out: "kept\nkept\nnew\n"},
		{name: "directory again", mounts: []sandbox.Mount{dir("deep/er/c")}, script: "cat /deep/er/c/new; rm /deep/er/c/new", out: "1\n"},
		{name: "directory over content", mounts: []sandbox.Mount{dir("d")}, script: "ls /d; rm -rf /d/* ; echo kept >/d/kept", out: "kept\n"},
		{name: "read-only directory", mounts: []sandbox.Mount{{Target: "c", ReadOnly: true, Dir: &sandbox.Directory{Path: shared}}},
			script: "cat /c/kept; touch /c/x 2>/dev/null || echo refused", out: "kept\nrefused\n", lack: NoReadOnly},
		{name: "two at one directory", mounts: []sandbox.Mount{dir("c1"), dir("c2")}, script: "echo 2 >/c1/x; cat /c2/x; rm /c2/x; [ ! -e /c1/x ]", out: "2\n"},

		{name: "tmpfs", mounts: []sandbox.Mount{tmpfs("t")}, script: "stat -c '%a %u:%g' /t; ls -A /t; echo x >/t/x; cat /t/x", out: "1777 0:0\nx\n"},
		{name: "tmpfs over content", mounts: []sandbox.Mount{tmpfs("d")}, script: "ls -A /d; stat -c '%a %u:%g' /d; echo x >/d/f; echo y >/d/new", out: "755 0:0\n"},
		{name: "tmpfs for a user", mounts: []sandbox.Mount{tmpfs("t/u")}, user: "app", script: "echo x >/t/u/x; stat -c %u /t/u/x; stat -c '%a %u' /t", out: "1234\n755 0\n"},
		{name: "tmpfs over another's", mounts: []sandbox.Mount{tmpfs("own")}, script: "stat -c '%a %u:%g' /own", out: "2750 0:0\n"},
		{name: "tmpfs with a size", mounts: []sandbox.Mount{{Target: "t", Tmpfs: &sandbox.Tmpfs{Size: 1 << 20}}},
			script: "head -c 100000 /dev/zero >/t/some; stat -c %s /t/some", out: "100000\n"},

		{name: "secret", mounts: []sandbox.Mount{secret("run/secrets/s", 0o400, 0, 0)},
			script: "stat -c '%a %u:%g %s' /run/secrets/s; stat -c '%a %u:%g' /run /run/secrets; od -An -tx1 /run/secrets/s",
			out:    "400 0:0 7\n755 0:0\n755 0:0\n 68 75 73 68 00 ff 0a\n"},
		{name: "secret of a user", mounts: []sandbox.Mount{secret("run/secrets/s", 0o440, 1234, 2345)}, user: "app",
			script: "stat -c '%a %u:%g' /run/secrets/s; head -c 4 /run/secrets/s", out: "440 1234:2345\nhush"},
		{name: "secret of another", mounts: []sandbox.Mount{secret("run/secrets/s", 0o400, 0, 0)}, user: "app",
			script: "cat /run/secrets/s 2>/dev/null || echo refused", out: "refused\n"},
		{name: "secret over a file", mounts: []sandbox.Mount{secret("d/f", 0o444, 7, 8)}, script: "head -c 4 /d/f; stat -c %u:%g /d/f", out: "hush7:8\n"},
		{name: "secret through a link", mounts: []sandbox.Mount{secret("to-file", 0o400, 0, 0)}, script: "head -c 4 /file; readlink /to-file", out: "hush/file\n"},
		{name: "secret in etc", mounts: []sandbox.Mount{secret("etc/passwd2", 0o400, 0, 0)}, script: "head -c 4 /etc/passwd2", out: "hush"},
		{name: "secret is read-only", mounts: []sandbox.Mount{secret("s", 0o600, 0, 0)},
			script: "{ echo x >/s; } 2>/dev/null || echo refused", out: "refused\n", lack: NoReadOnly},
		{name: "empty secret", mounts: []sandbox.Mount{{Target: "s", File: &sandbox.Secret{Mode: 0o400}}}, script: "stat -c '%s %a' /s", out: "0 400\n"},

		{name: "nested", mounts: []sandbox.Mount{tmpfs("a"), dir("a/b"), secret("a/b2/s", 0o400, 0, 0)}, script: "ls /a; cat /a/b/kept; ls /a/b2; echo x >/a/x",
			out: "b\nb2\nkept\ns\n"},
		{name: "nested in missing", mounts: []sandbox.Mount{dir("a/b/c"), tmpfs("a/x"), tmpfs("a/b/y")}, script: "find /a | sort | tr '\\n' ' '",
			out: "/a /a/b /a/b/c /a/b/c/kept /a/b/y /a/x "},
		{name: "nested in content", mounts: []sandbox.Mount{tmpfs("d"), bind(src, "s", "d/sub")}, script: "ls /d /d/sub", out: "/d:\nsub\n\n/d/sub:\ndir\nf\nl\nown\n"},
		{name: "in a writable bind", mounts: []sandbox.Mount{writable(bind(src, "s", "m")), tmpfs("m/t")}, script: "ls /m; echo x >/m/t/x", out: "dir\nf\nl\nown\nt\n"},

		{name: "at a link", mounts: []sandbox.Mount{tmpfs("to-d")}, script: "ls -A /d; readlink /to-d; echo x >/to-d/x; cat /d/x", out: "d\nx\n"},
		{name: "below a link", mounts: []sandbox.Mount{tmpfs("to-d/new/er")}, script: "ls /d/new; ls /d", out: "er\nf\nnew\nsub\n"},
		{name: "at a dangling link", mounts: []sandbox.Mount{tmpfs("dangling")}, script: "echo x >/nowhere/x/y; cat /dangling/y", out: "x\n"},
		{name: "at a link that climbs", mounts: []sandbox.Mount{tmpfs("up")}, script: "ls -A /d; echo x >/d/x", out: ""},

		{name: "the working directory", mounts: []sandbox.Mount{tmpfs("w")}, dir: "w", script: "pwd; ls -A; echo x >x; cat /w/x", out: "/w\nx\n"},
		{name: "in the working directory", mounts: []sandbox.Mount{tmpfs("w/a/b")}, dir: "w", script: "pwd; ls; echo x >a/b/x", out: "/w\na\n"},
		{name: "in a working directory to be", mounts: []sandbox.Mount{tmpfs("new/d/t")}, dir: "new/d", script: "pwd; ls; echo x >t/x", out: "/new/d\nt\n",
			want: []string{"+ new", "+ new/d"}},
		{name: "above the working directory", mounts: []sandbox.Mount{tmpfs("w")}, dir: "w/d", script: "pwd; stat -c %a ..", out: "/w/d\n755\n", want: []string{"+ w", "+ w/d"}},

		{name: "beside", mounts: []sandbox.Mount{tmpfs("a/b/c")}, script: "echo x >/a/side; echo y >/a/b/c/lost", want: []string{"+ a", "+ a/side"}},
		{name: "beside, in what is there", mounts: []sandbox.Mount{tmpfs("d/t")}, script: "echo x >/d/side", want: []string{"+ d", "+ d/side"}},
		{name: "delete around", mounts: []sandbox.Mount{tmpfs("d/sub"), secret("x/y/s", 0o400, 0, 0)}, script: "rm /d/f; rm -rf /x 2>/dev/null || true",
			want: []string{"+ d", "- d/f"}},
		{name: "delete what is hidden", mounts: []sandbox.Mount{tmpfs("d/sub"), secret("file", 0o400, 0, 0)}, script: "rm -rf /d/sub /file 2>/dev/null || true"},
		{name: "below dev", mounts: []sandbox.Mount{tmpfs("dev/own"), secret("dev/s", 0o400, 0, 0)}, script: "echo x >/dev/own/x; head -c 4 /dev/s", out: "hush"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			if c.lack != 0 && slices.Contains(lacks, c.lack) {
				t.Skip("the driver says that it cannot")
			}
			r := mounted(t, d)
			defer r.close()
			before := r.look()
			p := with(c.script, c.mounts...)
			p.Dir, p.User = c.dir, c.user
			out, err := r.run(p)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			wantText(t, "output", out, c.out)
			if len(c.want) == 0 {
				if d := cmp.Diff(before, r.look()); d != "" {
					t.Errorf("the root afterwards (-before +after):\n%s", d)
				}
			}
			r.wantCommit(c.want...)
			for _, m := range c.mounts {
				if m.File == nil {
					continue
				}
				if s, err := readAll(func() (io.ReadCloser, error) { return r.box.Open(m.Target) }); err == nil && strings.Contains(s, "hush") {
					t.Errorf("%s is in the root", m.Target)
				}
			}
		})
	}
	if b, err := os.ReadFile(filepath.Join(shared, "kept")); err != nil || string(b) != "kept\n" {
		t.Errorf("the directory of this machine has %q, %v", b, err)
	}
	for _, c := range []struct {
		name  string
		mount sandbox.Mount
	}{
		{"directory over a file", tmpfs("file")},
		{"file over a directory", secret("d", 0o400, 0, 0)},
		{"below a file", tmpfs("file/x")},
		{"bind of a directory over a file", bind(src, "s", "file")},
		{"bind of a file over a directory", bind(src, "top", "d")},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			r := mounted(t, d)
			defer r.close()
			before := r.look()
			out, err := r.run(with("echo ran", c.mount))
			var exit *sandbox.ExitError
			if err == nil || errors.As(err, &exit) || out != "" || !strings.Contains(err.Error(), string(c.mount.Target)) {
				t.Errorf("%q, %v", out, err)
			}
			if d := cmp.Diff(before, r.look()); d != "" {
				t.Errorf("the root afterwards (-before +after):\n%s", d)
			}
			r.wantCommit()
		})
	}
}

// look lists the root with all that mounting could touch, times included; of etc
// without what a driver itself puts there for a command.
func (r *root) look() []string {
	r.t.Helper()
	out := r.sh("cd /; find . -xdev \\( -path ./proc -o -path ./dev -o -path ./sys -o -path ./kaniko -o -path './bin/*' \\) -prune -o " +
		"! -path . ! -path ./etc/hosts ! -path ./etc/hostname ! -path ./etc/resolv.conf " +
		"-exec stat -c '%n %F %a %u:%g %s %Y %N' {} + | sort; cat /d/f /d/sub/g /file")
	return strings.Split(out, "\n")
}

func testSockets(t *testing.T, d sandbox.Driver) {
	r := mounted(t, d)
	socket := func(target tree.Path, mode tree.Mode, uid, gid int) sandbox.Mount {
		return sandbox.Mount{Target: target, Socket: &sandbox.Socket{Mode: mode, UID: uid, GID: gid,
			Serve: func(ctx context.Context, client io.ReadWriteCloser) {
				defer client.Close()
				b := make([]byte, 64)
				for ctx.Err() == nil {
					n, err := client.Read(b)
					if err != nil {
						return
					}
					fmt.Fprintf(client, "%s:%s", target, b[:n])
				}
			}}}
	}
	const talk = "/bin/" + toyName + " " + toyConnect + " "
	p := with("for i in 1 2 3; do "+talk+"/run/agent/0 hello$i; done; "+talk+"/tmp/second x; stat -c '%F %a %u:%g' /run/agent/0 /tmp/second",
		socket("run/agent/0", 0o600, 0, 0), socket("tmp/second", 0o660, 1234, 2345))
	wantText(t, "talk", r.mustRun(p), "run/agent/0:hello1\nrun/agent/0:hello2\nrun/agent/0:hello3\ntmp/second:x\n"+
		"socket 600 0:0\nsocket 660 1234:2345\n")
	p = with(talk+"/run/a mine; "+talk+"/run/b theirs 2>/dev/null || echo refused", socket("run/a", 0o600, 1234, 0), socket("run/b", 0o600, 0, 0))
	p.User = "app"
	wantText(t, "talk as another user", r.mustRun(p), "run/a:mine\nrefused\n")
	r.sh("[ ! -e /run ]; [ -z \"$(ls -A /tmp)\" ]")
	r.wantCommit()
	// A client that is never answered does not keep anybody.
	p = with(talk+"/s x & sleep 0.1", sandbox.Mount{Target: "s", Socket: &sandbox.Socket{Mode: 0o600,
		Serve: func(ctx context.Context, client io.ReadWriteCloser) {
			defer client.Close()
			<-ctx.Done()
		}}})
	r.mustRun(p)
	r.wantCommit()
}

func testOffline(t *testing.T, d sandbox.Driver, lacks []Lack) {
	if slices.Contains(lacks, NoOffline) {
		if err := d.Check(sandbox.Needs{Offline: true}); err == nil {
			t.Error("a driver without networks of its own says that it has")
		}
		return
	}
	if err := d.Check(sandbox.Needs{}); err != nil {
		t.Error(err)
	}
	if err := d.Check(sandbox.Needs{Offline: true}); err != nil {
		t.Skip(err)
	}
	r := mounted(t, d)
	p := process("set -e; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; (echo hello | nc -l -p 4242 127.0.0.1 &) ; " +
		"for i in 1 2 3 4 5 6 7 8 9 10; do nc 127.0.0.1 4242 </dev/null && break; usleep 100000; done 2>/dev/null")
	p.Offline = true
	wantText(t, "interfaces, and what came through one", r.mustRun(p), "lo\nhello\n")
	r.wantCommit()
	all := r.sh("cut -d: -f1 /proc/net/dev | tail -n +3 | wc -l")
	own, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintln(strings.Count(string(own), "\n") - 2); all != want {
		t.Errorf("the next command has %s interfaces, and the machine %s", all, want)
	}
}
