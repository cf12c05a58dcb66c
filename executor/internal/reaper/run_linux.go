package reaper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

const (
	// patience is how long init has after a cancelled command's grace to end
	// everything; a process that the kernel cannot end may take longer.
	patience = 10 * time.Second
	// stragglers is how long output is waited for after init has ended. All that
	// held the pipe are gone by then, unless a descriptor was handed to a stranger.
	stragglers = 2 * time.Second
	// chunk is the size in bytes of the buffer through which output passes.
	chunk = 64 << 10
)

// Run runs a command and returns when it, and everything that it started, has
// ended. A command that ends with a status other than 0 is an
// *[sandbox.ExitError]; one that could not be started counts as 126 or 127, as
// in a shell, and the reason is written to its output. What goes wrong before
// that is a *[SetupError]. When ctx ends, the command's process group gets
// SIGTERM and, shortly after, all that is left SIGKILL.
func Run(ctx context.Context, s Spec) error {
	if len(s.Process.Args) == 0 && !s.SetupOnly {
		return errors.New("run a command: it has no words")
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	req, err := newRequest(s)
	if err != nil {
		return err
	}
	// The parent-death signal counts from the thread that forks: it must live on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	control, theirs, err := controlPair()
	if err != nil {
		return fmt.Errorf("start the command's first process: %w", err)
	}
	defer control.Close()
	defer theirs.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the command's first process: %w", err)
	}
	defer r.Close()
	defer w.Close()

	cmd := &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{initName},
		Env:        []string{}, // readable by the command through /proc
		Dir:        "/",
		Stdout:     w,
		Stderr:     w,
		ExtraFiles: []*os.File{theirs}, // controlFD
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: s.Namespaces,
			Setsid:     true,
			// Init takes SIGTERM as the end of its parent; PID 1's end ends all.
			Pdeathsig: unix.SIGTERM,
		},
	}
	if s.Namespaces&unix.CLONE_NEWPID != 0 {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	if err := cmd.Start(); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		return &SetupError{Step: "start the command's first process", Err: err}
	}
	w.Close()
	theirs.Close()

	out := newOutput(r, s.Process.Output)
	go out.copy()
	answer := make(chan response, 1)
	go func() {
		defer close(answer)
		var resp response
		if json.NewEncoder(control).Encode(req) == nil && json.NewDecoder(control).Decode(&resp) == nil {
			answer <- resp
		}
	}()

	var resp response
	var ok bool
	select {
	case resp, ok = <-answer:
	case <-ctx.Done():
		control.Write([]byte{cancelByte})
		select {
		case resp, ok = <-answer:
		case <-time.After(patience):
			cmd.Process.Kill()
			resp, ok = <-answer
		}
	}
	if !ok {
		// Init was killed: its own death signal ends the command, and where there
		// is no pid namespace that is all that can be done.
		cmd.Process.Kill()
	}
	werr := cmd.Wait()
	oerr := out.finish()

	switch {
	case ctx.Err() != nil && (!ok || resp.Status != 0 || resp.Step != ""):
		return context.Cause(ctx)
	case !ok:
		return &endedError{werr}
	case resp.Step != "":
		return resp.err()
	case len(resp.Message) > 0 && s.Process.Output != nil:
		if _, err := fmt.Fprintf(s.Process.Output, "%s\n", resp.Message); err != nil && oerr == nil {
			oerr = err
		}
	}
	if resp.Status != 0 {
		return &sandbox.ExitError{Status: resp.Status, Signal: resp.Signal, Help: resp.Help}
	}
	if oerr != nil {
		return fmt.Errorf("pass on the command's output: %w", oerr)
	}
	return nil
}

// endedError says that the process that looks after a command is gone, and with it the
// command.
type endedError struct{ err error }

func (e *endedError) Error() string {
	return fmt.Sprintf("run a command: its first process ended early (%v); was memory short?", e.err)
}

func (e *endedError) Unwrap() error { return e.err }

// ExitCode is that of a command which SIGKILL ended: the command itself sent it, or the
// kernel.
func (e *endedError) ExitCode() int { return 128 + int(unix.SIGKILL) }

// Hint says what may have been.
func (e *endedError) Hint() string {
	return "the kernel ends processes where the container's limit of memory or of processes is reached: raise it; or the command ended it itself, by kill -9 -1 or the like"
}

// output passes on what comes out of the pipe.
type output struct {
	from  *os.File
	to    io.Writer
	ended atomic.Bool // init has ended: no more is to come but what is in the pipe
	done  chan error
}

func newOutput(from *os.File, to io.Writer) *output {
	if to == nil {
		to = io.Discard
	}
	return &output{from: from, to: to, done: make(chan error, 1)}
}

func (o *output) finish() error {
	o.ended.Store(true)
	o.from.SetReadDeadline(time.Now().Add(stragglers))
	return <-o.done
}

// copy reads to the end even if writing fails: a full pipe would stop the command.
func (o *output) copy() {
	var failed error
	buf := make([]byte, chunk)
	quiet := 0
	for {
		n, err := o.from.Read(buf)
		if n > 0 {
			quiet = 0
			if failed == nil {
				_, failed = o.to.Write(buf[:n])
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && quiet == 0 && o.ended.Load():
			// A slow writer may have used up the time: ask once more what is there.
			quiet++
			o.from.SetReadDeadline(time.Now().Add(stragglers))
			continue
		case err != nil:
			o.done <- failed
			return
		case o.ended.Load():
			o.from.SetReadDeadline(time.Now().Add(stragglers))
		}
	}
}
