package isolated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// The environment by which the tests run themselves again in a certain way.
const (
	methodEnv = "KANIKO_TEST_METHOD" // enter this way, and run what is told
	grantEnv  = "KANIKO_TEST_GRANT"  // inside: the grant, as JSON
	dirEnv    = "KANIKO_TEST_DIR"    // where to keep layers
	// userEnv names, if set by whoever runs the tests, a user with ranges of
	// subordinate ids.
	userEnv = "KANIKO_TEST_SUBUID_USER"
)

// TestMain makes this program what the tests run in their sandboxes, too: when
// started as "toy" it does what its arguments say.
func TestMain(m *testing.M) {
	reaper.Main()
	sandboxtest.Main(func(path, name, value string) error { return unix.Lsetxattr(path, name, []byte(value), 0) })
	if filepath.Base(os.Args[0]) == "toy" {
		toy(os.Args[1:])
		os.Exit(0)
	}
	if g := Main(); g != nil {
		b, err := json.Marshal(g)
		if err != nil {
			panic(err)
		}
		os.Setenv(grantEnv, string(b))
	} else if name := os.Getenv(methodEnv); name != "" {
		enterBy(name)
	}
	os.Exit(m.Run())
}

func enterBy(name string) {
	ctx := context.Background()
	var ms []Method
	for _, m := range methods() {
		if methodName(m) == name {
			ms = append(ms, m)
		}
	}
	g, err := probe(ctx, StateDirs(os.Getenv(dirEnv)), ms)
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	exit, err := Enter(ctx, g)
	if err != nil {
		fmt.Println(err)
		os.Exit(4)
	}
	exit.Leave()
}

func methodName(m Method) string {
	switch {
	case !m.User:
		return "mount"
	case m.Helpers:
		return "helpers"
	case count(m.UIDs) == 1:
		return "single"
	}
	return "identity"
}

// granted is what this process is granted; the test is skipped in one that runs
// outside, where TestModes starts others inside.
func granted(t *testing.T) *Grant {
	t.Helper()
	s := os.Getenv(grantEnv)
	if s == "" {
		t.Skip("is run by TestModes")
	}
	var g Grant
	if err := json.Unmarshal([]byte(s), &g); err != nil {
		t.Fatal(err)
	}
	return &g
}

// mode is a way to run this program again.
type mode struct {
	name, method string
	cred         *syscall.Credential
}

func modes(t *testing.T) []mode {
	t.Helper()
	if os.Getuid() != 0 {
		return []mode{{"single", "single", nil}, {"helpers", "helpers", nil}}
	}
	ms := []mode{
		{"root", "mount", nil},
		{"root-userns", "identity", nil},
		{"uid4321-single", "single", &syscall.Credential{Uid: 4321, Gid: 4321}},
	}
	if name := os.Getenv(userEnv); name != "" {
		b, err := os.ReadFile("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Split(line, ":")
			if f[0] != name {
				continue
			}
			uid, _ := strconv.Atoi(f[2])
			gid, _ := strconv.Atoi(f[3])
			return append(ms, mode{"user-subuid", "helpers", &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}})
		}
		t.Fatalf("%s names no user", userEnv)
	}
	return ms
}

// again is a command that runs this program in a mode, with its layers in dir.
func again(t *testing.T, m mode, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	// Not below the test's own directories, which other users may not enter.
	dir, err := os.MkdirTemp("/var/tmp", "kaniko-isolated-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(filepath.Join(dir, "layers"))
		if err != nil || len(left) != 0 {
			t.Errorf("left behind in the directory for layers: %v, %v", left, err)
		}
		os.RemoveAll(dir)
	})
	exe := filepath.Join(dir, "test")
	copySelf(t, exe)
	if err := os.Mkdir(filepath.Join(dir, "layers"), 0o700); err != nil {
		t.Fatal(err)
	}
	if m.cred != nil {
		os.Chown(dir, int(m.cred.Uid), int(m.cred.Gid))
		os.Chown(filepath.Join(dir, "layers"), int(m.cred.Uid), int(m.cred.Gid))
	}
	cmd = exec.Command(exe, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), methodEnv+"="+m.method, dirEnv+"="+filepath.Join(dir, "layers"),
		"TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.cred}
	return cmd, dir
}

func copySelf(t *testing.T, to string) {
	t.Helper()
	// Inside, this program is all that a root holds.
	in, err := os.Open(sandboxtest.StaticBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// toy does what its arguments say, in words separated by ";".
func toy(args []string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(99)
		}
	}
	for len(args) > 0 {
		n := slices.Index(args, ";")
		if n < 0 {
			n = len(args)
		}
		w := args[:n]
		args = args[min(n+1, len(args)):]
		switch w[0] {
		case "write":
			check(os.WriteFile(w[1], []byte(w[2]), 0o644))
		case "append":
			f, err := os.OpenFile(w[1], os.O_APPEND|os.O_WRONLY, 0)
			check(err)
			_, err = f.WriteString(w[2])
			check(err)
			check(f.Close())
		case "mkdir":
			check(os.MkdirAll(w[1], 0o755))
		case "rm":
			check(os.RemoveAll(w[1]))
		case "mv":
			check(mv(w[1], w[2]))
		case "ln":
			check(os.Link(w[1], w[2]))
		case "symlink":
			check(os.Symlink(w[1], w[2]))
		case "chmod":
			m, err := strconv.ParseUint(w[1], 8, 32)
			check(err)
			check(unix.Chmod(w[2], uint32(m)))
		case "chown":
			id, err := strconv.Atoi(w[1])
			check(err)
			check(os.Lchown(w[2], id, id))
		case "touch":
			sec, err := strconv.ParseInt(w[1], 10, 64)
			check(err)
			check(os.Chtimes(w[2], time.Unix(sec, 0), time.Unix(sec, 0)))
		case "setxattr":
			check(unix.Setxattr(w[1], w[2], []byte(w[3]), 0))
		case "mkfifo":
			check(unix.Mkfifo(w[1], 0o644))
		case "mknod":
			check(unix.Mknod(w[1], unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		case "cat":
			b, err := os.ReadFile(w[1])
			check(err)
			os.Stdout.Write(b)
		case "absent":
			if _, err := os.Lstat(w[1]); !errors.Is(err, fs.ErrNotExist) {
				check(fmt.Errorf("%s is there: %v", w[1], err))
			}
		case "stat":
			var st unix.Stat_t
			check(unix.Lstat(w[1], &st))
			fmt.Printf("%s %o %d:%d %d\n", w[1], st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec)
		case "ls":
			es, err := os.ReadDir(w[1])
			check(err)
			for _, e := range es {
				fmt.Print(e.Name(), " ")
			}
			fmt.Println()
		case "walk":
			check(filepath.WalkDir(w[1], func(p string, d fs.DirEntry, err error) error {
				if err != nil || p == w[1] {
					return err
				}
				if unseen(tree.Clean(p)) {
					if d.IsDir() {
						return fs.SkipDir
					}
					return nil
				}
				var st unix.Stat_t
				if err := unix.Lstat(p, &st); err != nil {
					return err
				}
				link, _ := os.Readlink(p)
				fmt.Printf("%s %o %d:%d %d %s", p, st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, link)
				if d.Type().IsRegular() {
					b, err := os.ReadFile(p)
					if err != nil {
						return err
					}
					fmt.Printf("%q links=%d", b, st.Nlink)
				}
				fmt.Println()
				return nil
			}))
		case "id":
			fmt.Println(os.Getuid(), os.Getgid())
		case "setid":
			fmt.Println(os.Geteuid())
		case "mount": // wants to be refused
			err := unix.Mount("tmpfs", "/", "tmpfs", 0, "")
			if err == nil {
				check(errors.New("mounting is allowed"))
			}
			fmt.Println(err)
		case "refused": // opening the file for writing is to be refused
			f, err := os.OpenFile(w[1], os.O_WRONLY, 0)
			if err == nil {
				f.Close()
				check(errors.New(w[1] + " can be written"))
			}
		case "pids":
			es, err := os.ReadDir("/proc")
			check(err)
			n := 0
			for _, e := range es {
				if _, err := strconv.Atoi(e.Name()); err == nil {
					n++
				}
			}
			fmt.Println(n)
		case "sleep":
			fmt.Println("ready")
			time.Sleep(time.Hour)
		case "exit":
			n, _ := strconv.Atoi(w[1])
			os.Exit(n)
		default:
			check(fmt.Errorf("no such toy: %q", w))
		}
	}
}

// mv renames as mv(1) does: an overlay refuses to rename a directory of a lower
// layer, which is then copied.
func mv(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return os.RemoveAll(from)
}
