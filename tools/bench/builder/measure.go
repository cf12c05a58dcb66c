package builder

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Sample is what one build cost.
type Sample struct {
	Wall    float64 // seconds from the builder's start to its end
	CPU     float64 // user and system seconds of the builder and everything it started
	Own     int64   // peak resident bytes of the builder's own largest process
	Largest int64   // peak resident bytes of the largest process of all, the commands of RUN included
	Exit    int
}

// Measure runs a command as its parent and as the reaper of everything the command leaves behind, so that getrusage sees the whole process
// tree, and writes a Sample. It is started inside the container for the in-place driver: the container runtime is no part of the figures.
//
//	bench measure OUT EXE COMMAND…     EXE: processes running this file count as the builder's own
func Measure(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: bench measure OUT EXE COMMAND...")
	}
	out, exe, argv := args[0], args[1], args[2:]
	const prSetChildSubreaper = 36
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); e != 0 {
		return fmt.Errorf("become subreaper: %w", e)
	}
	own, err := os.Stat(exe)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	start := time.Now()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	// Who ends this process means the build.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range signals {
			_ = p.Signal(s)
		}
	}()
	w := &watcher{own: own, stop: make(chan struct{})}
	w.done.Add(1)
	go w.run()

	var s Sample
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if pid == p.Pid {
			s.Wall = time.Since(start).Seconds()
			s.Exit = status.ExitStatus()
			if status.Signaled() {
				s.Exit = 128 + int(status.Signal())
			}
			break
		}
	}
	reapRest(5 * time.Second)
	close(w.stop)
	w.done.Wait()

	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ru); err != nil {
		return err
	}
	s.CPU = seconds(ru.Utime) + seconds(ru.Stime)
	s.Largest = ru.Maxrss * 1024
	s.Own = w.peak
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o644)
}

// reapRest waits for what the command left running; its time belongs to the build too.
func reapRest(limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.ECHILD) {
			return
		}
		if pid == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	fmt.Fprintln(os.Stderr, "bench: processes of the build were still running 5 s after its end; their time is missing from the figures")
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// A watcher samples the high-water mark of the builder's own processes; rusage cannot tell them from the commands they run. The mark never
// falls while a process lives, so only growth in a process' last 20 ms can be missed.
type watcher struct {
	own  os.FileInfo
	stop chan struct{}
	done sync.WaitGroup
	peak int64
}

func (w *watcher) run() {
	defer w.done.Done()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, pid := range children(os.Getpid(), nil) {
			dir := "/proc/" + strconv.Itoa(pid)
			if st, err := os.Stat(dir + "/exe"); err == nil && os.SameFile(st, w.own) {
				w.peak = max(w.peak, highWater(dir+"/status"))
			}
		}
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
	}
}

// children appends the descendants of pid.
func children(pid int, to []int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if c, err := strconv.Atoi(f); err == nil {
				to = children(c, append(to, c))
			}
		}
	}
	return to
}

func highWater(status string) int64 {
	f, err := os.Open(status)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kb * 1024
		}
	}
	return 0
}
