package compare

import (
	"archive/tar"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// attributes are what can differ between two entries of one path, as text.
type attributes struct {
	kind         string
	mode         string
	uid, gid     string
	uname, gname string
	mtime        string
	link, device string
	digest       string // of a file
	size         int64
	hard         string // of a hard link: its target
	xattrs       map[string]string
	pax          map[string]string // records that no other attribute has
	form         []string          // how the header is written
}

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	globalName     = "(global header)"
)

func kindOf(flag byte) string {
	switch flag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse:
		return "file"
	case tar.TypeLink:
		return "hard link"
	case tar.TypeSymlink:
		return "symlink"
	case tar.TypeDir:
		return "directory"
	case tar.TypeChar:
		return "character device"
	case tar.TypeBlock:
		return "block device"
	case tar.TypeFifo:
		return "fifo"
	}
	return fmt.Sprintf("type %q", flag)
}

// describe reads the attributes of an archive's entry.
func describe(m treediff.Member) attributes {
	h := m.Header
	if h.Typeflag == tar.TypeXGlobalHeader {
		return attributes{kind: "global header", pax: h.PAXRecords}
	}
	a := attributes{
		kind: kindOf(h.Typeflag), mode: mode(h.Mode), uid: strconv.Itoa(h.Uid), gid: strconv.Itoa(h.Gid), uname: h.Uname, gname: h.Gname,
		mtime: treediff.Exact(h.ModTime), digest: m.Digest, size: m.Size, xattrs: m.Xattrs(), pax: map[string]string{},
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		a.link, a.mode = h.Linkname, "" // it means nothing on Linux
	case tar.TypeLink:
		a.hard = absolute(h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		a.device = fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor)
	}
	a.written(h)
	return a
}

func mode(m int64) string { return fmt.Sprintf("%04o", m&0o7777) }

// written notes how a header is written, and the records that are nothing else's.
func (a *attributes) written(h *tar.Header) {
	var standard []string
	for key, value := range h.PAXRecords {
		switch key {
		case "path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime":
			standard = append(standard, key)
		default:
			if !strings.HasPrefix(key, "SCHILY.xattr.") {
				a.pax[key] = value
			}
		}
	}
	slices.Sort(standard)
	a.form = []string{"format " + h.Format.String(), "records " + strings.Join(standard, ","), fmt.Sprintf("mode %o", h.Mode)}
	if a.kind == "file" {
		a.form = append(a.form, fmt.Sprintf("type %q", h.Typeflag))
	}
	if a.kind != "character device" && a.kind != "block device" {
		a.form = append(a.form, fmt.Sprintf("device %d:%d", h.Devmajor, h.Devminor))
	}
}

// ofEntry reads the attributes of a path of a tree.
func ofEntry(e treediff.Entry) attributes {
	a := attributes{
		kind: e.Kind, mode: mode(e.Mode), uid: strconv.Itoa(e.UID), gid: strconv.Itoa(e.GID), uname: e.Uname, gname: e.Gname,
		mtime: treediff.Exact(e.MTime), link: e.Link, digest: e.Digest, size: e.Size, xattrs: e.Xattrs,
	}
	if e.Kind == "char" || e.Kind == "block" {
		a.device = fmt.Sprintf("%d:%d", e.Major, e.Minor)
	}
	if e.First != e.Path {
		a.hard = e.First
	}
	return a
}

// content is a file's content in a few words.
func (a attributes) content() string { return fmt.Sprintf("sha256:%s, %d bytes", a.digest, a.size) }

// String says what an entry is.
func (a attributes) String() string {
	parts := []string{a.kind}
	if a.mode != "" {
		parts = append(parts, a.mode)
	}
	if a.uid != "" {
		parts = append(parts, a.uid+":"+a.gid)
	}
	for _, more := range []string{a.link, a.hard, a.device} {
		if more != "" {
			parts = append(parts, "→ "+more)
		}
	}
	if a.digest != "" {
		parts = append(parts, a.content())
	}
	return strings.Join(parts, " ")
}

// differ lists what differs between two entries of one path. A target is what a hard
// link of its side stands for.
func differ(p string, a, b attributes, targetA, targetB func(string) (attributes, bool)) []Difference {
	var out []Difference
	add := func(field, x, y string) {
		if x != y {
			out = append(out, Difference{Level: Files, Path: p, Field: field, A: orNone(x), B: orNone(y)})
		}
	}
	kindA, kindB := a.kind, b.kind
	if hardA, hardB := kindA == "hard link", kindB == "hard link"; hardA != hardB {
		// Another name for a file and a file of its own are both files.
		a, b = resolved(a, targetA), resolved(b, targetB)
	}
	add("type", a.kind, b.kind)
	if a.kind == b.kind {
		add("mode", a.mode, b.mode)
		add("link", a.link, b.link)
		add("device", a.device, b.device)
		add("hardlink", a.hard, b.hard)
		if a.digest != b.digest {
			add("content", a.content(), b.content())
		}
	}
	add("uid", a.uid, b.uid)
	add("gid", a.gid, b.gid)
	add("uname", a.uname, b.uname)
	add("gname", a.gname, b.gname)
	add("mtime", a.mtime, b.mtime)
	for _, name := range keys(a.xattrs, b.xattrs) {
		add("xattr."+name, quoted(a.xattrs, name), quoted(b.xattrs, name))
	}
	for _, name := range keys(a.pax, b.pax) {
		add("pax."+name, quoted(a.pax, name), quoted(b.pax, name))
	}
	return out
}

// resolved is a hard link as the file that it is a name of.
func resolved(a attributes, target func(string) (attributes, bool)) attributes {
	if a.kind != "hard link" {
		return a
	}
	if of, ok := target(a.hard); ok {
		a.kind, a.digest, a.size = of.kind, of.digest, of.size
	}
	return a
}

func quoted(m map[string]string, key string) string {
	if v, ok := m[key]; ok {
		return strconv.Quote(v)
	}
	return ""
}

func absolute(name string) string { return path.Clean("/" + name) }

// list is the entries of a layer by path.
type list struct {
	all   []treediff.Member
	paths map[string][]int
}

func listOf(all []treediff.Member) list {
	l := list{all, make(map[string][]int, len(all))}
	for i, m := range all {
		p := absolute(m.Header.Name)
		if m.Header.Typeflag == tar.TypeXGlobalHeader {
			p = globalName
		}
		l.paths[p] = append(l.paths[p], i)
	}
	return l
}

func (l list) target(p string) (attributes, bool) {
	at := l.paths[p]
	if len(at) == 0 {
		return attributes{}, false
	}
	a := describe(l.all[at[len(at)-1]])
	if a.kind == "hard link" && a.hard != p {
		return attributes{}, false
	}
	return a, true
}

// members lists what differs between the entries of two layers, in path order; with
// form also in which order they are and how they are written, once for the layer.
func members(a, b []treediff.Member, form bool) []Difference {
	x, y := listOf(a), listOf(b)
	var out []Difference
	w := writing{x: x, y: y}
	for _, p := range keys(x.paths, y.paths) {
		atA, atB := x.paths[p], y.paths[p]
		switch {
		case len(atA) == 0:
			out = append(out, appeared(p, "added", b[atB[len(atB)-1]]))
			continue
		case len(atB) == 0:
			out = append(out, appeared(p, "removed", a[atA[len(atA)-1]]))
			continue
		case len(atA) != len(atB):
			out = append(out, Difference{Level: Files, Path: p, Field: "duplicate", A: times(len(atA)), B: times(len(atB))})
			atA, atB = atA[len(atA)-1:], atB[len(atB)-1:]
		}
		for i := range atA {
			m, n := describe(a[atA[i]]), describe(b[atB[i]])
			found := differ(p, m, n, x.target, y.target)
			out = append(out, found...)
			if len(found) == 0 {
				w.compare(p, a[atA[i]].Header, b[atB[i]].Header, m, n)
			}
		}
	}
	if form {
		out = append(out, w.differences()...)
	}
	return out
}

func times(n int) string {
	if n == 1 {
		return "one entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// appeared reports an entry that only one side has.
func appeared(p, field string, m treediff.Member) Difference {
	what := describe(m).String()
	added := field == "added"
	switch name := path.Base(p); {
	case name == opaqueName:
		p, field, what = path.Dir(p), "opaque", "hides all that lower layers have in it"
	case strings.HasPrefix(name, whiteoutPrefix):
		p, field, what = path.Join(path.Dir(p), strings.TrimPrefix(name, whiteoutPrefix)), "whiteout", "deleted"
	}
	return sided(Difference{Level: Files, Path: p, Field: field}, added, what)
}

func sided(d Difference, added bool, what string) Difference {
	d.A, d.B = what, none
	if added {
		d.A, d.B = none, what
	}
	return d
}

// writing compares how two archives are written, where their entries are the same.
type writing struct {
	x, y  list
	names count
	forms count
}

// count is how often something was seen, and where first.
type count struct {
	n     int
	first string
	a, b  string
}

func (c *count) see(p, a, b string) {
	if c.n == 0 {
		c.first, c.a, c.b = p, a, b
	}
	c.n++
}

func (w *writing) compare(p string, a, b *tar.Header, x, y attributes) {
	if a.Name != b.Name {
		w.names.see(p, a.Name, b.Name)
	}
	if !slices.Equal(x.form, y.form) {
		m, n := onlyIn(x.form, y.form)
		w.forms.see(p, m, n)
	}
}

// onlyIn are the elements of two lists, of one length, that are not the same.
func onlyIn(x, y []string) (string, string) {
	var m, n []string
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			m, n = append(m, x[i]), append(n, y[i])
		}
	}
	return strings.Join(m, ", "), strings.Join(n, ", ")
}

func (w *writing) differences() []Difference {
	var out []Difference
	for _, f := range []struct {
		field string
		count
	}{{"name", w.names}, {"format", w.forms}, {"order", w.order()}} {
		if f.n == 0 {
			continue
		}
		d := Difference{Level: Files, Path: f.first, Field: f.field, A: f.a, B: f.b}
		if f.n > 1 {
			d.B += fmt.Sprintf(" (and of %d more)", f.n-1)
		}
		out = append(out, d)
	}
	return out
}

// order finds the first entry that stands elsewhere, among those that both archives
// have as often.
func (w *writing) order() count {
	a, b := w.x.common(w.y), w.y.common(w.x)
	var c count
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			c.see(a[i], fmt.Sprintf("entry %d is %s", i+1, a[i]), fmt.Sprintf("entry %d is %s", i+1, b[i]))
			break
		}
	}
	return c
}

// common are the paths of the entries, in order, that another archive has as often.
func (l list) common(other list) []string {
	names := make([]string, len(l.all))
	for p, at := range l.paths {
		if len(at) == len(other.paths[p]) {
			for _, i := range at {
				names[i] = p
			}
		}
	}
	return slices.DeleteFunc(names, func(p string) bool { return p == "" })
}

// files compares the entries of two layers.
func (p *pairing) files(ctx context.Context, l *LayerPair, a, b *blob) error {
	ctx, done := p.entered(ctx, Files, p.platform)
	defer done()
	x, y, err := p.read(ctx, a, b)
	if err != nil {
		return err
	}
	l.Read = readArchive
	if x.index != nil {
		l.Read = readIndex
	}
	found := members(x.entries, y.entries, true)
	if len(found) == 0 {
		d := Difference{Level: Files, Field: "archive", A: orNone(a.archive()), B: b.archive() + ", with the same entries"}
		if x.index != nil {
			d.B += " as far as their indexes tell"
		}
		found = append(found, d)
	}
	if p.Level >= Content {
		if err := p.texts(ctx, found, side{a, x}, side{b, y}); err != nil {
			return err
		}
	}
	for _, d := range found {
		p.at(a, b, d)
	}
	return nil
}
