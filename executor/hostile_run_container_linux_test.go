package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// What this program is started as for tests of commands that mean harm: the first process
// of a container, and what a command runs.
const (
	containerName = "kaniko-test-container"
	hostileName   = "hostile"
	containerVar  = "KANIKO_TEST_CONTAINER"
	// notEntered is the status of a container that could not be made.
	notEntered = 125
)

// A container is a root of its own, in which the executor is the first process and has the
// capabilities that Docker gives by default. What it does cannot reach this machine: it has
// namespaces of its own for mounts, processes, IPC and the name of the host, nothing of
// this machine is mounted but what is named here, no disk can be opened, and there is no
// capability to mount, to trace processes or to set the clock. It has the machine's network.
type container struct {
	// Root is the directory that becomes /.
	Root string
	// Binds are directories of this machine, by where they are mounted.
	Binds map[string]string
	// RootSize and StateSize, if they are not 0, are the bytes of a file system that / or
	// /kaniko is, instead of a directory of this machine.
	RootSize, StateSize int
	// FreshProc leaves all of /proc to be seen, so that commands can have one of their own.
	// Runtimes cover parts of it.
	FreshProc bool
	// Plant, if it is set, is left where processes of a kernel share something: in the
	// session's keyring and in shared memory.
	Plant string
	// NoNewPrivileges is what runtimes and Kubernetes (allowPrivilegeEscalation: false)
	// call so.
	NoNewPrivileges bool
	// Group is the directory of a control group to run in.
	Group string
	// Files are written into the container, by their paths.
	Files map[string]string

	Args, Env []string // of the executor
}

// defaultCapabilities are what Docker gives.
var defaultCapabilities = [...]uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD, unix.CAP_NET_RAW, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
}

// hostileRun is to be called first by TestMain: it does not return where this process is
// to be one of [containerName] or [hostileName].
func hostileRun() {
	switch filepath.Base(os.Args[0]) {
	case containerName:
		err := enterContainer()
		fmt.Fprintln(os.Stderr, "enter the container:", err)
		os.Exit(notEntered)
	case hostileName:
		os.Exit(hostileMain(os.Args[1:]))
	}
}

// command is the executor in the container.
func (c container) command(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	said, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, sandboxtest.StaticBinary(t))
	cmd.Args = []string{containerName}
	cmd.Env = []string{containerVar + "=" + string(said)}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL, Setsid: true,
	}
	const straggling = 5 * time.Second // of who holds the pipe, which nobody should
	cmd.WaitDelay = straggling
	return cmd
}

// run runs the executor to its end.
func (c container) run(t *testing.T) outcome {
	t.Helper()
	const hanging = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), hanging)
	defer cancel()
	cmd := c.command(ctx, t)
	var out said
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	got := outcome{said: out.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("it hangs\n%s", &out)
	case errors.As(err, &exit) && exit.Exited():
		got.status = exit.ExitCode()
	case errors.As(err, &exit):
		got.status = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	case err != nil:
		t.Fatalf("%v\n%s", err, &out)
	}
	if got.status == notEntered {
		t.Fatal(got.said)
	}
	layertest.CheckMemory(t, cmd.ProcessState)
	return got
}

// said keeps the beginning and the end of what is written.
type said struct {
	first, last []byte
	between     int // bytes
}

func (s *said) Write(b []byte) (int, error) {
	const most = 1 << 20
	n := len(b)
	if room := min(n, most-len(s.first)); room > 0 {
		s.first, b = append(s.first, b[:room]...), b[room:]
	}
	s.last = append(s.last, b...)
	if over := len(s.last) - most; over > most { // moved seldom
		s.between += over
		s.last = append(s.last[:0], s.last[over:]...)
	}
	return n, nil
}

func (s *said) String() string {
	if s.between == 0 {
		return string(s.first) + string(s.last)
	}
	return fmt.Sprintf("%s\n(%d bytes)\n%s", s.first, s.between, s.last)
}

// processGroup is a control group that holds so many processes and threads.
func processGroup(t *testing.T, most int) string {
	t.Helper()
	for _, top := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir, err := os.MkdirTemp(top, "kaniko-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			for range 100 { // its last process ends a moment after the container
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("%s cannot be removed", dir)
		})
		if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(most)), 0o644); err == nil {
			return dir
		}
	}
	t.Skip("needs a control group that counts processes")
	return ""
}

// enterContainer becomes the executor in the container.
func enterContainer() error {
	// Capabilities are a thread's, and this one executes.
	runtime.LockOSThread()
	var c container
	if err := json.Unmarshal([]byte(os.Getenv(containerVar)), &c); err != nil {
		return err
	}
	// What follows would otherwise be done to the machine.
	if os.Getpid() != 1 || c.Root == "" || c.Root == "/" {
		return errors.New("it is no container")
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if c.Group != "" {
		if err := os.WriteFile(filepath.Join(c.Group, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return err
		}
	}
	if err := c.enter(); err != nil {
		return err
	}
	exe := "/kaniko/executor"
	if c.RootSize > 0 || c.StateSize > 0 {
		exe = "/proc/self/exe" // which is larger than they are
	} else if err := os.WriteFile(exe, program, 0o755); err != nil {
		return err
	}
	for name, text := range c.Files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	if err := c.plant(); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	if c.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return os.NewSyscallError("exec", syscall.Exec(exe, append([]string{"executor"}, c.Args...), c.Env))
}

// enter makes the root and goes there for good.
func (c container) enter() error {
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	in := func(p string) string { return filepath.Join(c.Root, p) }
	mount := func(from, at, kind string, flags uintptr, data string) func() error {
		return func() error {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			if err := unix.Mount(from, at, kind, flags, data); err != nil {
				return &os.PathError{Op: "mount " + kind, Path: at, Err: err}
			}
			return nil
		}
	}
	steps := []func() error{func() error { return unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") }}
	do := func(f ...func() error) { steps = append(steps, f...) }
	if c.RootSize > 0 {
		do(mount("tmpfs", c.Root, "tmpfs", unix.MS_NODEV, "mode=755,size="+strconv.Itoa(c.RootSize)))
	} else {
		do(mount(c.Root, c.Root, "", unix.MS_BIND, ""), mount("", c.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NODEV, ""))
	}
	if c.StateSize > 0 {
		do(mount("tmpfs", in("kaniko"), "tmpfs", unix.MS_NODEV, "mode=755,size="+strconv.Itoa(c.StateSize)))
	}
	for at, from := range c.Binds {
		do(mount(from, in(at), "", unix.MS_BIND, ""), mount("", in(at), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NODEV, ""))
	}
	do(c.furnish, mount("proc", in("proc"), "proc", plain, ""))
	if !c.FreshProc {
		for _, p := range []string{"proc/sys", "proc/irq"} {
			do(mount(in(p), in(p), "", unix.MS_BIND, ""), mount("", in(p), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|plain, ""))
		}
		for _, p := range []string{"proc/kcore", "proc/keys", "proc/timer_list", "proc/sysrq-trigger"} {
			do(func() error {
				if _, err := os.Stat(in(p)); err != nil {
					return nil // this kernel has it not
				}
				return unix.Mount(os.DevNull, in(p), "", unix.MS_BIND, "")
			})
		}
	}
	do(mount("tmpfs", in("dev"), "tmpfs", 0, "mode=755,size=1m"))
	for _, d := range []string{"null", "zero", "full", "random", "urandom"} {
		do(func() error {
			if err := os.WriteFile(in("dev/"+d), nil, 0o666); err != nil {
				return err
			}
			return unix.Mount("/dev/"+d, in("dev/"+d), "", unix.MS_BIND, "")
		})
	}
	do(mount("", in("dev"), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NODEV, ""))
	// The shared memory that runtimes give: /dev itself is theirs.
	do(mount("tmpfs", in("dev/shm"), "tmpfs", plain, "mode=1777,size=8m"), c.leave)
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// furnish makes what runtimes put into a container's root.
func (c container) furnish() error {
	for _, d := range []string{"proc", "sys", "dev", "etc", "old", "kaniko", "workspace"} {
		if err := os.MkdirAll(filepath.Join(c.Root, d), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"resolv.conf": "# of the runtime\n", "hosts": "127.0.0.1 localhost\n", "hostname": "runtime\n"} {
		if err := os.WriteFile(filepath.Join(c.Root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// leave goes into the root, and lets go of the machine's.
func (c container) leave() error {
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(c.Root, "dev", name)); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(c.Root, filepath.Join(c.Root, "old")); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := os.Chdir("/workspace"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount", err)
	}
	return os.Remove("/old")
}

// plant leaves text in the kernel, for whoever can find it.
func (c container) plant() error {
	if c.Plant == "" {
		return nil
	}
	if _, err := unix.KeyctlJoinSessionKeyring("kaniko-test"); err != nil {
		return os.NewSyscallError("keyctl", err)
	}
	if _, err := unix.AddKey("user", "planted", []byte(c.Plant+"key."), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		return os.NewSyscallError("add_key", err)
	}
	const size = 4096
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, size, unix.IPC_CREAT|0o600)
	if err != nil {
		return os.NewSyscallError("shmget", err)
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return os.NewSyscallError("shmat", err)
	}
	copy(memory, c.Plant+"shm.")
	return errors.Join(unix.SysvShmDetach(memory), os.WriteFile("/dev/shm/planted", []byte(c.Plant+"shm."), 0o600))
}

// dropCapabilities leaves what containers have by default, from the next exec on.
func dropCapabilities() error {
	for n := uintptr(0); n <= unix.CAP_LAST_CAP; n++ {
		keep := false
		for _, c := range defaultCapabilities {
			keep = keep || c == n
		}
		if keep {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", n, err)
		}
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	return os.NewSyscallError("capset", unix.Capset(&hdr, &data[0]))
}
