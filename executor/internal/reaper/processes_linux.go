package reaper

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processes finds and ends what descends from this process. It holds /proc open
// from the start: what the command does to its root cannot hide a process.
type processes struct {
	proc *os.File
	fds  *os.Root
	// before, if it is set, are those that there were when nobody but the first process of
	// all could be the parent of those whose own has gone.
	before map[int]bool
}

func openProcesses() (*processes, error) {
	r, err := os.OpenRoot("/proc")
	if err != nil {
		return nil, err
	}
	d, err := r.Open(".")
	if err != nil {
		return nil, err
	}
	return &processes{proc: d, fds: r}, nil
}

// adopt makes this process the parent of those below it whose own parent has gone.
// gVisor before 2024 has no such thing (EINVAL); there they are found as strays.
func (p *processes) adopt() error {
	if os.Getpid() == 1 {
		return nil
	}
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == unix.EINVAL {
		p.before = map[int]bool{}
		for _, pid := range p.pids() {
			p.before[pid] = true
		}
		return nil
	}
	return err
}

// strays are descendants of this process that [processes.descendants] cannot know, since
// the first process of all is their parent now. Of its own children they are told apart by
// their session: a command has one of its own, and nobody gets back into another.
func (p *processes) strays() []process {
	if p.before == nil {
		return nil
	}
	kept := map[int]bool{}
	for _, pid := range []int{1, os.Getppid()} {
		if pr, ok := p.stat(pid); ok {
			kept[pr.session] = true
		}
	}
	var out []process
	for _, pid := range p.pids() {
		pr, ok := p.stat(pid)
		if !ok || p.before[pid] || pr.parent != 1 || pr.over || kept[pr.session] {
			continue
		}
		out = append(out, pr)
		out = append(out, p.descendants(pid)...)
	}
	return out
}

// killAll ends every descendant and collects it. As reaper, this process becomes
// the parent of those whose own parent has gone, so killing its children until
// there are none reaches all of them. Those of other users it may not end without
// CAP_KILL: they have the grace to end by themselves.
func (p *processes) killAll() error {
	own := os.Getpid()
	if own == 1 {
		for {
			// All but init, in one step that no fork can slip through.
			unix.Kill(-1, unix.SIGKILL)
			if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
				return nil
			}
		}
	}
	end := time.Now().Add(grace)
	for {
		refused := false
		found := append(p.descendants(own), p.strays()...)
		for _, pr := range found {
			// The group first: a process that forks without end stays in it, and the
			// kernel lets no fork of a group pass while the group is being killed.
			if pr.group > 1 && pr.group != unix.Getpgrp() {
				unix.Kill(-pr.group, unix.SIGKILL)
			}
			if unix.Kill(pr.pid, unix.SIGKILL) == unix.EPERM && !pr.over {
				refused = true
			}
		}
		if refused && time.Now().After(end) {
			return &SetupError{Step: "end what the command left running", Err: errors.New("it is another user's, and CAP_KILL is missing"),
				Help: "give the container CAP_KILL, or let the command end what it starts"}
		}
		how := 0
		if len(found) == 0 || refused {
			// One may have become our child after the look around: look again.
			how = unix.WNOHANG
			time.Sleep(time.Millisecond)
		}
		if _, err := unix.Wait4(-1, nil, how, nil); err == unix.ECHILD {
			if len(p.strays()) == 0 {
				return nil
			}
			time.Sleep(time.Millisecond) // they are collected by another
		}
	}
}

type process struct {
	pid, parent, group, session int
	over                        bool // it has ended, and waits for its parent
}

// descendants lists what lives below a process. /proc may hide processes of
// other users (hidepid); the kernel's list of own children does not.
func (p *processes) descendants(of int) []process {
	byParent := map[int][]process{}
	seen := map[int]bool{}
	for _, pid := range p.pids() {
		if pr, ok := p.stat(pid); ok {
			byParent[pr.parent] = append(byParent[pr.parent], pr)
			seen[pid] = true
		}
	}
	for _, pid := range p.children(of) {
		if !seen[pid] {
			byParent[of] = append(byParent[of], process{pid: pid, parent: of})
		}
	}
	var out []process
	queue := []int{of}
	for len(queue) > 0 {
		next := byParent[queue[0]]
		queue = queue[1:]
		for _, pr := range next {
			out = append(out, pr)
			queue = append(queue, pr.pid)
		}
	}
	return out
}

func (p *processes) pids() []int {
	if _, err := p.proc.Seek(0, 0); err != nil {
		return nil
	}
	names, _ := p.proc.Readdirnames(-1)
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

func (p *processes) stat(pid int) (process, bool) {
	b, err := p.fds.ReadFile(strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	// "pid (name) state ppid pgrp session …", where the name may hold anything.
	at := bytes.LastIndexByte(b, ')')
	if at < 0 {
		return process{}, false
	}
	f := strings.Fields(string(b[at+1:]))
	if len(f) < 4 {
		return process{}, false
	}
	parent, err1 := strconv.Atoi(f[1])
	group, err2 := strconv.Atoi(f[2])
	session, err3 := strconv.Atoi(f[3])
	return process{pid, parent, group, session, f[0] == "Z"}, err1 == nil && err2 == nil && err3 == nil
}

func (p *processes) children(of int) []int {
	dir := strconv.Itoa(of) + "/task"
	d, err := p.fds.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	tids, _ := d.Readdirnames(-1)
	var out []int
	for _, tid := range tids {
		b, err := p.fds.ReadFile(dir + "/" + tid + "/children")
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}
