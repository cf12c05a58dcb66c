package inplace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// insideEnv says that the root is the jail's already: a jailed test runs itself.
const insideEnv = jailEnv + "_INSIDE"

// mountRoot is what the tests of mounts start from.
func mountRoot(t testing.TB, d *Driver) sandbox.Sandbox {
	t.Helper()
	return open(t, d, sandboxtest.Shell(t), sandboxtest.Layer("mounts", nil,
		sandboxtest.Dir("d", 0o755), sandboxtest.File("d/f", "of the image"), sandboxtest.Dir("d/sub", 0o755), sandboxtest.File("d/sub/g", "g")))
}

func shAs(t testing.TB, box sandbox.Sandbox, user, script string, ms ...sandbox.Mount) string {
	t.Helper()
	out, err := try(t.Context(), box, user, script, ms...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func try(ctx context.Context, box sandbox.Sandbox, user, script string, ms ...sandbox.Mount) (string, error) {
	var out bytes.Buffer
	err := box.Run(ctx, sandbox.Process{Args: []string{"/bin/sh", "-ec", script}, Env: []string{"PATH=/bin"}, User: user, Output: &out, Mounts: ms})
	return out.String(), err
}

// cacheDir makes a directory of the machine with a file "old".
func cacheDir(t testing.TB, dir string) (mount func(target tree.Path) sandbox.Mount) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return func(target tree.Path) sandbox.Mount {
		return sandbox.Mount{Target: target, Dir: &sandbox.Directory{Path: dir}}
	}
}

func secretAt(target tree.Path) sandbox.Mount {
	return sandbox.Mount{Target: target, ReadOnly: true, File: &sandbox.Secret{Data: []byte("hush"), Mode: 0o444}}
}

func wantFile(t testing.TB, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if want == "" && errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil || string(b) != want {
		t.Errorf("%s: %q, %v; want %q", path, b, err, want)
	}
}

// A cache on a volume cannot be renamed into place.
func TestJail_mountVolume(t *testing.T) {
	needJail(t)
	mount(t, "/vol")
	for _, tt := range []struct {
		name, user string
		mode       os.FileMode
		shown      string // how the target looks
	}{
		{"root", "", 0o700, "symbolic link"},
		{"user", "app", 0o755, "symbolic link"},
		{"shut-out", "app", 0o700, "directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := cacheDir(t, "/vol/private/cache")
			if err := os.Chmod("/vol/private", tt.mode); err != nil {
				t.Fatal(err)
			}
			box := mountRoot(t, newDriver(t, Options{}))
			defer box.Close()
			out := shAs(t, box, tt.user, "stat -c %F /d; cat /d/old; echo new >/d/new; mkdir /d/sub; rm /d/old; [ ! -e /d/f ]", at("d"))
			if want := tt.shown + "\nold"; out != want {
				t.Errorf("%q, want %q", out, want)
			}
			want(t, "changes", commit(t, box, "a"))
			want(t, "the cache", names(t, "/vol/private/cache"), "new", "sub")
			want(t, "beside it", names(t, "/vol/private"), "cache")
			wantFile(t, "/d/f", "of the image")
			if st, err := os.Stat("/vol/private/cache"); err != nil || st.Mode().Perm() != 0o777 {
				t.Errorf("the cache: %v, %v", st, err)
			}
			// A mount in the cache hides what the cache has there.
			out = shAs(t, box, "", "cat /c/new; echo x >/c/sub/lost; mkdir /c/made", at("c"), sandbox.Mount{Target: "c/sub", Tmpfs: &sandbox.Tmpfs{}}, secretAt("c/new"))
			if out != "hush" {
				t.Errorf("a secret in the cache: %q", out)
			}
			want(t, "the cache", names(t, "/vol/private/cache"), "made", "new", "sub")
			want(t, "in the cache", names(t, "/vol/private/cache/sub"))
			wantFile(t, "/vol/private/cache/new", "new\n")
			// One who deletes the link and makes a directory means the cache.
			shAs(t, box, "", "rm -rf /c; mkdir /c; echo anew >/c/anew", at("c"))
			want(t, "the cache", names(t, "/vol/private/cache"), "anew")
			want(t, "changes", commit(t, box, "b"))
		})
	}
}

// The executor's own directory is on a volume: the root is another file system.
func TestJail_mountOwnVolume(t *testing.T) {
	needJail(t)
	mount(t, "/vol")
	o := Options{Dir: "/vol/k", Keep: []string{DefaultDir}, Force: true}
	d, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	box := mountRoot(t, d)
	at := cacheDir(t, "/vol/k/cache")
	tmpfs := sandbox.Mount{Target: "d", Tmpfs: &sandbox.Tmpfs{}}
	out := shAs(t, box, "", "cat /d/old /etc/group; echo new >/d/new; stat -c %a "+asideRoot, at("d"), secretAt("etc/group"))
	if out != "oldhush700\n" {
		t.Errorf("%q", out)
	}
	want(t, "the cache", names(t, "/vol/k/cache"), "new", "old")
	want(t, "changes", commit(t, box, "a"))
	wantFile(t, "/d/f", "of the image")
	if exists(asideRoot) {
		t.Errorf("%s is left", asideRoot)
	}
	// Killed there.
	m := &mounts{d: d}
	if err := m.put(t.Context(), []sandbox.Mount{tmpfs, secretAt("d/x")}); err != nil {
		t.Fatal(err)
	}
	if exists("/d/f") || !exists(asideRoot) {
		t.Error("nothing is put aside")
	}
	again, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, "/d/f", "of the image")
	if exists(asideRoot) || exists("/d/x") {
		t.Errorf("%s is left", asideRoot)
	}
	if err := errors.Join(box.Close(), d.Close(), again.Close()); err != nil {
		t.Error(err)
	}
}

// What a command does to mounts themselves, which the kernel would refuse.
func TestJail_mountAbused(t *testing.T) {
	needJail(t)
	const dir = "/kaniko/tmp/cache"
	at := cacheDir(t, dir)
	box := mountRoot(t, newDriver(t, Options{}))
	defer box.Close()
	for _, tt := range []struct {
		name, script string
		cache        []string
		changes      []string
	}{
		{"moved away", "mv /d/sub /elsewhere; mv /run/secrets/s /leak; echo x >/elsewhere/new", []string{"new", "old"}, nil},
		{"moved with what is above", "mv /d /e; mv /run /e/run; echo x >/e/sub/newer", []string{"new", "newer", "old"},
			[]string{"- d", "+ e", "+ e/f", "+ e/run", "+ e/sub", "+ e/sub/g"}},
	} {
		shAs(t, box, "", tt.script, at("d/sub"), secretAt("run/secrets/s"))
		got := commit(t, box, tt.name)
		slices.Sort(got)
		slices.Sort(tt.changes)
		want(t, tt.name+": changes", got, tt.changes...)
		want(t, tt.name+": the cache", names(t, dir), tt.cache...)
	}
	shAs(t, box, "", "rm -rf /d; mkdir /d; echo made >/d/made", at("d"))
	want(t, "made anew", names(t, dir), "made")
	shAs(t, box, "", "rm -rf /d; ln /s /leak; rm /s; echo other >/s", at("d"), secretAt("s"))
	want(t, "deleted", names(t, dir))
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o777 {
		t.Errorf("deleted: %v, %v", st, err)
	}
	want(t, "changes", commit(t, box, "link"), "+ leak")
	wantFile(t, "/leak", "\x00\x00\x00\x00")
}

// What is written to a read-only directory is lost.
func TestJail_mountReadOnly(t *testing.T) {
	needJail(t)
	at := cacheDir(t, "/kaniko/tmp/cache")
	box := mountRoot(t, newDriver(t, Options{}))
	defer box.Close()
	m := at("d")
	m.ReadOnly = true
	if out := shAs(t, box, "", "cat /d/old; rm /d/old; echo x >/d/new", m); out != "old" {
		t.Error(out)
	}
	want(t, "the cache", names(t, "/kaniko/tmp/cache"), "old")
	want(t, "changes", commit(t, box, "a"))
}

func TestJail_mountProtected(t *testing.T) {
	needJail(t)
	mount(t, "/vol")
	at := cacheDir(t, "/kaniko/tmp/cache")
	box := mountRoot(t, newDriver(t, Options{Keep: []string{"/context"}}))
	defer box.Close()
	if err := os.MkdirAll("/d/within", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, target := range []tree.Path{"", "etc", "etc/hosts", "etc/resolv.conf", "proc", "proc/x", "sys/x", "dev", "dev/null", "kaniko", "kaniko/x",
		"kaniko/tmp/cache", "vol", "vol/in", "context"} {
		out, err := try(t.Context(), box, "", "echo ran", secretAt(target))
		var refused *targetError
		if !errors.As(err, &refused) || out != "" || !strings.Contains(err.Error(), target.Abs()) || refused.Hint() == "" {
			t.Errorf("%q: %q, %v", target, out, err)
		}
	}
	wantFile(t, "/vol/in", "mounted")
	// Where nothing is there is nothing to lose.
	shAs(t, box, "", "cat /vol/new/s /dev/s; echo x >/vol/t/x", secretAt("vol/new/s"), secretAt("dev/s"), at("vol/t"))
	want(t, "the volume", names(t, "/vol"), "in")
	// A cache in the root would be part of it.
	if _, err := try(t.Context(), box, "", "echo ran", sandbox.Mount{Target: "m", Dir: &sandbox.Directory{Path: "/d"}}); err == nil || !strings.Contains(err.Error(), "/d") {
		t.Errorf("a cache in the root: %v", err)
	}
	wantFile(t, "/d/f", "of the image")
}

// Large directories are hidden without anybody looking into them again.
func TestJail_mountStamps(t *testing.T) {
	needJail(t)
	at := cacheDir(t, "/kaniko/tmp/cache")
	d := newDriver(t, Options{})
	box := mountRoot(t, d)
	defer box.Close()
	shAs(t, box, "", "true", at("d"), secretAt("x/y/s"), secretAt("tmp/s"), secretAt("bin/busybox.new"), secretAt("etc/group"))
	diff, err := d.root.Scan(t.Context(), d.scan(), d.stamps)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff.Changed)+len(diff.Gone) > 0 {
		t.Errorf("looked at: %v, %v", diff.Changed, diff.Gone)
	}
	// What a command does beside is seen all the same.
	shAs(t, box, "", "echo x >>/d/old", at("d"), secretAt("etc/group"))
	shAs(t, box, "", "echo x >>/etc/group; touch -r /etc/passwd /etc/group; chmod 700 /d; mkdir /tmp/n; rmdir /tmp/n")
	shAs(t, box, "", "true", at("d"), secretAt("tmp/s"), secretAt("etc/group"))
	want(t, "changes", commit(t, box, "a"), "+ d", "+ etc", "+ etc/group", "+ tmp")
}

func TestJail_mountCancelled(t *testing.T) {
	needJail(t)
	at := cacheDir(t, "/kaniko/tmp/cache")
	box := mountRoot(t, newDriver(t, Options{}))
	defer box.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err := box.Run(ctx, sandbox.Process{Args: []string{"/bin/sh", "-c", "echo x >/d/new; echo up; sleep 1000"}, Env: []string{"PATH=/bin"},
		Output: writerFunc(func() { cancel() }), Mounts: []sandbox.Mount{at("d"), secretAt("s")}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want(t, "the cache", names(t, "/kaniko/tmp/cache"), "new", "old")
	want(t, "changes", commit(t, box, "a"))
	wantFile(t, "/d/f", "of the image")
	// And when putting fails half-way.
	if _, err := try(t.Context(), box, "", "echo ran", at("d"), secretAt("s"), secretAt("d/old/x")); err == nil {
		t.Error("a mount below a file is made")
	}
	want(t, "the cache", names(t, "/kaniko/tmp/cache"), "new", "old")
	want(t, "changes", commit(t, box, "b"))
	wantFile(t, "/d/f", "of the image")
}

type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

// victimMounts are those of the build that is killed.
func victimMounts() []sandbox.Mount {
	return []sandbox.Mount{
		{Target: "d", Dir: &sandbox.Directory{Path: "/kaniko/tmp/cache"}},
		{Target: "d/sub", Tmpfs: &sandbox.Tmpfs{}},
		secretAt("vol/s"),
		{Target: "v", Dir: &sandbox.Directory{Path: "/vol/cache"}},
		secretAt("v/old"),
	}
}

// TestJail_victim is the build that TestJail_mountKilled kills.
func TestJail_victim(t *testing.T) {
	needJail(t)
	if os.Getenv(insideEnv) == "" {
		t.Skip("run by TestJail_mountKilled")
	}
	d, err := New(t.Context(), Options{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	box := mountRoot(t, d)
	err = box.Run(t.Context(), sandbox.Process{Args: []string{"/bin/sh", "-c", "echo x >/d/new; echo x >/d/sub/x; echo; echo up; sleep 1000"},
		Env: []string{"PATH=/bin"}, Output: os.Stdout, Mounts: victimMounts()})
	t.Fatalf("it was to be killed: %v", err)
}

func TestJail_mountKilled(t *testing.T) {
	needJail(t)
	mount(t, "/vol")
	cacheDir(t, "/kaniko/tmp/cache")
	if err := os.Mkdir("/kaniko/tmp/cache/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	cacheDir(t, "/vol/cache")
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestJail_victim$")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, seen := bufio.NewScanner(out), ""
	for lines.Scan() && lines.Text() != "up" {
		seen += lines.Text() + "\n"
	}
	if lines.Text() != "up" {
		t.Fatalf("it ended early: %s", seen)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if _, err := os.Stat("/vol/s"); err != nil {
		t.Fatalf("nothing is left to be put right: %v", err)
	}
	restart(t)
	want(t, "the cache", names(t, "/kaniko/tmp/cache"), "new", "old", "sub")
	want(t, "in the cache", names(t, "/kaniko/tmp/cache/sub"))
	want(t, "the volume", names(t, "/vol"), "cache", "in")
	wantFile(t, "/vol/cache/old", "old")
	wantFile(t, "/d/f", "of the image")
	want(t, "the driver's directory", names(t, DefaultDir), "busybox.static", "tmp")
}

// restart makes a driver where another was killed.
func restart(t *testing.T) {
	t.Helper()
	d, err := New(t.Context(), Options{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever step a build is killed at, the next start has the cache again.
func TestJail_mountKilledAt(t *testing.T) {
	needJail(t)
	const source, target = "/kaniko/tmp/cache", "/t"
	for name, steps := range map[string]func(n *note) []error{
		"nothing done": func(n *note) []error { return nil },
		"put aside":    func(n *note) []error { return []error{os.Rename(target, n.Aside)} },
		"in place": func(n *note) []error {
			return []error{os.Rename(target, n.Aside), os.Rename(source, target)}
		},
		"taken back": func(n *note) []error {
			return []error{os.Rename(target, n.Aside), os.Rename(source, target), os.Rename(target, source)}
		},
		"half copied back": func(n *note) []error {
			return []error{os.Rename(target, n.Aside), os.Mkdir(target, 0o755), os.MkdirAll(n.New+"/content", 0o755)}
		},
		"between old and new": func(n *note) []error {
			return []error{os.Rename(target, n.Aside), os.Mkdir(target, 0o755), os.Mkdir(n.New, 0o755),
				os.Rename(source, n.New+"/old"), os.Mkdir(n.New+"/"+wholeName, 0o755), os.WriteFile(n.New+"/"+wholeName+"/old", []byte("old"), 0o600)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cacheDir(t, source)
			d := newDriver(t, Options{})
			if err := errors.Join(os.Mkdir(target, 0o755), os.WriteFile(target+"/f", []byte("hidden"), 0o600)); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(target)
			n, err := d.newNote("t")
			if err != nil {
				t.Fatal(err)
			}
			n.Aside, n.Source, n.New = n.dir+"/aside", source, "/kaniko/tmp/new"
			if err := errors.Join(n.write(), errors.Join(steps(n)...)); err != nil {
				t.Fatal(err)
			}
			var st unix.Stat_t
			if unix.Lstat(target, &st) == nil && len(names(t, target)) == 0 {
				n.Dev, n.Ino = uint64(st.Dev), st.Ino
				if err := n.write(); err != nil {
					t.Fatal(err)
				}
			}
			restart(t)
			wantFile(t, source+"/old", "old")
			wantFile(t, target+"/f", "hidden")
			want(t, "left", names(t, "/kaniko/tmp/"), "cache")
		})
	}
}
