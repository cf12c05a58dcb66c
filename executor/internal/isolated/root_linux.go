package isolated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// makeScaffold makes dir and in it what a root must have to be mounted on. It
// lies below all layers, so that mounting adds nothing to what a command leaves.
func makeScaffold(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return disk.WriteAll(ctx, dir, disk.WriterOptions{}, func(yield func(layer.Change, error) bool) {
		put := func(p tree.Path, n tree.Node) bool {
			n.MTime = time.Unix(0, 0)
			return yield(layer.Change{Path: p, Kind: layer.Put, Node: n, Open: func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("")), nil
			}}, nil)
		}
		for _, p := range []tree.Path{"proc", "sys", "dev", "etc"} {
			if !put(p, tree.Node{Type: tree.Dir, Mode: 0o755}) {
				return
			}
		}
		for _, p := range []tree.Path{"etc/hosts", "etc/hostname", "etc/resolv.conf"} {
			if !put(p, tree.Node{Type: tree.File, Mode: 0o644}) {
				return
			}
		}
	}, nil)
}

// capabilities are what root has in a sandbox: what container runtimes give by
// default, and so what Dockerfiles are written for. Mounting is not among them.
func capabilities() []int {
	return []int{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD,
		unix.CAP_NET_RAW, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP,
		unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
	}
}

// cgroups is where programs look for the limits that they run under.
const cgroups = "/sys/fs/cgroup"

// root is the root of a sandbox for one command. Files for /etc are in etc. An
// offline command is in a network namespace of its own.
func (g *Grant) root(at string, o reaper.Overlay, etc string, offline bool) *reaper.Root {
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	// As root of the machine a command could otherwise make and open a node for
	// any disk: in a user namespace the kernel refuses that by itself.
	o.Flags = unix.MS_NODEV
	r := &reaper.Root{At: at, Overlay: o}
	add := func(m reaper.Mount) { r.Mounts = append(r.Mounts, m) }

	if g.FreshProc {
		add(reaper.Mount{Type: "proc", Target: "/proc", Flags: plain})
	} else {
		add(reaper.Mount{Type: "bind", Source: "/proc", Target: "/proc", Flags: plain | unix.MS_REC})
	}
	// Parts of /proc that speak of, or to, the whole machine. The kernel guards
	// them only by user id 0, which a command has unless in a user namespace.
	guarded := g.Method.User
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		add(reaper.Mount{Type: "restrict", Target: p, Flags: plain | unix.MS_REC | unix.MS_RDONLY, Existing: true, Optional: guarded})
	}
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"} {
		add(reaper.Mount{Type: "bind", Source: os.DevNull, Target: p, Existing: true, Optional: guarded})
	}
	for _, p := range []string{"/proc/acpi", "/proc/scsi", "/proc/asound"} {
		add(reaper.Mount{Type: "tmpfs", Target: p, Flags: plain | unix.MS_RDONLY, Existing: true, Optional: guarded})
	}
	add(reaper.Mount{Type: "bind", Source: "/sys", Target: "/sys", Flags: plain | unix.MS_REC | unix.MS_RDONLY, Optional: true})
	if offline {
		// The machine's shows the machine's interfaces. Where a new one is refused, it
		// must do.
		add(reaper.Mount{Type: "sysfs", Target: "/sys", Flags: plain | unix.MS_RDONLY, Optional: true})
		add(reaper.Mount{Type: "bind", Source: cgroups, Target: cgroups, Flags: plain | unix.MS_REC | unix.MS_RDONLY, Existing: true, Optional: true})
	}
	if !guarded {
		add(reaper.Mount{Type: "tmpfs", Target: "/sys/firmware", Flags: plain | unix.MS_RDONLY, Existing: true})
	}

	add(reaper.Mount{Type: "tmpfs", Target: "/dev", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: []string{"mode=755,size=64m", "mode=755"}})
	for _, d := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		add(reaper.Mount{Type: "bind", Source: "/dev/" + d, Target: "/dev/" + d, Optional: d == "tty" || d == "full"})
	}
	for _, l := range []struct{ name, target string }{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
	} {
		add(reaper.Mount{Type: "symlink", Source: l.target, Target: "/dev/" + l.name})
	}
	add(reaper.Mount{Type: "devpts", Target: "/dev/pts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Optional: true,
		// Group 5 is tty nearly everywhere, but it may not be mapped.
		Data: []string{"newinstance,ptmxmode=0666,mode=0620,gid=5", "newinstance,ptmxmode=0666,mode=0620"}})
	add(reaper.Mount{Type: "tmpfs", Target: "/dev/shm", Flags: plain, Data: []string{"mode=1777"}})
	if g.Namespaces&unix.CLONE_NEWIPC != 0 {
		add(reaper.Mount{Type: "mqueue", Target: "/dev/mqueue", Flags: plain, Optional: true})
	}
	for _, f := range []string{"hosts", "hostname", "resolv.conf"} {
		add(reaper.Mount{Type: "bind", Source: filepath.Join(etc, f), Target: "/etc/" + f})
	}
	return r
}

// makeEtc writes the files that tell of the network, as the machine has them,
// for one command: its edits are its own.
func makeEtc(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("read host name: %w", err)
	}
	hosts, err := readIfThere("/etc/hosts")
	if err != nil {
		return err
	}
	resolv, err := readIfThere("/etc/resolv.conf")
	if err != nil {
		return err
	}
	for name, data := range map[string]string{
		"hostname":    unix.ByteSliceToString(uts.Nodename[:]) + "\n",
		"hosts":       withLocalhost(hosts),
		"resolv.conf": resolv,
	} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(p, 0o644); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

func readIfThere(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// withLocalhost adds the line that programs rely on, if it is missing.
func withLocalhost(hosts string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.Contains(f[1:], "localhost") {
			return hosts
		}
	}
	if hosts != "" && !strings.HasSuffix(hosts, "\n") {
		hosts += "\n"
	}
	return hosts + "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
}

// whiteouts is the form in which deletions lie in lower directories.
func (g *Grant) whiteouts() disk.Whiteouts {
	if g.UserXattr {
		return disk.User
	}
	return disk.Trusted
}

func (g *Grant) overlayPrefix() string {
	if g.UserXattr {
		return disk.UserOverlay
	}
	return disk.TrustedOverlay
}
