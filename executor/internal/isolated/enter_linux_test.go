package isolated

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestModes runs the tests that need to be inside in every way that there is.
func TestModes(t *testing.T) {
	if os.Getenv(grantEnv) != "" {
		t.Skip("is inside already")
	}
	for _, m := range modes(t) {
		t.Run(m.name, func(t *testing.T) {
			cmd, _ := again(t, m, "-test.run=^TestInside", "-test.v=true")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			if err == nil && !strings.Contains(out.String(), "--- PASS: TestInside") {
				err = errors.New("no test was run")
			}
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == 3 {
				t.Skipf("is not granted here:\n%s", out.String())
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out.String())
			} else {
				t.Log(out.String())
			}
		})
	}
}

// TestInsideSelf says things of the program that TestEnter starts.
func TestInsideSelf(t *testing.T) {
	granted(t)
	switch os.Getenv("KANIKO_TEST_SELF") {
	case "status":
		os.Exit(42)
	case "signal":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(7)
	case "die":
		signal.Reset(syscall.SIGTERM)
		unix.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "wait":
		if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
			fmt.Println(err)
			os.Exit(5)
		}
		fmt.Println("ready")
		time.Sleep(time.Hour)
	}
}

func TestEnter(t *testing.T) {
	if os.Getenv(grantEnv) != "" {
		t.Skip("is inside already")
	}
	m := modes(t)[0]
	self := func(t *testing.T, what string) (*exec.Cmd, *bufio.Reader, io.Closer) {
		cmd, _ := again(t, m, "-test.run=^TestInsideSelf$")
		cmd.Env = append(cmd.Env, "KANIKO_TEST_SELF="+what)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewReader(r), r
	}
	t.Run("status", func(t *testing.T) {
		cmd, out, c := self(t, "status")
		defer c.Close()
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 42 {
			b, _ := io.ReadAll(out)
			t.Errorf("%v: %s", cmd.ProcessState, b)
		}
	})
	t.Run("signal", func(t *testing.T) {
		cmd, out, c := self(t, "signal")
		defer c.Close()
		if line, err := out.ReadString('\n'); line != "ready\n" {
			t.Fatal(line, err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%v", cmd.ProcessState)
		}
	})
	t.Run("die", func(t *testing.T) {
		cmd, _, c := self(t, "die")
		defer c.Close()
		cmd.Wait()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
			t.Errorf("%v", cmd.ProcessState)
		}
	})
	// The program inside has mounted something and is killed with the one outside:
	// the pipe ends when it is gone, and this process never saw its mount.
	t.Run("killed", func(t *testing.T) {
		cmd, out, c := self(t, "wait")
		defer c.Close()
		if line, err := out.ReadString('\n'); line != "ready\n" {
			t.Fatal(line, err)
		}
		before, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(before), " /mnt tmpfs ") {
			t.Error("a mount inside is seen outside")
		}
		cmd.Process.Kill()
		ended := make(chan struct{})
		go func() {
			io.Copy(io.Discard, out)
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the program inside outlives the one outside")
		}
		cmd.Wait()
	})
}

func TestProbe_refused(t *testing.T) {
	if os.Getenv(grantEnv) != "" {
		t.Skip("is inside already")
	}
	// No id of this process has such a map.
	ms := []Method{{User: true, UIDs: []IDRange{{0, 1 << 31, 4}}, GIDs: []IDRange{{0, 0, 1}}}}
	if os.Getuid() == 0 {
		// Root may map any id, but its own program is then nobody's.
		ms[0].UIDs = []IDRange{{0, 0, 1}, {0, 1, 1}}
	}
	_, err := probe(t.Context(), StateDirs(t.TempDir()), ms)
	var r *Refused
	if !errors.As(err, &r) || len(r.Attempts) != 1 || r.Attempts[0].Dir != "" || r.Hint() == "" {
		t.Fatalf("error is %v", err)
	}
	if !strings.Contains(err.Error(), "make a user namespace: ") {
		t.Errorf("the step is not named: %v", err)
	}
}

// TestProbe_dirs tries directories that are not fit for layers.
func TestProbe_dirs(t *testing.T) {
	if os.Getenv(grantEnv) != "" {
		t.Skip("is inside already")
	}
	if g, err := Probe(t.Context(), StateDirs(t.TempDir())); err != nil {
		t.Skipf("is not granted here: %v", err)
	} else if g.String() == "" {
		t.Error("the grant says nothing")
	}
	dirs := []StateDir{{Path: "/no/such/dir"}, {Path: "/proc"}}
	if os.Getuid() == 0 {
		mem := t.TempDir()
		if err := unix.Mount("tmpfs", mem, "tmpfs", 0, ""); err == nil {
			t.Cleanup(func() { unix.Unmount(mem, unix.MNT_DETACH) })
			dirs = append(dirs, StateDir{Path: mem})
			if g, err := Probe(t.Context(), StateDirs(mem)); err != nil || g.Dir != mem {
				t.Errorf("a tmpfs that is named explicitly is refused: %v", err)
			}
		}
		// What a container's own root is: an overlay.
		over, lower, upper, work := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
		if err := unix.Mount("overlay", over, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work); err == nil {
			t.Cleanup(func() { unix.Unmount(over, unix.MNT_DETACH) })
			dirs = append(dirs, StateDir{Path: over})
		}
	}
	_, err := probe(t.Context(), dirs, methods()[:1])
	var r *Refused
	if !errors.As(err, &r) || len(r.Attempts) != len(dirs) {
		t.Fatalf("error is %v", err)
	}
	for i, a := range r.Attempts {
		if a.Dir != dirs[i].Path || a.Err.Error() == "" {
			t.Errorf("attempt %d is %+v", i, a)
		}
	}
	if os.Getuid() == 0 && len(dirs) == 4 {
		if !strings.Contains(r.Attempts[2].Err.Error(), "kept in memory") {
			t.Errorf("tmpfs: %v", r.Attempts[2].Err)
		}
		if !errors.Is(r.Attempts[3].Err, unix.EINVAL) && !strings.Contains(r.Attempts[3].Err.Error(), "overlay") {
			t.Errorf("overlay: %v", r.Attempts[3].Err)
		}
	}
}

func TestSubIDs(t *testing.T) {
	f := t.TempDir() + "/subuid"
	data := "# comment\nother:1:1\n4711:100000:65536\nbroken:x\n4711:-5:2\n4711:200000:10\n"
	if err := os.WriteFile(f, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(subIDs(f, 4711))
	if want := fmt.Sprint([]IDRange{{1, 100000, 65536}, {65537, 200000, 10}}); got != want {
		t.Errorf("ranges are %s, want %s", got, want)
	}
	if got := subIDs(f, 4712); got != nil {
		t.Errorf("ranges of a stranger: %v", got)
	}
}

func TestWithLocalhost(t *testing.T) {
	const added = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
	for in, want := range map[string]string{
		"":                            added,
		"10.0.0.1 db":                 "10.0.0.1 db\n" + added,
		"127.0.0.1 x localhost # y\n": "127.0.0.1 x localhost # y\n",
		"# 127.0.0.1 localhost\n":     "# 127.0.0.1 localhost\n" + added,
	} {
		if got := withLocalhost(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}
