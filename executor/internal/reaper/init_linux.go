package reaper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// grace is how long a cancelled command has between SIGTERM and SIGKILL.
const grace = 2 * time.Second

// pipesDir is where a command finds its [sandbox.File]s.
const pipesDir = "/dev/pipes"

// execDir holds them where nothing below /dev can be executed, which is so in the
// containers of some runtimes; pipesDir is then a link to it.
const execDir = "/.kaniko-pipes"

// Main is to be called before anything else in main and in TestMain: it returns
// at once unless this process was started as init, and then never.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != initName {
		return
	}
	// What is taken away from the command is a thread's, and it is not to be this one.
	runtime.LockOSThread()
	control := os.NewFile(controlFD, "control")
	closeOnExec()
	var req request
	in := json.NewDecoder(control)
	if err := in.Decode(&req); err != nil {
		os.Exit(1) // whoever asked is gone
	}
	resp := serve(req, io.MultiReader(in.Buffered(), control))
	if err := json.NewEncoder(control).Encode(resp); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// closeOnExec keeps every descriptor but the standard ones from the command,
// also those that this program itself was started with.
func closeOnExec() {
	const first = 3
	if unix.CloseRange(first, ^uint(0)>>33, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// Before Linux 5.11, and in gVisor.
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, n := range names {
		var fd int
		if _, err := fmt.Sscan(n.Name(), &fd); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
}

// initProcess is the state of init.
type initProcess struct {
	procs   *processes
	command atomic.Int64 // pid of the running command, 0 before and after
	stopped atomic.Bool  // the parent cancelled, or is gone
	undo    []func()     // what was put in place for the command, newest last
}

func serve(req request, control io.Reader) response {
	// Every signal gets a handler here, since handlers, unlike ignored signals,
	// are reset for the command by exec. The only one that init acts upon is the
	// end of its parent, which arrives as SIGTERM.
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	signal.Notify(make(chan os.Signal))
	unix.Umask(0o022)

	p := &initProcess{}
	procs, err := openProcesses()
	if err != nil {
		return refused(&SetupError{Step: "open /proc", Err: err})
	}
	p.procs = procs
	if err := p.procs.adopt(); err != nil {
		return refused(&SetupError{Step: "become the reaper of the command's processes", Err: err})
	}

	go func() {
		<-ends
		p.stop(0)
	}()
	go func() {
		b := make([]byte, 1)
		for {
			if _, err := control.Read(b); err != nil {
				p.stop(0) // the parent is gone
				return
			}
			if b[0] == cancelByte {
				p.stop(grace)
			}
		}
	}()

	defer p.takeBack()
	if req.Loopback {
		if err := raiseLoopback(); err != nil {
			return refused(err)
		}
	}
	if len(req.Root) > 0 {
		root, err := decodeRoot(req.Root)
		if err == nil {
			err = p.enter(root, string(req.Dir))
		}
		if err != nil {
			return refused(err)
		}
	}
	if req.SetupOnly {
		return response{}
	}
	resp, err := p.run(req)
	if left := p.procs.killAll(); err == nil {
		err = left
	}
	if err != nil {
		var se *startError
		if errors.As(err, &se) {
			return response{Status: se.status, Message: []byte(se.text), Help: se.help}
		}
		return refused(err)
	}
	return resp
}

// stop ends the command: politely first if it is given time.
func (p *initProcess) stop(patience time.Duration) {
	p.stopped.Store(true)
	pid := int(p.command.Load())
	if pid == 0 {
		return
	}
	if patience > 0 {
		unix.Kill(-pid, unix.SIGTERM)
		time.AfterFunc(patience, func() { p.stop(0) })
		return
	}
	unix.Kill(-pid, unix.SIGKILL)
	unix.Kill(pid, unix.SIGKILL)
}

func (p *initProcess) takeBack() {
	for i := len(p.undo) - 1; i >= 0; i-- {
		p.undo[i]()
	}
	p.undo = nil
}

func (p *initProcess) run(req request) (response, error) {
	user := string(req.User)
	who, err := lookupUser(user, "/etc/passwd", "/etc/group")
	if err != nil {
		return response{}, &SetupError{Step: "run as user " + user, Err: err,
			Help: "create the user in an earlier RUN, or name it by its number", Dockerfile: true}
	}
	cred, err := credential(who)
	if err != nil {
		return response{}, err
	}
	env := toStrings(req.Env)
	if _, ok := getenv(env, "HOME"); !ok {
		env = append(env, "HOME="+who.home)
	}
	// A mount may have hidden it.
	dir := string(req.Dir)
	if err := makeWorkingDir(dir); err != nil {
		return response{}, err
	}
	if err := os.Chdir(dir); err != nil {
		return response{}, &SetupError{Step: "enter the working directory", Err: err}
	}
	if err := p.putFiles(req.files(), who); err != nil {
		return response{}, err
	}
	args := toStrings(req.Args)
	file, err := lookPath(args[0], env)
	if err != nil {
		return response{}, withoutShell(args, err)
	}
	for _, s := range append(append([]string{file}, args...), env...) {
		if strings.ContainsRune(s, 0) {
			return response{}, &SetupError{Step: "start the command", Err: fmt.Errorf("%q contains a zero byte", s)}
		}
	}
	// A command that opens /dev/stdout opens the pipe anew, which takes its owner.
	unix.Fchown(1, who.uid, who.gid)

	if p.stopped.Load() {
		return response{}, &SetupError{Step: "start the command", Err: errors.New("cancelled")}
	}
	pid, err := start(req, file, args, &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Credential: cred,
			Pdeathsig:  unix.SIGKILL,
		},
	})
	if err != nil {
		return response{}, err
	}
	p.command.Store(int64(pid))
	if p.stopped.Load() {
		p.stop(0) // the request to stop came while the command was started
	}
	ws, err := waitFor(pid)
	p.command.Store(0)
	if err != nil {
		return response{}, &SetupError{Step: "wait for the command", Err: err}
	}
	if ws.Signaled() {
		return response{Status: 128 + int(ws.Signal()), Signal: int(ws.Signal()), Help: fullHelp("/")}, nil
	}
	resp := response{Status: ws.ExitStatus()}
	if resp.Status != 0 {
		resp.Help = fullHelp("/")
	}
	return resp, nil
}

// spares are threads of which there are some more than the runtime wants at a time.
const spares = 8

// spare has threads made for the time when the command has left no room for another one:
// the runtime keeps them, and ends the process when it cannot make one that it needs.
func spare() {
	var made, over sync.WaitGroup
	made.Add(spares)
	all := make(chan struct{})
	for range spares {
		over.Go(func() {
			runtime.LockOSThread() // so that no two have the same
			defer runtime.UnlockOSThread()
			made.Done()
			<-all
		})
	}
	made.Wait()
	close(all)
	over.Wait()
}

// start starts the command from a thread of its own, which has what is taken away from the
// command: init itself needs it to the end.
func start(req request, file string, args []string, attr *syscall.ProcAttr) (pid int, err error) {
	spare()
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if req.Capabilities != nil {
			err = bound(req.Capabilities)
		}
		if err == nil {
			apart(len(req.Root) > 0)
			if pid, err = syscall.ForkExec(file, args, attr); err != nil {
				err = execFailed(file, err)
			}
		}
		close(done)
		select {} // the parent-death signal of the command counts from this thread
	}()
	<-done
	return pid, err
}

// waitFor collects whatever ends until pid has. The command itself is collected
// only here, so its number cannot mean another process to [initProcess.stop]
// but for the moment between the two lines that follow.
func waitFor(pid int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return ws, err
		case got == pid:
			return ws, nil
		}
	}
}

// putFiles writes the command's small files where it looks for them.
func (p *initProcess) putFiles(files []sandbox.File, who identity) error {
	if len(files) == 0 {
		return nil
	}
	fail := func(err error) error {
		return &SetupError{Step: "put the command's files into " + pipesDir, Err: err}
	}
	dir, err := p.openPipes(files)
	if err != nil {
		return fail(err)
	}
	p.undo = append(p.undo, func() { dir.Close() })
	for _, f := range files {
		if f.Name != filepath.Base(f.Name) || f.Name == "." || f.Name == ".." {
			return fail(fmt.Errorf("%q is not a file name", f.Name))
		}
		w, err := dir.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fail(err)
		}
		p.undo = append(p.undo, func() { dir.Remove(f.Name) })
		_, err = io.WriteString(w, f.Data)
		if err == nil {
			err = w.Chown(who.uid, who.gid)
		}
		if err == nil {
			err = unix.Fchmod(int(w.Fd()), uint32(f.Mode))
		}
		if cerr := w.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fail(err)
		}
	}
	return nil
}

// openPipes makes the directory of the command's files, and leads pipesDir to it.
func (p *initProcess) openPipes(files []sandbox.File) (*os.Root, error) {
	if !anyExecutable(files) || !noExec(filepath.Dir(pipesDir)) {
		if _, err := p.ensure(pipesDir, false); err != nil {
			return nil, err
		}
		return os.OpenRoot(pipesDir)
	}
	if _, err := p.ensure(execDir, false); err != nil {
		return nil, err
	}
	if err := os.Symlink(execDir, pipesDir); err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func() { os.Remove(pipesDir) })
	return os.OpenRoot(execDir)
}

func anyExecutable(files []sandbox.File) bool {
	const anybody = 0o111
	return slices.ContainsFunc(files, func(f sandbox.File) bool { return f.Mode&anybody != 0 })
}

// noExec reports whether programs in a directory are refused for the way it is mounted.
func noExec(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0
}

// controlPair is the socket between parent and init: the parent's end and init's.
func controlPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "init")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		theirs.Close()
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), theirs, nil
}
