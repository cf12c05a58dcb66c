package reaper

import (
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func treePath(s string) tree.Path { return tree.Clean(s) }

// image makes a root directory with the toy in it, and returns the root to run in.
func image(t *testing.T, files map[string]string) (*Root, string) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	for _, d := range []string{"lower/dev", "lower/proc", "lower/etc", "upper", "work", "at"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, "/proc/self/exe", filepath.Join(dir, "lower/toy"))
	for _, l := range libraries(t) {
		copyFile(t, l, filepath.Join(dir, "lower", l))
	}
	for name, data := range files {
		var err error
		p := filepath.Join(dir, "lower", name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		if link, ok := strings.CutPrefix(data, "-> "); ok {
			err = os.Symlink(link, p)
		} else {
			err = os.WriteFile(p, []byte(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &Root{
		At:      filepath.Join(dir, "at"),
		Overlay: Overlay{Dir: dir, Lower: []string{"lower"}, Upper: "upper", Work: "work"},
		Mounts: []Mount{
			{Type: "proc", Target: "/proc"},
			{Type: "tmpfs", Target: "/dev", Data: []string{"mode=755"}},
			{Type: "bind", Source: "/dev/null", Target: "/dev/null"},
		},
	}, dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// libraries are what this program needs in an empty root: none, if it is static.
func libraries(t *testing.T) []string {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(p.Open())
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.TrimRight(string(b), "\x00"))
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) == 6 && strings.Contains(f[5], ".so") && !slices.Contains(out, f[5]) {
			out = append(out, f[5])
		}
	}
	return out
}

func inRoot(t *testing.T, r *Root, p sandbox.Process) (string, error) {
	t.Helper()
	p.Args = append([]string{"/toy"}, p.Args...)
	return run(t, Spec{Process: p, Root: r, Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID})
}

func TestRun_user(t *testing.T) {
	r, _ := image(t, map[string]string{
		"etc/passwd": "# comment\nbroken line\nbad:x:zero:0::/bad:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\napp:x:1000:2000:App:/srv/app:/bin/sh\nnohome:x:1001:2000:::\n",
		"etc/group":  "root:x:0:root\n+:::\nwheel:x:10:root,app\nbroken\nstaff:x:50:app\nother:x:51:nobody\n",
	})
	for _, c := range []struct{ user, want string }{
		{"", "0 0 [0 10] /root"},
		{"root", "0 0 [0 10] /root"},
		{"app", "1000 2000 [10 50] /srv/app"},
		{"1000", "1000 2000 [10 50] /srv/app"},
		{"app:staff", "1000 50 [] /srv/app"},
		{"app:7", "1000 7 [] /srv/app"},
		{"1000:2000", "1000 2000 [] /srv/app"},
		{"4711", "4711 0 [] /"},
		{"4711:wheel", "4711 10 [] /"},
		{"nohome", "1001 2000 [] /"},
		{":50", "0 50 [] /root"},
	} {
		out, err := inRoot(t, r, sandbox.Process{Args: []string{"id"}, User: c.user})
		if err != nil || strings.TrimSpace(out) != c.want {
			t.Errorf("user %q is %q (%v), want %q", c.user, strings.TrimSpace(out), err, c.want)
		}
	}
	for _, c := range []struct{ user, say string }{
		{"nobody-here", `no user "nobody-here" in the image's /etc/passwd`},
		{"bad", `no user "bad" in the image's /etc/passwd`},
		{"app:nogroup", `no group "nogroup" in the image's /etc/group`},
		{"4294967295", `no user "4294967295"`},
		{"-1", `no user "-1"`},
	} {
		_, err := inRoot(t, r, sandbox.Process{Args: []string{"id"}, User: c.user})
		var se *SetupError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), c.say) || se.Hint() == "" {
			t.Errorf("user %q: error is %v, want %s", c.user, err, c.say)
		}
	}
}

func TestRun_noAccounts(t *testing.T) {
	r, _ := image(t, nil)
	out, err := inRoot(t, r, sandbox.Process{Args: []string{"id"}})
	if want := "0 0 [] /root"; err != nil || strings.TrimSpace(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

func TestRun_hostileAccounts(t *testing.T) {
	r, dir := image(t, nil)
	if err := unix.Mkfifo(filepath.Join(dir, "lower/etc/passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := inRoot(t, r, sandbox.Process{Args: []string{"id"}, User: "app"})
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error is %v", err)
	}
}

func TestRun_workingDir(t *testing.T) {
	r, dir := image(t, map[string]string{"file": "", "link": "-> real", "real/x": ""})
	out, err := inRoot(t, r, sandbox.Process{Args: []string{"state"}, Dir: "link/new/dir", User: "1000"})
	if err != nil || !strings.Contains(out, "dir=/real/new/dir ") {
		t.Errorf("%s, %v", out, err)
	}
	st, err := os.Stat(filepath.Join(dir, "upper/real/new/dir"))
	if err != nil || st.Mode().Perm() != 0o755 || st.Sys() == nil {
		t.Errorf("%v, %v", st, err)
	}
	_, err = inRoot(t, r, sandbox.Process{Args: []string{"state"}, Dir: "file"})
	var se *SetupError
	if !errors.As(err, &se) || !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file as working directory: %v", err)
	}
}

// TestRun_mountsLeaveNoTrace mounts where the image has nothing, or a link that
// leads nowhere or upwards: the command finds the mounts, the upper directory
// does not, and the host's files are out of reach.
func TestRun_mountsLeaveNoTrace(t *testing.T) {
	r, dir := image(t, map[string]string{
		"etc/resolv.conf": "-> ../run/systemd/stub.conf",
		"etc/hosts":       "-> ../../../../../../../../inside",
		"inside":          "hidden\n",
	})
	host := filepath.Join(dir, "host")
	if err := os.WriteFile(host, []byte("from the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/etc/resolv.conf", "/etc/hosts", "/a/b/c"} {
		r.Mounts = append(r.Mounts, Mount{Type: "bind", Source: host, Target: target})
	}
	r.Mounts = append(r.Mounts, Mount{Type: "bind", Source: "/no/such/file", Target: "/none", Optional: true})
	var before unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "lower"), &before); err != nil {
		t.Fatal(err)
	}
	out, err := inRoot(t, r, sandbox.Process{Args: []string{"cat", "/etc/resolv.conf", "/inside", "/a/b/c"}})
	if want := strings.Repeat("-rw------- from the host\n", 3); err != nil || out != want {
		t.Fatalf("%q, %v", out, err)
	}
	err = filepath.WalkDir(filepath.Join(dir, "upper"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left in the upper directory: %s %v", p, d.Type())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, p := range []string{"upper/a", "upper/run", "upper/none"} {
		if _, err := os.Lstat(filepath.Join(dir, p)); err == nil {
			t.Errorf("%s is left", p)
		}
	}
	var after unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "upper"), &after); err != nil {
		t.Fatal(err)
	}
	_ = after
	if ents, err := os.ReadDir(r.At); err != nil || len(ents) != 0 {
		t.Errorf("the mount point shows %v, %v", ents, err)
	}
}

func TestRun_readOnlyBind(t *testing.T) {
	r, dir := image(t, nil)
	shared := filepath.Join(dir, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Mounts = append(r.Mounts, Mount{Type: "bind", Source: shared, Target: "/mnt", Flags: unix.MS_RDONLY | unix.MS_REC})
	out, err := inRoot(t, r, sandbox.Process{Args: []string{"write", "/mnt/x", "x"}})
	wantExit(t, err, sandbox.ExitError{Status: 99})
	if !strings.Contains(out, "read-only file system") {
		t.Errorf("output is %q", out)
	}
}

func TestRun_lastMounts(t *testing.T) {
	r, dir := image(t, map[string]string{"have/f": "hidden", "file": "f", "link": "-> have"})
	stack := filepath.Join(dir, "stack")
	odd := filepath.Join(dir, "a:b,c\\d\xff")
	for p, data := range map[string]string{"low/f": "low", "up/g": "up"} {
		p := filepath.Join(stack, p)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(odd, 0o755), os.WriteFile(filepath.Join(odd, "h"), []byte("odd"), 0o644),
		os.Symlink("/etc", filepath.Join(odd, "out"))); err != nil {
		t.Fatal(err)
	}
	r.Last = []Mount{
		{Type: "bind", Target: "/new/dir/o", Overlay: &Overlay{Dir: stack, Lower: []string{"up", "low", odd}}},
		{Type: "bind", Target: "/new/dir/g", Source: "g", Overlay: &Overlay{Dir: stack, Lower: []string{"up", "low"}}},
		{Type: "file", Target: "/new/dir/s", Secret: &sandbox.Secret{Data: []byte("\xfe"), Mode: 0o440, UID: 7, GID: 8}, Flags: unix.MS_RDONLY},
		{Type: "tmpfs", Target: "/link", Alike: true, Data: []string{"no_such_option", "size=1m"}},
		{Type: "tmpfs", Target: "/t\xff", Alike: true},
	}
	out, err := inRoot(t, r, sandbox.Process{Dir: "new/dir", Args: []string{"cat", "o/f", "o/g", "o/h", "g", "s"}})
	if want := "-rw-r--r-- low-rw-r--r-- up-rw-r--r-- odd-rw-r--r-- up-r--r----- \xfe"; err != nil || out != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	out, err = inRoot(t, r, sandbox.Process{Args: []string{"ls", "/have", "/t\xff", "/new/dir"}})
	if want := "/have []\n/t\xff []\n/new/dir [g o s]\n"; err != nil || out != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	// The working directory was to be there, and nothing else.
	left, err := os.ReadDir(filepath.Join(dir, "upper/new/dir"))
	if err != nil || len(left) > 0 {
		t.Errorf("the working directory holds %v, %v", left, err)
	}
	if left, err := os.ReadDir(r.At); err != nil || len(left) > 0 {
		t.Errorf("the mount point shows %v, %v", left, err)
	}

	for _, c := range []struct {
		mount Mount
		say   string
	}{
		{Mount{Type: "tmpfs", Target: "/file"}, "make /file: there is a file"},
		{Mount{Type: "file", Target: "/have", Secret: &sandbox.Secret{}}, "make /have: there is a directory"},
		{Mount{Type: "tmpfs", Target: "/file/x"}, "make /file/x: not a directory"},
		{Mount{Type: "bind", Target: "/m", In: odd, Source: "out"}, "open out: it has become a link"},
		{Mount{Type: "bind", Target: "/m", In: odd, Source: "out/hosts"}, "open out/hosts: "},
		{Mount{Type: "bind", Target: "/m", In: odd, Source: "none"}, "open none: no such file or directory"},
	} {
		r.Last = []Mount{c.mount}
		_, err := inRoot(t, r, sandbox.Process{Args: []string{"ls", "/m"}})
		var se *SetupError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s at %s: %v", c.mount.Type, c.mount.Target, err)
		}
	}
}

func TestRun_network(t *testing.T) {
	needRoot(t)
	out, err := run(t, Spec{Process: sandbox.Process{Args: []string{program(t), "interfaces"}}, Namespaces: unix.CLONE_NEWNET})
	if err != nil || !strings.HasPrefix(out, "lo up") || strings.Count(out, "\n") != 1 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestRun_refusedStep(t *testing.T) {
	r, _ := image(t, nil)
	r.Overlay.Options = "no_such_option"
	_, err := inRoot(t, r, sandbox.Process{Args: []string{"id"}})
	var se *SetupError
	if !errors.As(err, &se) || se.Step != "mount overlay" || !errors.Is(err, unix.EINVAL) {
		t.Errorf("error is %#v", err)
	}
}
