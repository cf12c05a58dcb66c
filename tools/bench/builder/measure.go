package builder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
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
	Pulled  int64 `json:"-"` // bytes that the registry sent meanwhile; who has the registry sets it
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
// falls while a process lives, so only growth in a process' last 25 ms can be missed, and processes that live shorter than 200 ms. Looking
// for processes costs more than reading a mark, hence two rhythms: the watcher shall not take time from what it watches.
type watcher struct {
	own  os.FileInfo
	stop chan struct{}
	done sync.WaitGroup
	peak int64
	pids []int
}

func (w *watcher) run() {
	defer w.done.Done()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if i < 4 || i%8 == 0 {
			w.look()
		}
		for _, pid := range w.pids {
			w.peak = max(w.peak, highWater("/proc/"+strconv.Itoa(pid)+"/status"))
		}
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
	}
}

// look finds the processes that run the builder's binary.
func (w *watcher) look() {
	w.pids = w.pids[:0]
	for _, pid := range children(os.Getpid(), nil) {
		if st, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe"); err == nil && os.SameFile(st, w.own) {
			w.pids = append(w.pids, pid)
		}
	}
}

// children appends the descendants of pid.
func children(pid int, to []int) []int {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return to
	}
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/children")
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
	b, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("\nVmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kb, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return kb * 1024
}
