package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostileMain is what a command runs that looks for what it must not have. Its arguments
// are:
//
//	probe ADDRESS MARK NEEDLE…  look for texts that begin with MARK, and for NEEDLEs, when
//	                            the gate at an address says so
//	hold ADDRESS                wait until that gate lets go
//	TRICK…              one of [tricks]
func hostileMain(args []string) int {
	switch args[0] {
	case "nothing":
		return 0
	case "probe":
		p := &prober{found: map[string]string{}, mark: unveil(args[2])}
		for _, n := range args[3:] {
			kind, text, _ := strings.Cut(n, "=")
			p.needles = append(p.needles, needle{kind, unveil(text)})
		}
		conn := dialGate(args[1], "probe")
		defer conn.Close()
		conn.Read(make([]byte, 1))
		p.all()
		for _, line := range slices.Sorted(maps.Keys(p.found)) {
			fmt.Printf("%s in %s\n", line, p.found[line])
		}
		fmt.Println("the end is reached")
		return 0
	case "hold":
		conn := dialGate(args[1], "hold")
		defer conn.Close()
		io.Copy(io.Discard, conn)
		return 0
	}
	return trick(args)
}

func dialGate(address, who string) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(conn, who)
	return conn
}

// veil makes a text one that a search for it does not find.
func veil(text []byte) string {
	out := slices.Clone(text)
	for i := range out {
		out[i] ^= 0x5a
	}
	return hex.EncodeToString(out)
}

func unveil(text string) []byte {
	out, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	for i := range out {
		out[i] ^= 0x5a
	}
	return out
}

// prober looks everywhere. What it finds is "HOW KIND", where KIND follows the mark in
// what was found, or "did WHAT".
type prober struct {
	mark    []byte
	needles []needle
	found   map[string]string // with the first place
}

type needle struct {
	kind string
	text []byte
}

func (p *prober) did(what string, err error) {
	if err == nil {
		p.found["did "+what] = "-"
	}
}

// look searches what was read in one way.
func (p *prober) look(how, place string, b []byte) {
	see := func(kind string) {
		if _, known := p.found[how+" "+kind]; !known {
			p.found[how+" "+kind] = place
		}
	}
	for rest := b; ; {
		at := bytes.Index(rest, p.mark)
		if at < 0 {
			break
		}
		rest = rest[at+len(p.mark):]
		end := 0
		for end < len(rest) && end < 20 && rest[end] >= 'a' && rest[end] <= 'z' {
			end++
		}
		see(string(rest[:end]))
	}
	for _, n := range p.needles {
		if bytes.Contains(b, n.text) {
			see(n.kind)
		}
	}
}

// read looks through what a file begins with.
func (p *prober) read(how, path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	const most = 16 << 20
	b, _ := io.ReadAll(io.LimitReader(f, most))
	p.look(how, path, b)
}

// walk looks through all files below a directory, and at their names.
func (p *prober) walk(how, dir string, skip ...string) {
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case e.IsDir() && slices.Contains(skip, path):
			return fs.SkipDir
		case e.Name() == hostileName || e.Name() == "executor" || e.Name() == "busybox":
			return nil // large, and nobody's secret
		}
		p.look(how, path, []byte(path))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			p.read(how, path)
		}
		return nil
	})
}

func (p *prober) all() {
	p.walk("file", "/", "/proc", "/sys")
	p.processes()
	p.kernel()
	p.shared()
	p.sockets()
	p.escape()
}

// processes looks at all others.
func (p *prober) processes() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var here, there unix.Stat_t
	unix.Stat("/", &here)
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() {
			continue
		}
		p.read("environ", dir+"/environ")
		p.read("cmdline", dir+"/cmdline")
		p.memory(dir)
		if unix.Stat(dir+"/root/.", &there) == nil && (there.Dev != here.Dev || there.Ino != here.Ino) {
			p.did("root", nil)
			for _, d := range []string{"kaniko", "secrets", "run", "var/run", "workspace", "cache"} {
				p.walk("root", dir+"/root/"+d)
			}
		}
		if unix.Stat(dir+"/cwd/.", &there) == nil && pid != os.Getppid() {
			p.did("cwd", nil)
		}
		fds, _ := filepath.Glob(dir + "/fd/*")
		for _, fd := range fds {
			if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() {
				p.read("fd", fd)
			}
		}
		if pid == os.Getppid() {
			continue // its first process: what is in there was seen, and this is its own
		}
		p.did("signal", unix.Kill(pid, 0))
		if err := unix.PtraceSeize(pid); err == nil {
			p.did("ptrace", nil)
			unix.PtraceDetach(pid)
		}
		if f, err := os.OpenFile(dir+"/mem", os.O_RDWR, 0); err == nil {
			f.Close()
			p.did("mem", nil)
		}
	}
}

// memory reads all of a process's.
func (p *prober) memory(dir string) {
	table, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return
	}
	mem, err := os.Open(dir + "/mem")
	if err != nil {
		return
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	for line := range strings.Lines(string(table)) {
		var from, to uint64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for ; from < to; from += uint64(len(buf)) {
			n, err := mem.ReadAt(buf[:min(uint64(len(buf)), to-from)], int64(from))
			p.look("mem", dir, buf[:n])
			if err != nil {
				break
			}
		}
	}
}

// kernel looks into what the kernel shows of itself, and of its keys.
func (p *prober) kernel() {
	if f, err := os.Open("/proc/kcore"); err == nil {
		n, _ := f.Read(make([]byte, 64))
		f.Close()
		if n > 0 {
			p.did("kcore", nil)
		}
	}
	p.read("keyring", "/proc/keys")
	for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING} {
		id, err := unix.KeyctlSearch(ring, "user", "planted", 0)
		if err != nil {
			continue
		}
		buf := make([]byte, 4096)
		if n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0); err == nil {
			p.look("keyring", "keyctl", buf[:min(n, len(buf))])
		}
	}
	status, _ := os.ReadFile("/proc/self/status")
	if m := regexp.MustCompile(`CapBnd:\s*([0-9a-f]+)`).FindSubmatch(status); m != nil {
		set, _ := strconv.ParseUint(string(m[1]), 16, 64)
		for name, bit := range map[string]int{"clock": unix.CAP_SYS_TIME, "admin": unix.CAP_SYS_ADMIN, "module": unix.CAP_SYS_MODULE, "raw": unix.CAP_SYS_RAWIO} {
			if set&(1<<bit) != 0 {
				p.did(name, nil)
			}
		}
	}
}

// shared looks into the shared memory of System V; that of POSIX is files.
func (p *prober) shared() {
	list, _ := os.ReadFile("/proc/sysvipc/shm")
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		id, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		if b, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY); err == nil {
			p.look("sysv", "shmat", b)
			unix.SysvShmDetach(b)
		}
	}
}

// sockets asks those that have no path.
func (p *prober) sockets() {
	list, _ := os.ReadFile("/proc/net/unix")
	for _, m := range regexp.MustCompile(`@\S*planted\S*`).FindAllString(string(list), -1) {
		conn, err := net.DialTimeout("unix", m, time.Second)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(time.Second))
		b, _ := io.ReadAll(conn)
		conn.Close()
		p.look("socket", m, b)
	}
}

// escape tries to get out, and what would let it. Mounts go last.
func (p *prober) escape() {
	if handle, id, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0); err == nil {
		_ = id
		if root, err := unix.Open("/", unix.O_RDONLY, 0); err == nil {
			fd, err := unix.OpenByHandleAt(root, handle, unix.O_RDONLY)
			if err == nil {
				unix.Close(fd)
			}
			p.did("handle", err)
		}
	}
	for _, pid := range []string{"1", strconv.Itoa(os.Getppid())} {
		if fd, err := unix.Open("/proc/"+pid+"/ns/mnt", unix.O_RDONLY, 0); err == nil {
			p.did("setns", unix.Setns(fd, unix.CLONE_NEWNS))
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{hostileName, "nothing"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	p.did("unshare", cmd.Run())
	const null = 1<<8 | 3
	if unix.Mknod("/node", unix.S_IFCHR|0o666, null) == nil {
		f, err := os.Open("/node")
		p.did("device", err)
		if err == nil {
			f.Close()
		}
		os.Remove("/node")
	}
	if unix.Access("/kaniko", unix.W_OK) == nil && unix.Access("/kaniko/executor", unix.F_OK) == nil {
		p.did("program", nil)
	}
	os.Mkdir("/mnt", 0o755)
	p.did("mount", unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	p.did("bind", unix.Mount("/", "/mnt", "", unix.MS_BIND|unix.MS_REC, ""))
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] != "/" && fields[4] != "/proc" {
			p.did("umount", unix.Unmount(fields[4], unix.MNT_DETACH))
		}
	}
	p.walk("uncovered", "/", "/proc", "/sys")
	for line := range p.found {
		if kind, ok := strings.CutPrefix(line, "uncovered "); ok && p.found["file "+kind] != "" {
			delete(p.found, line) // it could be seen before
		}
	}
	os.Remove("/mnt")
}

// trick does the harm that it is told to.
func trick(args []string) int { return 0 }
