package sandboxtest

import (
	"context"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// busybox is where distributions put a static busybox, or what the environment
// variable SANDBOXTEST_BUSYBOX says.
func busybox() string {
	if p := os.Getenv("SANDBOXTEST_BUSYBOX"); p != "" {
		return p
	}
	return "/bin/busybox"
}

// old is the time of everything that the suite's layers put.
func old() time.Time { return time.Unix(1_600_000_000, 0) }

func bytesOf(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// File is a change that puts a file of mode 0644, owned by root.
func File(p tree.Path, content string) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Open: bytesOf(content), Node: tree.Node{
		Type: tree.File, Mode: 0o644, Size: int64(len(content)), MTime: old(),
	}}
}

// Dir is a change that puts a directory.
func Dir(p tree.Path, mode tree.Mode) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Dir, Mode: mode, MTime: old()}}
}

// Symlink is a change that puts a symbolic link.
func Symlink(p tree.Path, target string) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Symlink, Mode: 0o777, Link: target, MTime: old()}}
}

// Hard is a change that puts another name of the file at target.
func Hard(p, target tree.Path) layer.Change {
	return layer.Change{Path: p, Kind: layer.Put, Hard: target, Node: tree.Node{Type: tree.File}}
}

// Delete is a change that deletes p.
func Delete(p tree.Path) layer.Change { return layer.Change{Path: p, Kind: layer.Delete} }

// Opaque is a change that hides what lower layers have in p.
func Opaque(p tree.Path) layer.Change { return layer.Change{Path: p, Kind: layer.Opaque} }

func as(c layer.Change, mode tree.Mode, uid, gid int) layer.Change {
	c.Node.Mode, c.Node.UID, c.Node.GID = mode, uid, gid
	return c
}

// Layer makes a layer of changes; calls, if not nil, counts how often it is read.
func Layer(key string, calls *int, changes ...layer.Change) sandbox.Layer {
	return sandbox.Layer{Key: key, Changes: func(context.Context) layer.Changes {
		if calls != nil {
			*calls++
		}
		return func(yield func(layer.Change, error) bool) {
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		}
	}}
}

// Shell is a layer with a shell and the usual small commands, or skips the test.
func Shell(t testing.TB) sandbox.Layer {
	t.Helper()
	path := busybox()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the commands of this suite need a static busybox (Debian: busybox-static): %v", err)
	}
	if !static(t, path) {
		t.Skipf("%s needs shared libraries; this suite needs a static one (Debian: busybox-static)", path)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Skipf("list the applets of busybox: %v", err)
	}
	program := layer.Change{Path: "bin/busybox", Kind: layer.Put, Node: tree.Node{
		Type: tree.File, Mode: 0o755, Size: st.Size(), MTime: old(),
	}, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
	changes := []layer.Change{Dir("bin", 0o755), program}
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" && !strings.Contains(name, "/") {
			changes = append(changes, Symlink(tree.Path("bin").Join(name), "busybox"))
		}
	}
	changes = append(changes,
		Dir("dev", 0o755), Dir("proc", 0o755), Dir("sys", 0o755), Dir("tmp", 0o1777), Dir("root", 0o700),
		Dir("etc", 0o755),
		File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345:app:/home/app:/bin/sh\n"),
		File("etc/group", "root:x:0:\napp:x:2345:\nextra:x:3456:other,app\n"),
		File("etc/resolv.conf", "# of the image\n"),
		Dir("home", 0o755), as(Dir("home/app", 0o700), 0o700, 1234, 2345),
	)
	return Layer("shell", nil, changes...)
}

// toyName is the Args[0] by which a test binary knows that it is a command.
const toyName = "sandboxtest-toy"

// toyConnect, as the toy's first argument, makes it talk to a socket.
const toyConnect = "connect"

// hexPrefix marks a value that an argument could not hold.
const hexPrefix = "hex:"

// Main is to be called first in the TestMain of a package that runs the suite: it
// lets the test binary serve as a command for what busybox cannot do.
func Main(setxattr func(path, name, value string) error) {
	if len(os.Args) == 0 || os.Args[0] != toyName && !strings.HasSuffix(os.Args[0], "/"+toyName) {
		return
	}
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: "+toyName+" PATH NAME VALUE, or "+toyConnect+" PATH TEXT")
		os.Exit(2)
	}
	if os.Args[1] == toyConnect {
		if err := connect(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	value := os.Args[3]
	if digits, ok := strings.CutPrefix(value, hexPrefix); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		value = string(b)
	}
	if err := setxattr(os.Args[1], os.Args[2], value); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// connect says something to a unix socket and prints the answer.
func connect(path, text string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	answer := make([]byte, 128)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", answer[:n])
	return nil
}

// StaticBinary is the path of the running test binary, or of one built from the
// same package, that needs no shared libraries and hence runs in any root.
func StaticBinary(t testing.TB) string {
	t.Helper()
	const self = "/proc/self/exe"
	if static(t, self) {
		return self
	}
	exe := filepath.Join(t.TempDir(), "static.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the test binary needs shared libraries, and building another failed (set CGO_ENABLED=0): %v\n%s", err, out)
	}
	return exe
}

func static(t testing.TB, exe string) bool {
	t.Helper()
	f, err := elf.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// toy is a layer with the test binary as a command.
func toy(t testing.TB) sandbox.Layer {
	t.Helper()
	exe := StaticBinary(t)
	st, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	return Layer("toy", nil, layer.Change{Path: "bin/" + toyName, Kind: layer.Put, Node: tree.Node{
		Type: tree.File, Mode: 0o755, Size: st.Size(), MTime: old(),
	}, Open: func() (io.ReadCloser, error) { return os.Open(exe) }})
}
