package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"reflect"
	"sort"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Difference is one line of the report.
type Difference struct {
	Path string // with a leading slash; "config" for the image's configuration
	Kind string // only-a, only-b, or the attribute that differs
	Text string
}

// fields describes an entry, attribute by attribute.
func fields(e entry, group string, mtime bool) [][2]string {
	f := [][2]string{
		{"type", kindName(e.kind)},
		{"mode", fmt.Sprintf("%04o", e.mode)},
		{"owner", fmt.Sprintf("%d:%d", e.uid, e.gid)},
		{"size", strconv.FormatInt(e.size, 10)},
		{"link", strconv.Quote(e.link)},
		{"device", fmt.Sprintf("%d:%d", e.dev[0], e.dev[1])},
		{"xattrs", xattrs(e.xattrs)},
		{"content", "sha256:" + e.digest},
		{"hardlink", group},
	}
	if mtime {
		f = append(f, [2]string{"mtime", e.mtime.UTC().Format("2006-01-02T15:04:05.999999999Z")})
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

// describe is the one-line form of an entry, what `treediff show` prints.
func describe(e entry, group string, mtime bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %04o %d:%d", kindName(e.kind), e.mode, e.uid, e.gid)
	for _, f := range fields(e, group, mtime) {
		switch {
		case f[0] == "size" && e.digest != "", f[0] == "xattrs" && f[1] != "", f[0] == "hardlink" && f[1] != "", f[0] == "mtime",
			f[0] == "content" && e.digest != "", f[0] == "link" && e.link != "", f[0] == "device" && (e.kind == '3' || e.kind == '4'):
			fmt.Fprintf(&b, " %s=%s", f[0], f[1])
		}
	}
	return b.String()
}

// Trees lists what differs between two flattened images, in path order.
func Trees(a, b *Tree, mtime bool) []Difference {
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
			out = append(out, Difference{"/" + p, "only-a", describe(ea, ga[p], mtime)})
		case !ina:
			out = append(out, Difference{"/" + p, "only-b", describe(eb, gb[p], mtime)})
		default:
			fa, fb := fields(ea, ga[p], mtime), fields(eb, gb[p], mtime)
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

// Configs lists what differs between two image configurations, dates, history and root file system aside.
func Configs(a, b *v1.ConfigFile) []Difference {
	var out []Difference
	add := func(name string, x, y any) {
		if unset(x) && unset(y) || reflect.DeepEqual(x, y) {
			return
		}
		out = append(out, Difference{"config", name, fmt.Sprintf("%v | %v", x, y)})
	}
	add("architecture", a.Architecture, b.Architecture)
	add("os", a.OS, b.OS)
	add("variant", a.Variant, b.Variant)
	va, vb := reflect.ValueOf(a.Config), reflect.ValueOf(b.Config)
	for i := range va.NumField() {
		x, y := va.Field(i), vb.Field(i)
		if x.Kind() == reflect.Pointer && !x.IsNil() && !y.IsNil() {
			x, y = x.Elem(), y.Elem()
		}
		add(va.Type().Field(i).Name, x.Interface(), y.Interface())
	}
	return out
}

func unset(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	case reflect.Pointer:
		return r.IsNil()
	}
	return r.IsZero()
}

// An explanation says why a difference is expected. Lines of an explanation file: GLOB KIND REASON…; a glob ending in /** covers
// everything below, KIND may be * or a comma-separated list.
type explanation struct{ glob, kind, reason string }

func readExplanations(file string) ([]explanation, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []explanation
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		w := strings.Fields(line)
		if len(w) < 3 {
			return nil, fmt.Errorf("%s:%d: want GLOB KIND REASON", file, n)
		}
		out = append(out, explanation{w[0], w[1], strings.Join(w[2:], " ")})
	}
	return out, s.Err()
}

func (x explanation) covers(d Difference) bool {
	if x.kind != "*" && !contains(strings.Split(x.kind, ","), d.Kind) {
		return false
	}
	if dir, ok := strings.CutSuffix(x.glob, "/**"); ok {
		return strings.HasPrefix(d.Path, dir+"/")
	}
	ok, _ := path.Match(x.glob, d.Path)
	return ok
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
