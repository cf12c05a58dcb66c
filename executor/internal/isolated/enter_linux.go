package isolated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The Args[0] of copies of this program, and where they find their orders.
const (
	mapName   = "kaniko-map"      // waits until its ids are mapped, then becomes the next
	probeName = "kaniko-probe"    // tries what is allowed and says so
	innerName = "kaniko-isolated" // is the program itself, inside

	orderFD = 3
)

// order is what such a copy is told, over a socket.
type order struct {
	Parent int // process id of who asks
	Name   []byte
	Grant  *Grant
	Try    []StateDir
}

// Main is to be called in main and TestMain after reaper.Main and before anything
// else. In a process that [Enter] started it returns what is granted; in one that
// was started by the user it returns nil; in one that [Probe] started it does not
// return.
func Main() *Grant {
	if len(os.Args) == 0 {
		return nil
	}
	name := os.Args[0]
	if name != mapName && name != probeName && name != innerName {
		return nil
	}
	// The parent-death signal that exec may have taken away counts from a thread
	// that must not go: the first one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		os.Exit(1)
	}
	unix.CloseOnExec(orderFD)
	control := os.NewFile(orderFD, "orders")
	if name == mapName {
		becomeMapped(control)
	}
	var o order
	if err := json.NewDecoder(control).Decode(&o); err != nil || os.Getppid() != o.Parent {
		os.Exit(1) // whoever asked is gone
	}
	err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	if err != nil {
		err = fmt.Errorf("make mounts private: %w", err)
	}
	if name == probeName {
		rep := report{}
		if err == nil {
			rep = try(context.Background(), o)
		} else {
			rep.Attempts = []reported{{Err: []byte(err.Error())}}
		}
		if json.NewEncoder(control).Encode(rep) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	control.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Args[0] = string(o.Name)
	return o.Grant
}

// becomeMapped waits for a byte, which says that this process's ids are mapped.
// It is then root of its namespace, but has root's rights only after an exec.
func becomeMapped(control *os.File) {
	b := make([]byte, 1)
	if n, err := control.Read(b); n != 1 || err != nil || len(os.Args) < 2 {
		os.Exit(1)
	}
	if _, err := unix.FcntlInt(orderFD, unix.F_SETFD, 0); err != nil {
		os.Exit(1)
	}
	err := unix.Exec("/proc/self/exe", os.Args[1:], os.Environ())
	fmt.Fprintln(os.Stderr, "start again inside the user namespace:", err)
	os.Exit(1)
}

// inner is a copy of this program inside new namespaces.
type inner struct {
	cmd     *exec.Cmd
	control *os.File
}

// start starts a copy of this program as name, with the given arguments, inside
// the namespaces of m. The calling goroutine must be locked to its thread until
// the copy has ended.
func start(m Method, name string, args []string, o order) (_ *inner, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "orders"), os.NewFile(uintptr(fds[1]), "orders")
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe",
		Args: append([]string{name}, args...),
		Env:  os.Environ(),
		// Standard input and output are the copy's own affair.
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS,
			Pdeathsig:  unix.SIGKILL,
			// Signals from a terminal come through this process, once.
			Setpgid: true,
		},
	}
	if m.User {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		if m.Helpers {
			cmd.Args = append([]string{mapName}, cmd.Args...)
		} else {
			cmd.SysProcAttr.UidMappings = mappings(m.UIDs)
			cmd.SysProcAttr.GidMappings = mappings(m.GIDs)
			// The kernel lets only those with CAP_SETGID keep setgroups(2).
			cmd.SysProcAttr.GidMappingsEnableSetgroups = count(m.GIDs) > 1
		}
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		return nil, fmt.Errorf("make a %v: %w", m, err)
	}
	in := &inner{cmd: cmd, control: ours}
	defer func() {
		if err != nil {
			in.cmd.Process.Kill()
			in.cmd.Wait()
			ours.Close()
		}
	}()
	if m.Helpers {
		for _, h := range []struct {
			tool string
			ids  []IDRange
		}{{"newuidmap", m.UIDs}, {"newgidmap", m.GIDs}} {
			if err := runMapper(h.tool, cmd.Process.Pid, h.ids); err != nil {
				return nil, err
			}
		}
		if _, err := ours.Write([]byte{'\n'}); err != nil {
			return nil, fmt.Errorf("start inside the user namespace: %w", err)
		}
	}
	o.Parent = os.Getpid()
	o.Name = []byte(os.Args[0])
	if err := json.NewEncoder(ours).Encode(o); err != nil {
		return nil, fmt.Errorf("start inside the namespaces: %w", err)
	}
	return in, nil
}

func runMapper(tool string, pid int, ids []IDRange) error {
	args := []string{strconv.Itoa(pid)}
	for _, r := range ids {
		args = append(args, fmt.Sprint(r.Inside), fmt.Sprint(r.Outside), fmt.Sprint(r.Count))
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func mappings(rs []IDRange) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, r := range rs {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(r.Inside), HostID: int(r.Outside), Size: int(r.Count)})
	}
	return out
}

// methods lists the ways in, best first.
func methods() []Method {
	uid, gid := int64(os.Geteuid()), int64(os.Getegid())
	var ms []Method
	if uid == 0 {
		ms = append(ms, Method{})
		uids, err1 := ownMap("/proc/self/uid_map")
		gids, err2 := ownMap("/proc/self/gid_map")
		if err1 == nil && err2 == nil && (count(uids) > 1 || count(gids) > 1) {
			ms = append(ms, Method{User: true, UIDs: uids, GIDs: gids})
		}
	} else if u, g := subIDs("/etc/subuid", uid), subIDs("/etc/subgid", uid); len(u) > 0 && len(g) > 0 {
		ms = append(ms, Method{
			User: true, Helpers: true,
			UIDs: append([]IDRange{{0, uid, 1}}, u...),
			GIDs: append([]IDRange{{0, gid, 1}}, g...),
		})
	}
	return append(ms, Method{User: true, UIDs: []IDRange{{0, uid, 1}}, GIDs: []IDRange{{0, gid, 1}}})
}

// ownMap is the map that gives a new user namespace the ids which this process
// has. A range must not span two of the parent's.
func ownMap(file string) ([]IDRange, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []IDRange
	for line := range strings.Lines(string(b)) {
		var r IDRange
		if _, err := fmt.Sscan(line, &r.Inside, &r.Outside, &r.Count); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		r.Outside = r.Inside
		out = append(out, r)
	}
	return out, nil
}

// subIDs are the ranges that a file of subordinate ids gives to a user, mapped to
// the ids from 1 on.
func subIDs(file string, uid int64) []IDRange {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	names := []string{strconv.FormatInt(uid, 10)}
	if passwd, err := os.ReadFile("/etc/passwd"); err == nil {
		for line := range strings.Lines(string(passwd)) {
			if f := strings.Split(line, ":"); len(f) > 2 && f[2] == names[0] {
				names = append(names, f[0])
			}
		}
	}
	next := int64(1)
	var out []IDRange
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || !slices.Contains(names, f[0]) {
			continue
		}
		first, err1 := strconv.ParseInt(f[1], 10, 64)
		n, err2 := strconv.ParseInt(f[2], 10, 64)
		if err1 != nil || err2 != nil || first < 0 || n <= 0 {
			continue
		}
		out = append(out, IDRange{next, first, n})
		next += n
	}
	return out
}

// Exit is how the program inside ended.
type Exit struct {
	Status int
	Signal syscall.Signal // 0 if it ended by itself
}

// Enter runs this program again, with the same arguments, environment and
// standard files, inside what was granted, and waits for its end. Signals that
// would end this process are passed on; if it is killed, so is all inside.
// When ctx ends, the program inside gets SIGTERM.
func Enter(ctx context.Context, g *Grant) (Exit, error) {
	// The parent-death signal counts from the thread that starts the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)

	in, err := start(g.Method, innerName, os.Args[1:], order{Grant: g})
	if err != nil {
		return Exit{}, fmt.Errorf("enter a sandbox: %w", err)
	}
	in.control.Close()
	ended := make(chan error, 1)
	go func() { ended <- in.cmd.Wait() }()

	passed := false
	done := ctx.Done()
	for {
		select {
		case s := <-signals:
			passed = true
			in.cmd.Process.Signal(s)
		case <-done:
			done = nil
			// The same signal may have ended ctx, and be on its way here.
			select {
			case s := <-signals:
				passed = true
				in.cmd.Process.Signal(s)
			case <-time.After(50 * time.Millisecond):
			}
			if !passed {
				in.cmd.Process.Signal(syscall.SIGTERM)
			}
		case <-ended:
			ws, ok := in.cmd.ProcessState.Sys().(syscall.WaitStatus)
			switch {
			case !ok:
				return Exit{}, errors.New("enter a sandbox: how the program inside ended is unknown")
			case ws.Signaled():
				return Exit{Status: 128 + int(ws.Signal()), Signal: ws.Signal()}, nil
			}
			return Exit{Status: ws.ExitStatus()}, nil
		}
	}
}

// Leave ends this process as e says. It does not return.
func (e Exit) Leave() {
	if e.Signal != 0 {
		// Without a second core file.
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		signal.Reset(e.Signal)
		_ = unix.Kill(os.Getpid(), e.Signal)
		// As PID 1 of a container this process cannot end itself so.
		time.Sleep(100 * time.Millisecond)
	}
	os.Exit(e.Status)
}

// Probe finds out, by doing it in a copy of this program, whether a sandbox can
// be had and where its layers can lie. That nothing can is a *[Refused].
func Probe(ctx context.Context, dirs []StateDir) (*Grant, error) {
	return probe(ctx, dirs, methods())
}

func probe(ctx context.Context, dirs []StateDir, ms []Method) (*Grant, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	refused := &Refused{}
	for _, m := range ms {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		name := m.String()
		if m.User && count(m.UIDs) == 1 {
			name += " with a single id"
		}
		rep, err := ask(ctx, m, dirs)
		if err != nil {
			refused.Attempts = append(refused.Attempts, Attempt{Method: name, Err: err})
			continue
		}
		if rep.Grant != nil {
			return rep.Grant, nil
		}
		for _, a := range rep.Attempts {
			refused.Attempts = append(refused.Attempts, a.attempt(name))
		}
	}
	return nil, refused
}

// ask starts one probe and hears its report.
func ask(ctx context.Context, m Method, dirs []StateDir) (report, error) {
	in, err := start(m, probeName, nil, order{Try: dirs, Grant: &Grant{Method: m, IDs: 1}})
	if err != nil {
		return report{}, err
	}
	defer in.control.Close()
	stop := context.AfterFunc(ctx, func() { in.cmd.Process.Kill() })
	defer stop()
	var rep report
	derr := json.NewDecoder(in.control).Decode(&rep)
	werr := in.cmd.Wait()
	if derr == nil {
		return rep, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return rep, cause
	}
	if errors.Is(derr, io.EOF) && werr != nil {
		derr = werr
	}
	return rep, fmt.Errorf("try inside a %v: %w", m, derr)
}

// report is what a probe found.
type report struct {
	Grant    *Grant
	Attempts []reported
}

type reported struct {
	Dir   []byte
	Err   []byte
	Errno syscall.Errno
}

func (r reported) attempt(method string) Attempt {
	return Attempt{Method: method, Dir: string(r.Dir), Err: &reportedError{string(r.Err), r.Errno}}
}

type reportedError struct {
	text  string
	errno syscall.Errno
}

func (e *reportedError) Error() string { return e.text }

func (e *reportedError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}
