package inplace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// jailEnv names the directory that becomes the root of a test process: the
// driver deletes all of its root.
const jailEnv = "INPLACE_TEST_ROOT"

// shellPath is where the jail has the shell that layers are made of.
const shellPath = "/kaniko/busybox.static"

func TestMain(m *testing.M) {
	reaper.Main()
	sandboxtest.Main(func(path, name, value string) error { return unix.Setxattr(path, name, []byte(value), 0) })
	if root := os.Getenv(jailEnv); root != "" && os.Getenv(insideEnv) == "" {
		if err := enterJail(root); err != nil {
			os.Stderr.WriteString("enter the jail: " + err.Error() + "\n")
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// enterJail makes root, in a mount namespace of its own, the root of this process.
func enterJail(root string) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if os.Getenv(jailEnv+"_TMPFS") != "" {
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=1g"); err != nil {
			return os.NewSyscallError("mount tmpfs", err)
		}
	} else if os.Getenv(jailEnv+"_OVERLAY") != "" {
		if err := mountOverlay(root); err != nil {
			return err
		}
	} else if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return os.NewSyscallError("bind", err)
	}
	in := func(p string) string { return filepath.Join(root, p) }
	for _, d := range []string{"proc", "sys", "dev", "kaniko/tmp", "etc", "old"} {
		if err := os.MkdirAll(in(d), 0o755); err != nil {
			return err
		}
	}
	if b, err := os.ReadFile("/bin/busybox"); err == nil {
		if err := os.WriteFile(in(shellPath), b, 0o755); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, name := range []string{"resolv.conf", "hosts", "hostname"} {
		if err := os.WriteFile(in("etc/"+name), []byte("# of the runtime\n"), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", in("proc"), "proc", 0, ""); err != nil {
		return os.NewSyscallError("mount proc", err)
	}
	if err := unix.Mount("tmpfs", in("dev"), "tmpfs", 0, "mode=755"); err != nil {
		return os.NewSyscallError("mount tmpfs", err)
	}
	old := unix.Umask(0)
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod(in("dev/"+name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return os.NewSyscallError("mknod", err)
		}
	}
	unix.Umask(old)
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, in("dev/"+name)); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(root, in("old")); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount", err)
	}
	return os.Remove("/old")
}

// mountOverlay makes root what a container runtime would: an overlay. Some of what the
// driver finds there is in its lower directory.
func mountOverlay(root string) error {
	in := func(p string) string { return filepath.Join(root, p) }
	for _, d := range []string{"lower/etc", "lower/proc", "lower/usr/lib", "upper", "work"} {
		if err := os.MkdirAll(in(d), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(in("lower/etc/hosts"), []byte("# of a layer\n"), 0o644); err != nil {
		return err
	}
	options := "lowerdir=" + in("lower") + ",upperdir=" + in("upper") + ",workdir=" + in("work")
	return os.NewSyscallError("mount overlay", unix.Mount("overlay", root, "overlay", 0, options))
}

// TestInJail runs the tests of this package that need a root to delete.
func TestInJail(t *testing.T) {
	if inJail() {
		t.Skip("this is the jail")
	}
	if os.Geteuid() != 0 {
		t.Skip("a root of its own needs a mount namespace, and that needs root")
	}
	exe := sandboxtest.StaticBinary(t)
	for _, kind := range []string{"disk", "tmpfs", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(exe, "-test.v", "-test.run=^TestJail")
			cmd.Env = append(os.Environ(), jailEnv+"="+t.TempDir(), "TMPDIR=/kaniko/tmp", "SANDBOXTEST_BUSYBOX="+shellPath)
			if kind != "disk" {
				cmd.Env = append(cmd.Env, jailEnv+"_"+strings.ToUpper(kind)+"=1")
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			if errors.Is(err, syscall.EPERM) {
				t.Skipf("no mount namespace can be made here: %v", err)
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			} else {
				t.Logf("%s", out)
			}
		})
	}
}

func inJail() bool { return os.Getenv(jailEnv) != "" }

func needJail(t testing.TB) {
	t.Helper()
	if !inJail() {
		t.Skip("deletes its root: run by TestInJail")
	}
}
