package reaper

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// TestMain makes this program what the tests run in their sandboxes, too: when
// started as "toy" it does what its next argument says.
func TestMain(m *testing.M) {
	Main()
	if os.Args[0] == "toy" || filepath.Base(os.Args[0]) == "toy" {
		toy(os.Args[1], os.Args[2:])
	}
	os.Exit(m.Run())
}

func toy(what string, args []string) {
	again := func(args ...string) *exec.Cmd {
		return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{"toy"}, args...),
			SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	}
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(99)
		}
	}
	switch what {
	case "exit":
		n, _ := strconv.Atoi(args[0])
		os.Exit(n)
	case "die":
		n, _ := strconv.Atoi(args[0])
		signal.Reset(syscall.Signal(n))
		unix.Kill(os.Getpid(), syscall.Signal(n))
		time.Sleep(time.Hour)
	case "env":
		fmt.Printf("%q\n", os.Environ())
	case "args":
		fmt.Printf("%q\n", args)
	case "id":
		groups, _ := os.Getgroups()
		slices.Sort(groups)
		fmt.Println(os.Getuid(), os.Getgid(), groups, os.Getenv("HOME"))
	case "state":
		dir, _ := os.Getwd()
		mask := unix.Umask(0)
		b, err := io.ReadAll(os.Stdin)
		fmt.Printf("dir=%s umask=%o stdin=%d,%v\n", dir, mask, len(b), err)
		st, err := os.ReadFile("/proc/self/status")
		check(err)
		for _, l := range strings.Split(string(st), "\n") {
			if ignored, ok := strings.CutPrefix(l, "SigIgn:\t"); ok {
				// 32 and 33 are the C library's own; Go leaves them as they are, and
				// Bazel's server hands them on ignored.
				set, err := strconv.ParseUint(ignored, 16, 64)
				check(err)
				fmt.Printf("SigIgn:\t%016x\n", set&^(3<<31))
			}
			if strings.HasPrefix(l, "NoNewPrivs") || strings.HasPrefix(l, "CapBnd") || strings.HasPrefix(l, "CapInh") {
				fmt.Println(l)
			}
		}
	case "fds":
		for fd := 3; fd < 256; fd++ {
			l, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
			// The runtime of this program opens event queues and the files of its cgroup.
			if err == nil && !strings.HasPrefix(l, "anon_inode:") && !strings.HasPrefix(l, "/sys/fs/cgroup/") {
				fmt.Println(fd, l)
			}
		}
	case "noise": // n bytes, none of them text
		n, _ := strconv.Atoi(args[0])
		b := bytes.Repeat([]byte{0, 0xff, '\n', 0x80}, 1<<14)
		for n > 0 {
			k := min(n, len(b))
			os.Stdout.Write(b[:k])
			n -= k
		}
	case "both":
		for i := range 50 {
			fmt.Fprintf(os.Stdout, "o%d ", i)
			fmt.Fprintf(os.Stderr, "e%d ", i)
		}
	case "cat":
		for _, f := range args {
			b, err := os.ReadFile(f)
			check(err)
			st, err := os.Stat(f)
			check(err)
			fmt.Printf("%v %s", st.Mode(), b)
		}
	case "write":
		check(os.WriteFile(args[0], []byte(args[1]), 0o666))
	case "ls":
		for _, d := range args {
			es, err := os.ReadDir(d)
			check(err)
			var names []string
			for _, e := range es {
				names = append(names, e.Name())
			}
			fmt.Println(d, names)
		}
	case "interfaces":
		ifs, err := net.Interfaces()
		check(err)
		for _, i := range ifs {
			fmt.Println(i.Name, i.Flags)
		}
	case "leave": // a process in a session of its own, twice removed, deaf to SIGTERM
		c := again("leave2", args[0])
		check(c.Start())
		check(c.Wait())
	case "leave2":
		check(again("tick", args[0]).Start())
	case "tick":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		check(os.WriteFile(args[0]+".pid", []byte(strconv.Itoa(os.Getpid())), 0o600))
		check(os.Rename(args[0]+".pid", args[0]))
		for {
			time.Sleep(5 * time.Millisecond)
			f, err := os.OpenFile(args[0]+".ticks", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			check(err)
			f.WriteString("x")
			f.Close()
		}
	case "chain": // never the same process for long
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		check(err)
		f.WriteString("x")
		f.Close()
		c := again("chain", args[0])
		c.SysProcAttr.Setsid = false
		check(c.Start())
	case "start-chain":
		check(again("chain", args[0]).Start())
		time.Sleep(100 * time.Millisecond)
	case "polite":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		fmt.Println("bye")
		os.Exit(0)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		check(os.WriteFile(args[0], []byte(strconv.Itoa(os.Getpid())), 0o600))
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "runner": // runs the rest as a command, with a pid namespace if asked
		s := Spec{Process: sandbox.Process{Args: append([]string{self(), "deaf"}, args[1:]...), Output: os.Stdout}}
		if args[0] == "pid" {
			s.Namespaces = unix.CLONE_NEWPID
		}
		fmt.Println(Run(context.Background(), s))
	default:
		fmt.Println("no such toy:", what)
		os.Exit(98)
	}
	os.Exit(0)
}

// self is a path that ends in "toy" and is this program.
func self() string {
	dir, err := os.MkdirTemp("", "toy")
	if err != nil {
		panic(err)
	}
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	os.Chmod(dir, 0o755)
	// Other users are let into this directory, but not into the one that the go
	// command keeps the test in. Bazel lets only its owner execute a test at all.
	toy := filepath.Join(dir, "toy")
	if info, err := os.Stat(exe); err != nil {
		panic(err)
	} else if info.Mode().Perm()&0o005 == 0o005 && os.Link(exe, toy) == nil {
		return toy
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(toy, data, 0o755); err != nil {
		panic(err)
	}
	return toy
}

// program is self, removed at the test's end.
func program(t *testing.T) string {
	t.Helper()
	p := self()
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(p)) })
	return p
}

func run(t *testing.T, s Spec) (string, error) {
	t.Helper()
	var out bytes.Buffer
	s.Process.Output = &out
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := Run(ctx, s)
	return out.String(), err
}

func runToy(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return run(t, Spec{Process: sandbox.Process{Args: append([]string{program(t)}, args...)}})
}

func wantExit(t *testing.T, err error, want sandbox.ExitError) {
	t.Helper()
	var got *sandbox.ExitError
	if !errors.As(err, &got) || *got != want {
		t.Errorf("error is %v, want %v", err, &want)
	}
}

func TestRun_status(t *testing.T) {
	if _, err := runToy(t, "exit", "0"); err != nil {
		t.Errorf("status 0: %v", err)
	}
	_, err := runToy(t, "exit", "42")
	wantExit(t, err, sandbox.ExitError{Status: 42})
	_, err = runToy(t, "die", "9")
	wantExit(t, err, sandbox.ExitError{Status: 137, Signal: 9})
	_, err = runToy(t, "die", "15")
	wantExit(t, err, sandbox.ExitError{Status: 143, Signal: 15})
}

func TestRun_notStarted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	script := filepath.Join(dir, "script")
	garbage := filepath.Join(dir, "garbage")
	dangling := filepath.Join(dir, "dangling")
	for f, data := range map[string]string{plain: "", script: "#!/no/such/shell\n", garbage: "\x7fELFnot"} {
		if err := os.WriteFile(f, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(script, 0o755)
	os.Chmod(garbage, 0o755)
	os.Symlink("nowhere", dangling)
	for _, c := range []struct {
		arg, path string
		status    int
		say       string
	}{
		{"nonesuch", "/bin:/usr/bin", 127, "command not found in PATH /bin:/usr/bin"},
		{"plain", dir, 126, "permission denied"},
		{"/no/such/file", "", 127, "no such file"},
		{dangling, "", 127, "leads nowhere"},
		{dir, "", 126, "is a directory"},
		{plain, "", 126, "permission denied"},
		{script, "", 127, "interpreter"},
		{garbage, "", 126, "exec format error"},
		{"", "", 127, "empty"},
	} {
		out, err := run(t, Spec{Process: sandbox.Process{Args: []string{c.arg}, Env: []string{"PATH=" + c.path}}})
		wantExit(t, err, sandbox.ExitError{Status: c.status})
		if !strings.Contains(out, c.say) {
			t.Errorf("%q: output %q does not say %q", c.arg, out, c.say)
		}
	}
}

func TestRun_environment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_BUILDER", "x")
	out, err := run(t, Spec{Process: sandbox.Process{
		Args: []string{program(t), "env"},
		Env:  []string{"A=1", "odd", "B=\xff\xfe", "HOME=/h"},
	}})
	if want := `["A=1" "odd" "B=\xff\xfe" "HOME=/h"]`; err != nil || strings.TrimSpace(out) != want {
		t.Errorf("environment is %s (%v), want %s", out, err, want)
	}
	out, err = runToy(t, "args", "a b", "", "\xff")
	if want := `["a b" "" "\xff"]`; err != nil || strings.TrimSpace(out) != want {
		t.Errorf("arguments are %s (%v), want %s", out, err, want)
	}
}

func TestRun_path(t *testing.T) {
	dir := filepath.Dir(program(t))
	out, err := run(t, Spec{Process: sandbox.Process{
		Args: []string{"toy", "args", "found"}, Env: []string{"PATH=/nowhere:" + dir},
	}})
	if err != nil || strings.TrimSpace(out) != `["found"]` {
		t.Errorf("output %q, error %v", out, err)
	}
}

func TestRun_state(t *testing.T) {
	dir := t.TempDir()
	defer unix.Umask(unix.Umask(0o077))
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	defer signal.Reset(syscall.SIGPIPE, syscall.SIGHUP)
	made := filepath.Join(dir, "made", "deeper")
	out, err := run(t, Spec{
		Process:      sandbox.Process{Args: []string{program(t), "state"}, Dir: treePath(made)},
		Capabilities: []int{unix.CAP_CHOWN, unix.CAP_SETUID},
	})
	if os.Getuid() != 0 {
		t.Skip("limiting capabilities needs root")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"dir=" + made + " umask=22 stdin=0,<nil>",
		"SigIgn:\t0000000000000000", "NoNewPrivs:\t0", "CapBnd:\t0000000000000081", "CapInh:\t0000000000000000",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	st, err := os.Stat(filepath.Dir(made))
	if err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("made directory: %v, %v", st, err)
	}
}

func TestRun_descriptors(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if out, err := runToy(t, "fds"); err != nil || out != "" {
		t.Errorf("command has descriptors %q (%v)", out, err)
	}
}

func TestRun_output(t *testing.T) {
	const n = 64<<20 + 3
	var got counter
	err := Run(t.Context(), Spec{Process: sandbox.Process{
		Args: []string{program(t), "noise", strconv.Itoa(n)}, Output: &got,
	}})
	if err != nil || got.n != n {
		t.Errorf("got %d bytes, error %v; want %d", got.n, err, n)
	}
	if got.largest > chunk {
		t.Errorf("got %d bytes at once", got.largest)
	}
	out, err := runToy(t, "both")
	var want strings.Builder
	for i := range 50 {
		fmt.Fprintf(&want, "o%d e%d ", i, i)
	}
	if err != nil || out != want.String() {
		t.Errorf("output is out of order (%v): %s", err, out)
	}
	err = Run(t.Context(), Spec{Process: sandbox.Process{Args: []string{program(t), "noise", "100000"}, Output: broken{}}})
	if !errors.Is(err, errBroken) {
		t.Errorf("error of the writer is lost: %v", err)
	}
	if err := Run(t.Context(), Spec{Process: sandbox.Process{Args: []string{program(t), "noise", "100000"}}}); err != nil {
		t.Errorf("without a writer: %v", err)
	}
}

type counter struct{ n, largest int }

func (c *counter) Write(b []byte) (int, error) {
	c.n += len(b)
	c.largest = max(c.largest, len(b))
	return len(b), nil
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// eachKind runs a test with init as reaper and, where that is allowed, as PID 1.
func eachKind(t *testing.T, f func(t *testing.T, namespaces uintptr)) {
	t.Run("reaper", func(t *testing.T) { f(t, 0) })
	t.Run("pid", func(t *testing.T) {
		needRoot(t)
		f(t, unix.CLONE_NEWPID)
	})
}

func needRoot(t *testing.T) {
	t.Helper()
	if err := Run(t.Context(), Spec{SetupOnly: true, Namespaces: unix.CLONE_NEWPID | unix.CLONE_NEWNS}); err != nil {
		t.Skipf("needs namespaces without a user namespace: %v", err)
	}
}

func TestRun_leftBehind(t *testing.T) {
	eachKind(t, func(t *testing.T, ns uintptr) {
		file := filepath.Join(t.TempDir(), "tick")
		out, err := run(t, Spec{
			Process:    sandbox.Process{Args: []string{program(t), "leave", file}},
			Namespaces: ns,
		})
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		before, _ := os.ReadFile(file + ".ticks")
		time.Sleep(50 * time.Millisecond)
		after, _ := os.ReadFile(file + ".ticks")
		if len(before) != len(after) {
			t.Errorf("a process left behind goes on: %d, then %d ticks", len(before), len(after))
		}
	})
}

func TestRun_chain(t *testing.T) {
	eachKind(t, func(t *testing.T, ns uintptr) {
		file := filepath.Join(t.TempDir(), "chain")
		out, err := run(t, Spec{
			Process:    sandbox.Process{Args: []string{program(t), "start-chain", file}},
			Namespaces: ns,
		})
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		before, _ := os.ReadFile(file)
		if len(before) == 0 {
			t.Fatal("the chain did not start")
		}
		time.Sleep(100 * time.Millisecond)
		after, _ := os.ReadFile(file)
		if len(before) != len(after) {
			t.Errorf("the chain goes on: %d, then %d links", len(before), len(after))
		}
	})
}

func TestRun_cancel(t *testing.T) {
	eachKind(t, func(t *testing.T, ns uintptr) {
		for _, c := range []struct {
			how  string
			say  string
			most time.Duration
		}{
			{"polite", "ready\nbye\n", grace + 5*time.Second},
			{"deaf", "ready\n", grace + 5*time.Second},
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("enough")
			r, w := io.Pipe()
			var out bytes.Buffer
			read := make(chan struct{})
			go func() {
				defer close(read)
				b := bufio.NewReader(r)
				line, _ := b.ReadString('\n')
				out.WriteString(line)
				cancel(cause)
				io.Copy(&out, b)
			}()
			start := time.Now()
			err := Run(ctx, Spec{
				Process:    sandbox.Process{Args: []string{program(t), c.how, filepath.Join(t.TempDir(), "pid")}, Output: w},
				Namespaces: ns,
			})
			w.Close()
			<-read
			if c.how == "polite" && err == nil {
				err = cause // it was told to end, and ended well
			}
			if !errors.Is(err, cause) {
				t.Errorf("%s: error is %v", c.how, err)
			}
			if out.String() != c.say {
				t.Errorf("%s: output %q, want %q", c.how, out.String(), c.say)
			}
			if took := time.Since(start); took > c.most {
				t.Errorf("%s: took %v", c.how, took)
			}
		}
	})
}

func TestRun_cancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "f")
	err := Run(ctx, Spec{Process: sandbox.Process{Args: []string{program(t), "write", file, "x"}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the command ran")
	}
}

// TestRun_parentKilled kills the process that called Run: all must go with it.
func TestRun_parentKilled(t *testing.T) {
	eachKind(t, func(t *testing.T, ns uintptr) {
		kind := "reaper"
		if ns != 0 {
			kind = "pid"
		}
		file := filepath.Join(t.TempDir(), "pid")
		cmd := exec.Command(program(t), "runner", kind, file)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(pipe)
		if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		cmd.Process.Kill()
		ended := make(chan error, 1)
		go func() {
			// Init and the command hold the pipe: it ends when they have.
			_, err := io.Copy(io.Discard, out)
			ended <- err
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("processes outlive the one that called Run")
		}
		cmd.Wait()
	})
}

// Some container runtimes mount /dev without the right to execute what is in it.
func TestRun_filesNoExec(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	const inside = "REAPER_TEST_DEV_IS_NOEXEC"
	if os.Getenv(inside) == "" {
		script := `mount --bind /dev /dev && mount -o remount,bind,noexec /dev || exit 77; exec "$0" -test.run "$1" -test.v`
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, os.Args[0], "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 77 {
			t.Skipf("no mount namespace here: %v: %s", err, out)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	out, err := run(t, Spec{Process: sandbox.Process{
		Args:  []string{"/dev/pipes/script"},
		Files: []sandbox.File{{Name: "script", Mode: 0o755, Data: "#!/bin/sh\necho \"$0\"\n"}},
		User:  "1234:1234",
	}})
	if want := "/dev/pipes/script\n"; err != nil || out != want {
		t.Errorf("output %q, error %v; want %q", out, err, want)
	}
	for _, dir := range []string{pipesDir, execDir} {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", dir, err)
		}
	}
}

func TestRun_files(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making /dev/pipes needs root")
	}
	out, err := run(t, Spec{Process: sandbox.Process{
		Args: []string{program(t), "cat", "/dev/pipes/a", "/dev/pipes/b"},
		Files: []sandbox.File{
			{Name: "a", Mode: 0o755, Data: "one\n"},
			{Name: "b", Mode: 0o600, Data: "two\n"},
		},
		User: "1234:1234",
	}})
	if want := "-rwxr-xr-x one\n-rw------- two\n"; err != nil || out != want {
		t.Errorf("output %q, error %v; want %q", out, err, want)
	}
	if _, err := os.Stat(pipesDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", pipesDir, err)
	}
	_, err = run(t, Spec{Process: sandbox.Process{
		Args:  []string{program(t), "exit", "0"},
		Files: []sandbox.File{{Name: "../x"}},
	}})
	if err == nil || !strings.Contains(err.Error(), "not a file name") {
		t.Errorf("a file that leaves its directory: %v", err)
	}
}

// A container without CAP_KILL cannot end what another user's command left behind: that is an error soon, and no build without end.
func TestRun_leftBehindByAnother(t *testing.T) {
	needRoot(t)
	const nobody = "65534"
	var out string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// For good: what this thread may no longer do ends with it.
		runtime.LockOSThread()
		if err = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_KILL, 0, 0, 0); err == nil {
			out, err = run(t, Spec{Process: sandbox.Process{Args: []string{"/bin/sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!"}, User: nobody}})
		}
	}()
	<-done
	if pid, _ := strconv.Atoi(strings.TrimSpace(out)); pid > 0 {
		defer unix.Kill(pid, unix.SIGKILL)
	}
	var setup *SetupError
	if !errors.As(err, &setup) || !strings.Contains(err.Error(), "CAP_KILL is missing") || !strings.Contains(setup.Hint(), "CAP_KILL") {
		t.Errorf("%q, %v", out, err)
	}
}
