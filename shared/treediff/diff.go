package treediff

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// A Difference is one line of a report.
type Difference struct {
	Path string // with a leading slash; "config" or "history" for what is not in the tree
	Kind string // only-a, only-b, or the attribute that differs
	Text string // how: what A has, a bar, what B has
}

// Clock says how a modification time is shown, and so what counts as the same time. A nil Clock leaves times out.
type Clock func(time.Time) string

// Exact is the Clock that shows times to the nanosecond.
func Exact(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999999Z") }

// fields describes an entry, attribute by attribute.
func fields(e entry, g group, clock Clock) [][2]string {
	f := [][2]string{
		{"type", kindName(e.kind)},
		{"mode", fmt.Sprintf("%04o", e.mode)},
		{"owner", fmt.Sprintf("%d:%d", e.uid, e.gid)},
		{"size", strconv.FormatInt(e.size, 10)},
		{"link", strconv.Quote(e.link)},
		{"device", fmt.Sprintf("%d:%d", e.dev[0], e.dev[1])},
		{"xattrs", xattrs(e.xattrs)},
		{"content", "sha256:" + e.digest},
		{"hardlink", g.String()},
	}
	if clock != nil {
		f = append(f, [2]string{"mtime", clock(e.mtime)})
	}
	return f
}

func xattrs(m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%q", k, m[k])
	}
	return b.String()
}

// Describe is the form of an entry in one line, without its path.
func (e Entry) Describe(clock Clock) string {
	g := group{first: strings.TrimPrefix(e.First, "/"), names: e.Names}
	return describe(entry{inode: &inode{
		kind: kindOf(e.Kind), mode: e.Mode, uid: e.UID, gid: e.GID, size: e.Size, link: e.Link, dev: [2]int64{e.Major, e.Minor},
		xattrs: e.Xattrs, digest: e.Digest, text: e.Text, mtime: e.MTime,
	}}, g, clock)
}

func describe(e entry, g group, clock Clock) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %04o %d:%d", kindName(e.kind), e.mode, e.uid, e.gid)
	for _, f := range fields(e, g, clock) {
		switch {
		case f[0] == "size" && e.digest != "", f[0] == "xattrs" && f[1] != "", f[0] == "hardlink" && f[1] != "", f[0] == "mtime",
			f[0] == "content" && e.digest != "", f[0] == "link" && e.link != "", f[0] == "device" && (e.kind == '3' || e.kind == '4'):
			fmt.Fprintf(&b, " %s=%s", f[0], f[1])
		}
	}
	return b.String()
}

// Trees lists what differs between two flattened images, in path order.
func Trees(a, b *Tree, clock Clock) []Difference {
	ga, gb := a.groups(), b.groups()
	all := a.paths()
	for p := range b.entries {
		if _, ok := a.entries[p]; !ok {
			all = append(all, p)
		}
	}
	sort.Strings(all)
	var out []Difference
	for _, p := range all {
		ea, ina := a.entries[p]
		eb, inb := b.entries[p]
		switch {
		case !inb:
			out = append(out, Difference{"/" + p, "only-a", describe(ea, ga[p], clock)})
		case !ina:
			out = append(out, Difference{"/" + p, "only-b", describe(eb, gb[p], clock)})
		default:
			fa, fb := fields(ea, ga[p], clock), fields(eb, gb[p], clock)
			for i := range fa {
				if fa[i][1] != fb[i][1] {
					out = append(out, Difference{"/" + p, fa[i][0], fmt.Sprintf("%s | %s", show(fa[i][1]), show(fb[i][1]))})
				}
			}
		}
	}
	return out
}

func show(s string) string {
	if s == "" || s == `""` {
		return "(none)"
	}
	return s
}
