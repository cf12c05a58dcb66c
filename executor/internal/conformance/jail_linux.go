package conformance

import (
	"os"
	"path/filepath"
	"syscall"
)

// jailEnv has the directory that becomes the root of a process, and jailCase the
// case's directory that it sees as JailDir.
const (
	jailEnv  = "KANIKO_CONFORMANCE_JAIL"
	jailCase = "KANIKO_CONFORMANCE_CASE"
)

// Where a jail has the case, read-only, and where its executor may write.
const (
	JailDir   = "/workspace"
	JailState = "/kaniko"
)

// Jail makes the process that attr and the returned variables start one with a root
// of its own, so that a build in place has something to lose: root is an empty
// directory, and dir is seen as [JailDir]. The program must call [EnterJail].
func Jail(root, dir string) (attr *syscall.SysProcAttr, env []string) {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL},
		[]string{jailEnv + "=" + root, jailCase + "=" + dir}
}

// EnterJail enters the jail that this process was started for, if any, and says
// whether there was one.
func EnterJail() (bool, error) {
	root, dir := os.Getenv(jailEnv), os.Getenv(jailCase)
	if root == "" {
		return false, nil
	}
	for _, name := range []string{jailEnv, jailCase} {
		if err := os.Unsetenv(name); err != nil {
			return true, err
		}
	}
	for _, step := range []func() error{
		func() error { return mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC) },
		func() error { return mount(root, root, "", syscall.MS_BIND) },
		func() error { return furnish(root) },
		func() error { return mount("proc", filepath.Join(root, "proc"), "proc", 0) },
		func() error { return devices(filepath.Join(root, "dev")) },
		func() error {
			in := filepath.Join(root, JailDir)
			if err := mount(dir, in, "", syscall.MS_BIND); err != nil {
				return err
			}
			return mount("", in, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY)
		},
		func() error {
			return os.NewSyscallError("pivot_root", syscall.PivotRoot(root, filepath.Join(root, "old")))
		},
		func() error { return os.Chdir(JailDir) },
		func() error { return os.NewSyscallError("umount", syscall.Unmount("/old", syscall.MNT_DETACH)) },
		func() error { return os.Remove("/old") },
	} {
		if err := step(); err != nil {
			return true, err
		}
	}
	return true, nil
}

func mount(source, target, kind string, flags uintptr) error {
	err := syscall.Mount(source, target, kind, flags, "")
	if err != nil {
		return &os.PathError{Op: "mount", Path: target, Err: err}
	}
	return nil
}

// furnish makes what runtimes put into a container's root.
func furnish(root string) error {
	for _, d := range []string{"proc", "sys", "dev", "etc", "old", JailState, JailDir} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"resolv.conf": "# of the runtime\n", "hosts": "127.0.0.1 localhost\n", "hostname": "runtime\n"} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func devices(dir string) error {
	if err := mount("tmpfs", dir, "tmpfs", 0); err != nil {
		return err
	}
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	for name, minor := range map[string]int64{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := syscall.Mknod(filepath.Join(dir, name), syscall.S_IFCHR|0o666, device([2]int64{1, minor})); err != nil {
			return os.NewSyscallError("mknod", err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(dir, "shm"), 0o1777)
}
