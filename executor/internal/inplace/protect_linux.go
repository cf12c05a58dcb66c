package inplace

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Paths that belong to the runtime wherever they exist: file systems of the
// kernel, and the files that name the network. Their edits are in no layer.
const (
	devPath        = "dev"
	procPath       = "proc"
	sysPath        = "sys"
	resolvPath     = "etc/resolv.conf"
	hostsPath      = "etc/hosts"
	hostnamePath   = "etc/hostname"
	dockerMarker   = ".dockerenv"
	podmanMarker   = "run/.containerenv"
	busyboxPath    = "busybox" // the shell of our debug image
	varRunPath     = tree.Path("var/run")
	mountsListPath = "/proc/self/mountinfo"
)

// protection knows the paths that a build must leave alone.
type protection struct {
	own    []tree.Path // for as long as the driver lives
	mounts []tree.Path // of the last refresh
	varRun bool        // /var/run is to be ignored
	// blocked are directories that must stay because of what is mounted below, while
	// a layer wants something else in their place.
	blocked []tree.Path
	all     pathSet // what commands' changes are not looked for in, and layers not put
	kept    pathSet // what is not deleted: all but what is only ignored
}

// pathSet is a set of paths with the directories that lead to them.
type pathSet struct{ in, above map[tree.Path]bool }

func newPathSet(lists ...[]tree.Path) pathSet {
	s := pathSet{in: map[tree.Path]bool{}, above: map[tree.Path]bool{}}
	for _, list := range lists {
		for _, p := range list {
			s.in[p] = true
			for p != tree.Root {
				p = p.Parent()
				s.above[p] = true
			}
		}
	}
	return s
}

func protected(dir tree.Path, o Options) (*protection, error) {
	p := &protection{varRun: !o.CaptureVarRun}
	p.own = []tree.Path{dir, devPath, procPath, sysPath, resolvPath, hostsPath, hostnamePath}
	for _, q := range []tree.Path{dockerMarker, podmanMarker, busyboxPath} {
		if _, err := os.Lstat(q.Abs()); err == nil {
			p.own = append(p.own, q)
		}
	}
	for _, k := range o.Keep {
		q := tree.Clean(k)
		if !filepath.IsAbs(k) || q == tree.Root {
			return nil, fmt.Errorf("keep %s: it must be an absolute path other than /", k)
		}
		p.own = append(p.own, q)
		// What the path leads to is kept as well as the path.
		if real, err := filepath.EvalSymlinks(q.Abs()); err == nil && tree.Clean(real) != q && tree.Clean(real) != tree.Root {
			p.own = append(p.own, tree.Clean(real))
		}
	}
	// The program itself, if it does not lie in dir: without it no command starts.
	if exe, err := os.Executable(); err == nil && filepath.IsAbs(exe) {
		var at, self unix.Stat_t
		if unix.Stat(exe, &at) == nil && unix.Stat("/proc/self/exe", &self) == nil && at.Dev == self.Dev && at.Ino == self.Ino {
			p.own = append(p.own, tree.Clean(exe))
		}
	}
	return p, p.refresh()
}

// refresh reads the mount points anew: a command may have mounted something.
func (p *protection) refresh() error {
	f, err := os.Open(mountsListPath)
	if err != nil {
		return fmt.Errorf("find mount points: %w", err)
	}
	defer f.Close()
	p.mounts = p.mounts[:0]
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /mount/point options … with \040 for a space.
		fields := strings.Fields(lines.Text())
		const mountPoint = 4
		if len(fields) <= mountPoint {
			continue
		}
		if q := tree.Clean(unescape(fields[mountPoint])); q != tree.Root {
			p.mounts = append(p.mounts, q)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("find mount points: %w", err)
	}
	p.index()
	return nil
}

func (p *protection) index() {
	p.kept = newPathSet(p.own, p.mounts)
	ignored := p.blocked
	if p.varRun && p.kept.above[varRunPath] {
		ignored = append([]tree.Path{varRunPath}, ignored...)
	}
	p.all = newPathSet(p.own, p.mounts, ignored)
}

// block protects a directory that a layer wants to be something else.
func (p *protection) block(q tree.Path) {
	p.blocked = append(p.blocked, q)
	p.index()
}

// covers reports whether q or a directory above it is protected.
func (p *protection) covers(q tree.Path) bool {
	for {
		if p.all.in[q] {
			return true
		}
		if q == tree.Root {
			return false
		}
		q = q.Parent()
	}
}

// leads reports whether something protected lies below q.
func (p *protection) leads(q tree.Path) bool { return p.all.above[q] }

// mounted reports whether q is on another mount than the root.
func (p *protection) mounted(q tree.Path) bool {
	return slices.ContainsFunc(p.mounts, func(m tree.Path) bool { return q.Within(m) })
}

// held lists what is protected, in order.
func (p *protection) held() []tree.Path {
	list := make([]tree.Path, 0, len(p.all.in))
	for q := range p.all.in {
		list = append(list, q)
	}
	slices.SortFunc(list, tree.Compare)
	return list
}

// unescape undoes the kernel's octal escapes for white space and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			var c byte
			ok := true
			for _, d := range []byte(s[i+1 : i+4]) {
				ok = ok && d >= '0' && d <= '7'
				c = c<<3 | (d - '0')
			}
			if ok {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
