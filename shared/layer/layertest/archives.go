// Package layertest makes archives and images that mean harm, and a place beside which a
// program can be seen to do none.
package layertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// An Archive is one or more tar archives, which as layers lie one above the other.
type Archive struct {
	Name   string
	Layers [][]byte // not compressed
	// Refused says that no program may make an image or files of it.
	Refused bool
	// Added says that ADD makes something right of it all the same: it takes what is no
	// archive for a file, and leaves out what would take its destination's place.
	Added bool
}

// entries is an archive in the making. What package tar will not write is written as it is.
type entries struct {
	t testing.TB
	b bytes.Buffer
	w *tar.Writer
}

func newEntries(t testing.TB) *entries {
	e := &entries{t: t}
	e.w = tar.NewWriter(&e.b)
	return e
}

func (e *entries) add(h tar.Header, content string) *entries {
	e.t.Helper()
	h.Size, h.ModTime = int64(len(content)), time.Unix(1_000_000_000, 0)
	if h.Mode == 0 {
		h.Mode = 0o755
	}
	err := e.w.WriteHeader(&h)
	if err == nil {
		_, err = e.w.Write([]byte(content))
	}
	if err != nil {
		e.t.Fatalf("%.80q: %v", h.Name, err)
	}
	return e
}

func (e *entries) file(name, content string) *entries {
	return e.add(tar.Header{Name: name, Typeflag: tar.TypeReg}, content)
}

func (e *entries) dir(name string) *entries {
	return e.add(tar.Header{Name: name, Typeflag: tar.TypeDir}, "")
}

func (e *entries) symlink(name, to string) *entries {
	return e.add(tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, "")
}

func (e *entries) hard(name, to string) *entries {
	return e.add(tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}, "")
}

// raw is an entry whose header, of the old form, is changed before its sum is taken.
func (e *entries) raw(name string, typeflag byte, content string, change func(block []byte)) *entries {
	e.t.Helper()
	if err := e.w.Flush(); err != nil {
		e.t.Fatal(err)
	}
	block := make([]byte, 512)
	copy(block[:100], name)
	copy(block[100:], "0000755\x000000000\x000000000\x00")
	copy(block[124:], fmt.Sprintf("%011o\x00", len(content)))
	copy(block[136:], "07346545000\x00")
	block[156] = typeflag
	copy(block[257:], "ustar  \x00") // GNU's
	if change != nil {
		change(block)
	}
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	e.b.Write(block)
	e.b.WriteString(content)
	e.b.Write(make([]byte, (512-len(content)%512)%512))
	return e
}

func (e *entries) end() []byte {
	e.t.Helper()
	if err := e.w.Close(); err != nil {
		e.t.Fatal(err)
	}
	return e.b.Bytes()
}

// size puts a number into a header as GNU tar does what is too large for octal digits.
func size(at int, n uint64, negative bool) func([]byte) {
	return func(block []byte) {
		field := block[at : at+12]
		clear(field)
		field[0] = 0x80
		if negative {
			for i := range field {
				field[i] = 0xff
			}
		}
		for i := range 8 {
			field[11-i] = byte(n >> (8 * i))
		}
	}
}

// Archives are archives that mean harm. The absolute path outside is where they try to
// get to; it has a file called kept. Each is small, whatever it says that it is.
func Archives(t testing.TB, outside string) []Archive {
	t.Helper()
	up := strings.Repeat("../", 24)
	at := func() *entries { return newEntries(t).dir("probe/") }
	one := func(e *entries) [][]byte { return [][]byte{e.end()} }
	pax := func(records map[string]string) tar.Header {
		return tar.Header{Name: "probe/x", Typeflag: tar.TypeReg, PAXRecords: records, Format: tar.FormatPAX}
	}
	attributes := map[string]string{}
	for n := range 9 {
		attributes[fmt.Sprintf("SCHILY.xattr.user.a%d", n)] = strings.Repeat("x", 60<<10)
	}
	whole := at().file("probe/x", "1").end()
	return []Archive{
		// Names.
		{Name: "names with dots", Layers: one(at().file(up+"probe/x", "1").file("probe/../../probe/y", "2"))},
		{Name: "an absolute name", Layers: one(at().file(outside+"/kept", "changed").file(outside+"/new", "1"))},
		{Name: "a name of dots only", Layers: one(at().dir("..").dir("probe/../..").dir("/"))},
		{Name: "a file in place of the root", Layers: one(at().file("..", "1")), Refused: true, Added: true},
		{Name: "a name of 300 bytes", Layers: one(at().file("probe/"+strings.Repeat("x", 300), "1")), Refused: true},
		{Name: "a path of 100 kB", Layers: one(at().file("probe/"+strings.Repeat("x/", 50_000)+"x", "1")), Refused: true},
		{Name: "a link of 100 kB", Layers: one(at().symlink("probe/x", strings.Repeat("x/", 50_000))), Refused: true},
		// Links.
		{Name: "a link out, and a file through it", Layers: one(at().symlink("probe/a", outside).file("probe/a/kept", "changed").file("probe/a/new", "1"))},
		{Name: "a link up, and a file through it", Layers: one(at().symlink("probe/a", up+outside).file("probe/a/kept", "changed"))},
		{Name: "a link out below, and a file through it above", Layers: [][]byte{at().symlink("probe/a", outside).end(), at().file("probe/a/kept", "changed").end()}},
		{Name: "a link out in place of a parent", Layers: one(at().dir("probe/a/").file("probe/a/x", "1").symlink("probe/a", outside).file("probe/a/kept", "changed"))},
		{Name: "a link out, and a directory in its place", Layers: [][]byte{at().symlink("probe/a", outside).end(), at().dir("probe/a/").file("probe/a/kept", "changed").end()}},
		{Name: "a link out, and one below it", Layers: one(at().symlink("probe/a", outside).symlink("probe/a/b", "x").file("probe/a/b/kept", "changed"))},
		{Name: "a link to a link out", Layers: one(at().symlink("probe/b", outside).symlink("probe/a", "b").file("probe/a/kept", "changed"))},
		{Name: "a hard link out", Layers: one(at().hard("probe/a", outside+"/kept")), Refused: true},
		{Name: "a hard link up", Layers: one(at().hard("probe/a", up+outside+"/kept")), Refused: true},
		{Name: "a hard link through a link out", Layers: one(at().symlink("probe/a", outside).hard("probe/b", "probe/a/kept")), Refused: true},
		{Name: "a hard link to a link out, and a file in its place", Layers: one(at().symlink("probe/a", outside+"/kept").hard("probe/b", "probe/a").file("probe/b", "changed"))},
		{Name: "a hard link to itself", Layers: one(at().hard("probe/a", "probe/a")), Refused: true},
		{Name: "a hard link to the directory that it is in", Layers: one(at().hard("probe/a", "probe")), Refused: true},
		{Name: "a hard link to nothing", Layers: one(at().add(tar.Header{Name: "probe/a", Typeflag: tar.TypeLink, Linkname: "/"}, "")), Refused: true},
		{Name: "links in a circle", Layers: one(at().symlink("probe/a", "b").symlink("probe/b", "a").file("probe/c", "1"))},
		// Marks of what is deleted.
		{Name: "marks of the directory and the one above", Layers: [][]byte{at().file("probe/x", "1").end(), at().file("probe/.wh..", "").file("probe/.wh...", "").file(".wh..", "").file(".wh...", "").end()}},
		{Name: "a mark of nothing", Layers: [][]byte{at().file("probe/x", "1").end(), at().file("probe/.wh.", "").file(".wh.", "").end()}},
		{Name: "a mark of a mark", Layers: [][]byte{at().file("probe/x", "1").end(), at().file("probe/.wh..wh.x", "").file("probe/.wh..wh..wh..opq", "").file("probe/.wh..wh.plnk", "").end()}},
		{Name: "a mark with dots in its way", Layers: [][]byte{at().file("probe/x", "1").end(), at().file("probe/"+up+outside+"/.wh.kept", "").end()}},
		{Name: "a mark through a link out", Layers: [][]byte{at().symlink("probe/a", outside).end(), at().file("probe/a/.wh.kept", "").end()}},
		{Name: "opaque on a link out", Layers: [][]byte{at().symlink("probe/a", outside).end(), at().file("probe/a/.wh..wh..opq", "").end()}},
		{Name: "opaque on a link out of the same layer", Layers: one(at().symlink("probe/a", outside).file("probe/a/.wh..wh..opq", ""))},
		{Name: "a mark of what the same layer has", Layers: one(at().file("probe/.wh.x", "").file("probe/x", "1").file("probe/y", "2").file("probe/.wh.y", ""))},
		{Name: "a mark that is a directory", Layers: [][]byte{at().file("probe/x", "1").end(), at().dir("probe/.wh.x/").end()}},
		// Kinds.
		{Name: "device nodes", Layers: one(at().add(tar.Header{Name: "probe/mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1, Mode: 0o666}, "").
			add(tar.Header{Name: "probe/disk", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666}, "").add(tar.Header{Name: "probe/hole", Typeflag: tar.TypeChar}, ""))},
		{Name: "a file, written to as a device", Layers: one(at().add(tar.Header{Name: "probe/a", Typeflag: tar.TypeFifo}, "").file("probe/a", "1"))},
		{Name: "an unknown kind", Layers: one(at().raw("probe/x", 'Z', "", nil)), Refused: true},
		{Name: "entries twice", Layers: one(at().file("probe/x", "1").dir("probe/x/").file("probe/x/y", "2").file("probe/x", "3").hard("probe/z", "probe/x").file("probe/x", "4"))},
		{Name: "a child of a file", Layers: one(at().file("probe/x", "1").file("probe/x/y", "2"))},
		// Sizes.
		{Name: "a file of holes of 8 EiB", Layers: one(at().raw("probe/x", tar.TypeGNUSparse, "", size(483, 1<<63-1, false))), Refused: true},
		{Name: "holes of more than 1 TiB in all", Layers: one(at().raw("probe/x", tar.TypeGNUSparse, "", size(483, 1<<20, false)).raw("probe/y", tar.TypeGNUSparse, "", size(483, 1<<40, false))), Refused: true},
		{Name: "a negative size", Layers: one(at().raw("probe/x", tar.TypeReg, "", size(124, 1<<63, true))), Refused: true, Added: true},
		{Name: "a size that overflows", Layers: one(at().raw("probe/x", tar.TypeReg, "", size(124, 1<<63-1, false))), Refused: true},
		{Name: "a size of more than there is", Layers: one(at().raw("probe/x", tar.TypeReg, "1", func(b []byte) { copy(b[124:], "00077777777\x00") })), Refused: true},
		{Name: "a cut archive", Layers: [][]byte{whole[:1024]}, Refused: true},
		{Name: "a header of another sum", Layers: [][]byte{append(whole[:512:512], bytes.Repeat([]byte("x"), 1024)...)}, Refused: true},
		{Name: "attributes without end", Layers: one(at().add(pax(attributes), "")), Refused: true},
		{Name: "an attribute of 512 kB", Layers: one(at().add(pax(map[string]string{"SCHILY.xattr.user.a": strings.Repeat("x", 512<<10)}), "")), Refused: true},
		{Name: "a header of 2 MiB", Layers: one(at().raw("././@PaxHeader", tar.TypeXHeader, paxRecord("comment", strings.Repeat("x", 2<<20)), nil).file("probe/x", "1")), Refused: true},
		{Name: "a header that says nothing", Layers: one(at().raw("././@PaxHeader", tar.TypeXHeader, "999999999999 path=x\n", nil).file("probe/x", "1")), Refused: true},
		{Name: "no archive", Layers: [][]byte{bytes.Repeat([]byte("no archive"), 200)}, Refused: true, Added: true},
	}
}

func paxRecord(key, value string) string {
	for n := len(key) + len(value) + 3; ; n++ {
		if s := fmt.Sprintf("%d %s=%s\n", n, key, value); len(s) <= n {
			return s
		}
	}
}
