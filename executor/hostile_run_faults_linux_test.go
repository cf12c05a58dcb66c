package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// harmful is a command that does harm to its own build.
type harmful struct {
	name string
	run  string // the instructions after FROM
	// status is that of the build, and says what it must say; ending is that of a build
	// in place, if it is another, and inPlace what that says instead.
	status  int
	says    []string
	ending  int
	inPlace []string
	set     func(*container)
	// processes is about those that the command starts: it is tried with a namespace for
	// them as well.
	processes bool
	signals   bool // it is about signals, from which an isolated command is kept by Landlock
	group     int  // how many processes and threads there may be; 0 is any number
}

const mib = 1 << 20

var harmfuls = []harmful{
	{name: "fills the disk, and fails", run: "RUN dd if=/dev/zero of=/fill bs=64k", status: 1, says: []string{"No space left", "hint: the disk that holds the command's root is full"}, set: smallRoot},
	{name: "fills the disk, and says nothing", run: "RUN dd if=/dev/zero of=/fill bs=64k 2>/dev/null; true", status: 74, says: diskFull, set: smallRoot},
	{name: "fills the executor's disk", run: "RUN dd if=/dev/zero of=/fill bs=64k count=192", status: 74, says: diskFull, set: smallState},
	{name: "removes the shell", run: "RUN rm -f /bin/sh\nRUN true", status: 127, says: []string{"/bin/sh: no such file", "hint: a RUN of one line needs the shell /bin/sh"}},
	{name: "removes all programs", run: "RUN rm -rf /bin\nRUN true", status: 127, says: []string{"/bin/sh: no such file", "hint: a RUN of one line needs the shell /bin/sh"}},
	{name: "removes kaniko", run: "RUN rm -rf /kaniko\nRUN echo hello >/file", ending: 65, inPlace: []string{"RUN rm -rf /kaniko: the command has removed /kaniko/", "hint: in place"}},
	{name: "removes kaniko and makes it anew", run: "RUN rm -rf /kaniko; mkdir /kaniko; echo mine >/kaniko/file\nRUN echo hello >/file", ending: 65, inPlace: []string{"the command has removed /kaniko/"}},
	{name: "removes the build context", run: "RUN rm -rf /workspace || true\nCOPY file /", ending: 65, inPlace: []string{`COPY file /: source "file": no such file or directory`}},
	{name: "removes all", run: "RUN rm -rf /* || true\nCOPY file /", ending: 65, inPlace: []string{"the command has removed /kaniko/"}},
	{name: "sets the clock", run: "RUN date -s 2001-01-01", says: []string{"can't set date: Operation not permitted"}},
	{name: "kills all", signals: true, run: "RUN kill -9 -1", ending: 137, inPlace: []string{"its first process ended early (signal: killed)", "kill -9 -1"}},
	{name: "kills its parent", signals: true, run: "RUN kill -9 $PPID || exit 3; sleep 1", status: 3, says: []string{"Operation not permitted"}, ending: 137, inPlace: []string{"its first process ended early", "kill -9 -1"}},
	{name: "kills the first process", signals: true, run: "RUN kill -9 1 || true"},
	{name: "asks the executor to end", signals: true, run: "RUN kill -TERM 1 && sleep 20", status: 1, ending: 143, inPlace: []string{"stopped"}},
	{name: "leaves a daemon that writes", processes: true, run: "RUN (setsid sh -c 'setsid sh -c \"while :; do echo x >>/log; done\" &' &) </dev/null >/dev/null 2>&1; until [ -s /log ]; do :; done" + quiet},
	{name: "leaves one that ignores signals", processes: true, run: "RUN (trap '' TERM INT HUP; while :; do sleep 1; done) >/dev/null 2>&1 &" + quiet},
	{name: "leaves one that is stopped", processes: true, run: "RUN sh -c 'kill -STOP $$' & sh -c 'kill -STOP $$; sleep 1000' </dev/null >/dev/null 2>&1 &" + quiet},
	{name: "leaves one that holds its output", processes: true, run: "RUN sleep 1000 & setsid sleep 1000 & true" + quiet},
	{name: "forks without end", processes: true, group: 200, run: "RUN f() { f | f & }; f; sleep 1; true" + quiet, says: []string{"can't fork: Resource temporarily unavailable"}},
	{name: "leaves as many as there may be", processes: true, group: 200, run: "RUN (while sleep 1000 & do :; done) 2>/dev/null; exec sleep 1" + quiet},
	{name: "ends for want of processes", processes: true, group: 200, run: "RUN while sleep 1000 & do :; done", status: 2, says: []string{"can't fork: Resource temporarily unavailable", "exit status 2"}},
	{name: "writes many lines", run: "RUN yes $(head -c 60 /dev/zero | tr '\\0' x) | head -c 20000000"},
	// More than a process may need of memory, as all of these are held to.
	{name: "writes a line without end", run: `RUN head -c 500000000 /dev/zero | tr '\0' x`},
	{name: "writes long lines", run: `RUN for i in 1 2 3 4 5 6 7 8; do head -c 1000000 /dev/zero | tr '\0' x; echo; done`},
}

// quiet are commands that see whether all that ran before has ended: no other process is
// there that is not the executor's, and what was written stays so.
const quiet = `
RUN ! cat /proc/[0-9]*/comm | grep -e sleep -e ' f'
RUN touch /log; a=$(wc -c </log); sleep 0.3; test $a = $(wc -c </log)`

// diskFull is what is said of the disk by the executor, which was the one to see it.
var diskFull = []string{"no space left on device", "hint: the disk that holds /kaniko/kaniko-build-"}

// smallState is a disk of the executor's own that has room for what it needs, and not for
// a layer of 12 MiB. Isolated, the root is there too.
func smallState(c *container) {
	c.StateSize = 24 * mib
	if c.Args[0] == "--isolation=in-place" {
		c.StateSize = 8 * mib
	}
}

// smallRoot is a disk that is soon full.
func smallRoot(c *container) { c.RootSize = 40 * mib }

// TestHostileRun_faults: a command that does harm ends, by both drivers, in the image
// that it makes or in an error that says what happened; and nothing is pushed then.
func TestHostileRun_faults(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a container")
	}
	busybox, err := os.ReadFile(conformance.Busybox)
	if err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	server := registrytest.Start(t, registrytest.Config{})
	plantBase(t, server, busybox, nil)
	for n, h := range harmfuls {
		ways := []string{"in-place", "namespaces"}
		if h.processes {
			ways = append(ways, "namespaces, proc fresh")
		}
		for i, way := range ways {
			t.Run(h.name+"/"+way, func(t *testing.T) { h.check(t, server, way, fmt.Sprintf("built%d-%d", n, i)) })
		}
	}
}

func (h harmful) check(t *testing.T, server *registrytest.Server, way, repo string) {
	isolation, fresh, _ := strings.Cut(way, ", ")
	if isolation == "namespaces" {
		needNamespaces(t)
		if h.signals && landlock() < 6 {
			t.Skip("this kernel's Landlock keeps nobody from signals")
		}
	}
	work := t.TempDir()
	write(t, filepath.Join(work, "file"), "of the build context", 0o644)
	c := container{
		Root: t.TempDir(), Binds: map[string]string{"/workspace": work},
		Files: map[string]string{"/kaniko/Dockerfile": "FROM " + server.Host() + "/base\n" + h.run + "\n"},
		Args: []string{"--isolation=" + isolation, "--force", "--kaniko-dir=/kaniko", "--dockerfile=/kaniko/Dockerfile", "--context=/workspace",
			"--destination=" + server.Host() + "/" + repo + ":1", "--compression=none", "--reproducible"},
		Env: []string{"HOME=/", "PATH=/bin", "TMPDIR=/kaniko"},
	}
	c.FreshProc = fresh != ""
	if h.group > 0 {
		c.Group = processGroup(t, h.group)
	}
	if h.set != nil {
		h.set(&c)
	}
	got := c.run(t)
	status, says := h.status, h.says
	if isolation == "in-place" && h.ending != 0 {
		status, says = h.ending, h.inPlace
	}
	if got.status != status {
		t.Errorf("status %d, want %d\n%s", got.status, status, got.said)
	}
	for _, text := range says {
		if !strings.Contains(got.said, text) {
			t.Errorf("it does not say %q:\n%s", text, got.said)
		}
	}
	if strings.Contains(got.said, "goroutine ") {
		t.Errorf("it crashed:\n%s", got.said)
	}
	if tags := server.Tags(repo); (len(tags) > 0) != (got.status == 0) {
		t.Errorf("status %d, and pushed are %q", got.status, tags)
	}
}
