package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/archive"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// entry is a header with its content; without a type it is a file of mode 0644.
func entry(name, content string) header {
	return header{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content: content}
}

func link(kind byte, name, to string) header {
	return header{Header: tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777}}
}

func dir(name string) header {
	return header{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o750, ModTime: time.Unix(7, 0)}}
}

type header struct {
	tar.Header
	content string
}

func pack(t testing.TB, all ...header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range all {
		if err := w.WriteHeader(&h.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, h.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, content []byte) (*archive.Files, error) {
	t.Helper()
	f, err := archive.Read(t.Context(), bytes.NewReader(content), t.TempDir())
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

// list is what a file system has, a line each, with contents.
func list(t testing.TB, fsys tree.FS) string {
	t.Helper()
	var b strings.Builder
	for e, err := range fsys.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		n := e.Node
		fmt.Fprintf(&b, "%s %d %o %d:%d @%d", e.Path.Abs(), n.Type, n.Mode, n.UID, n.GID, n.MTime.Unix())
		for _, s := range []string{n.Link, string(e.Hard)} {
			if s != "" {
				fmt.Fprintf(&b, " -> %s", s)
			}
		}
		if len(n.Xattrs) > 0 {
			fmt.Fprintf(&b, " %v", n.Xattrs)
		}
		if n.Dev != (tree.Dev{}) {
			fmt.Fprintf(&b, " %v", n.Dev)
		}
		if n.Type == tree.File {
			fmt.Fprintf(&b, " %q", content(t, fsys, e))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// content reads a file, and compares it with what its node and its digest say.
func content(t testing.TB, fsys tree.FS, e tree.Entry) string {
	t.Helper()
	r, err := fsys.Open(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || int64(len(got)) != e.Node.Size {
		t.Fatalf("%s: %d bytes, not %d: %v", e.Path, len(got), e.Node.Size, err)
	}
	if sum, ok := tree.Digest(fsys, e.Path); !ok || sum != sha256.Sum256(got) {
		t.Fatalf("%s: its digest is %x, %v", e.Path, sum, ok)
	}
	return string(got)
}

func TestRead(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	owned := entry("owned", "o")
	owned.Uid, owned.Gid, owned.Mode, owned.ModTime = 7, 8, 0o4755, time.Unix(1234, 0)
	capable := entry("capable", "")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "cap"}
	fifo := header{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o600}}
	device := header{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}}
	gnu := entry(strings.Repeat("g", 120), "gnu")
	gnu.Format = tar.FormatGNU
	for name, tc := range map[string]struct {
		in   []header
		want string
	}{
		"root": {[]header{dir("./"), entry("./a", "A")}, "/ 2 750 0:0 @7\n/a 1 644 0:0 @0 \"A\"\n"},
		"directories that are not mentioned": {[]header{entry("a/b/c", "C")},
			"/ 2 755 0:0 @0\n/a 2 755 0:0 @0\n/a/b 2 755 0:0 @0\n/a/b/c 1 644 0:0 @0 \"C\"\n"},
		"and are, afterwards": {[]header{entry("a/b", "B"), dir("a"), dir(".")}, "/ 2 750 0:0 @7\n/a 2 750 0:0 @7\n/a/b 1 644 0:0 @0 \"B\"\n"},
		"kinds": {[]header{dir("."), owned, capable, fifo, device, link(tar.TypeSymlink, "s", "../out")},
			"/ 2 750 0:0 @7\n/capable 1 644 0:0 @0 map[security.capability:cap] \"\"\n/fifo 4 600 0:0 @0\n/null 5 666 0:0 @0 {1 3}\n" +
				"/owned 1 4755 7:8 @1234 \"o\"\n/s 3 777 0:0 @0 -> ../out\n"},
		"hard links": {[]header{dir("."), entry("b", "same"), link(tar.TypeLink, "a", "./b"), link(tar.TypeLink, "b", "b")},
			"/ 2 750 0:0 @7\n/a 1 644 0:0 @0 \"same\"\n/b 1 644 0:0 @0 -> a \"same\"\n"},
		"the last one wins": {[]header{dir("."), entry("a", "1"), entry("b", "x"), entry("a", "22"), dir("b"), entry("b/c", "C")},
			"/ 2 750 0:0 @7\n/a 1 644 0:0 @0 \"22\"\n/b 2 750 0:0 @7\n/b/c 1 644 0:0 @0 \"C\"\n"},
		"a name is replaced, the other keeps the file": {[]header{dir("."), entry("a", "1"), link(tar.TypeLink, "b", "a"), entry("a", "2")},
			"/ 2 750 0:0 @7\n/a 1 644 0:0 @0 \"2\"\n/b 1 644 0:0 @0 \"1\"\n"},
		"through a link inside": {[]header{dir("."), dir("d"), dir("e"), link(tar.TypeSymlink, "e/l", "../d"), entry("e/l/f", "F"), link(tar.TypeLink, "h", "e/l/f")},
			"/ 2 750 0:0 @7\n/d 2 750 0:0 @7\n/d/f 1 644 0:0 @0 \"F\"\n/e 2 750 0:0 @7\n/e/l 3 777 0:0 @0 -> ../d\n/h 1 644 0:0 @0 -> d/f \"F\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := read(t, pack(t, tc.in...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, list(t, f)); diff != "" {
				t.Error(diff)
			}
		})
	}
	f, err := read(t, pack(t, entry(long, "L"), gnu))
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, f); !strings.Contains(got, "/"+long+" ") || !strings.Contains(got, "/"+gnu.Name+" ") {
		t.Error(got)
	}
}

// Every outcome of what is no build context is one message and one exit code.
func TestRead_refused(t *testing.T) {
	good := pack(t, dir("."), entry("f", strings.Repeat("content", 1000)))
	for name, tc := range map[string]struct {
		in   []byte
		want string
		code int
	}{
		"nothing":                  {nil, "nothing arrived", 66},
		"nothing, compressed":      {compress(t, "gzip", nil), "it ends after 0 bytes", 65},
		"no files":                 {pack(t), "there are no files in it", 66},
		"only a top":               {pack(t, dir("./")), "there are no files in it", 66},
		"no archive":               {bytes.Repeat([]byte("no archive\n"), 100), "it is none", 65},
		"a short text":             {[]byte("text"), "it is none, or breaks off at its beginning", 65},
		"compressed text":          {compress(t, "gzip", bytes.Repeat([]byte("text"), 1000)), "it is none", 65},
		"a broken header":          {append(bytes.Clone(good[:512]), bytes.Repeat([]byte("x"), 2000)...), "it is damaged", 65},
		"broken off in a file":     {good[:3000], "it breaks off", 65},
		"broken off in a header":   {good[:700], "it breaks off", 65},
		"broken off between files": {good[:512], "ends after 512 bytes without an end mark", 65},
		"gzip broken off":          {compress(t, "gzip", good)[:60], "breaks off", 65},
		"gzip, its sum cut away":   {cut(compress(t, "gzip", good), 4), "it breaks off", 65},
		"gzip with a wrong sum":    {spoil(compress(t, "gzip", good), 8), "it is damaged", 65},
		"garbage behind gzip":      {append(compress(t, "gzip", good), "garbage behind"...), "it is damaged", 65},
		"absolute":                 {pack(t, entry("f", ""), entry("/etc/passwd", "x")), `the entry "/etc/passwd": its name is absolute`, 65},
		"climbing":                 {pack(t, entry("a/../../b", "x")), `the entry "a/../../b": its name has ".."`, 65},
		"climbing, but not out":    {pack(t, entry("a/../b", "x")), `its name has ".."`, 65},
		"only dots":                {pack(t, dir("..")), `its name has ".."`, 65},
		"a file for the top":       {pack(t, entry(".", "")), "only a directory can be the top", 65},
		"a link for the top":       {pack(t, link(tar.TypeSymlink, ".", "x")), "only a directory can be the top", 65},
		"hard link out":            {pack(t, link(tar.TypeLink, "h", "../x")), `the entry "h": it is a link to "../x"`, 65},
		"absolute hard link":       {pack(t, link(tar.TypeLink, "h", "/etc/passwd")), "its name is absolute", 65},
		"hard link to nothing":     {pack(t, link(tar.TypeLink, "h", "later"), entry("later", "")), "no file before it", 65},
		"hard link to a directory": {pack(t, dir("d"), link(tar.TypeLink, "h", "d")), "no file before it", 65},
		"hard link by a link out":  {pack(t, entry("f", ""), link(tar.TypeSymlink, "l", ".."), link(tar.TypeLink, "h", "l/f")), "a link on its way leads out", 65},
		"through a link out":       {pack(t, link(tar.TypeSymlink, "l", "../.."), entry("l/f", "")), `the entry "l/f": a link on its way leads out`, 65},
		"through an absolute link": {pack(t, link(tar.TypeSymlink, "l", "/etc"), entry("l/f", "")), "leads out of the archive, to /etc", 65},
		"through a file":           {pack(t, entry("f", ""), entry("f/g", "")), "f is not a directory", 65},
		"through a circle":         {pack(t, link(tar.TypeSymlink, "l", "l"), entry("l/f", "")), "too many levels", 65},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, tc.in)
			var e *archive.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			if e.ExitCode() != tc.code || e.Hint() == "" {
				t.Errorf("%v: exit code %d, hint %q", err, e.ExitCode(), e.Hint())
			}
		})
	}
}

// A volume's label and a global header are no files; what follows the end mark is
// padding, whatever it is.
func TestRead_tolerated(t *testing.T) {
	label := entry("label", "")
	label.Typeflag = 'V'
	var b bytes.Buffer
	global := header{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}}
	b.Write(pack(t, global, entry("f", "F")))
	b.WriteString("what tar does not read either")
	f, err := read(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, f); got != "/ 2 755 0:0 @0\n/f 1 644 0:0 @0 \"F\"\n" {
		t.Error(got)
	}
	plain := pack(t, label, entry("f", "F"))
	if f, err = read(t, plain); err != nil {
		t.Fatal(err)
	}
	if got := list(t, f); strings.Contains(got, "label") {
		t.Error(got)
	}
}

func cut(b []byte, n int) []byte { return b[:len(b)-n] }

func spoil(b []byte, fromEnd int) []byte {
	b = bytes.Clone(b)
	b[len(b)-fromEnd] ^= 0xff
	return b
}

func compress(t testing.TB, how string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "bzip2":
		cmd := exec.Command("bzip2")
		cmd.Stdin, cmd.Stdout = bytes.NewReader(content), &b
		if err := cmd.Run(); err != nil {
			t.Skip("bzip2 does not run: ", err)
		}
		return b.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead_compressed(t *testing.T) {
	plain := pack(t, dir("."), entry("f", strings.Repeat("content", 100_000)))
	f, err := read(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	want := list(t, f)
	for _, how := range []string{"gzip", "zstd", "xz", "bzip2"} {
		t.Run(how, func(t *testing.T) {
			packed := compress(t, how, plain)
			f, err := read(t, packed)
			if err != nil {
				t.Fatal(err)
			}
			if list(t, f) != want {
				t.Error("it is another one")
			}
			if _, err := read(t, packed[:len(packed)/2]); err == nil {
				t.Error("half of it is taken for the whole")
			}
		})
	}
	// Parts that were compressed one by one are one archive.
	half := len(plain) / 2
	f, err = read(t, append(compress(t, "gzip", plain[:half]), compress(t, "gzip", plain[half:])...))
	if err != nil || list(t, f) != want {
		t.Error(err)
	}
}

// What is sparse takes no room, by GNU tar's marks or without.
func TestRead_sparse(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("tar is not installed")
	}
	const size = 64 << 20
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("amid"), size/2); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--sparse", "--format=gnu"}, {"--sparse", "--format=pax"}, {"--format=gnu"}} {
		packed, err := exec.Command("tar", append(flags, "-cC", dir, "sparse")...).Output()
		if err != nil {
			t.Fatal(flags, err)
		}
		to := t.TempDir()
		f, err := archive.Read(t.Context(), bytes.NewReader(packed), to)
		if err != nil {
			t.Fatal(flags, err)
		}
		got := content(t, f, tree.Entry{Path: "sparse", Node: tree.Node{Size: size}})
		if got[size/2:size/2+4] != "amid" || strings.Trim(got, "\x00") != "amid" {
			t.Errorf("%v: it is another file", flags)
		}
		used, err := exec.Command("du", "-k", to).Output()
		if err != nil {
			t.Fatal(err)
		}
		var kib int
		if _, err := fmt.Sscan(string(used), &kib); err != nil || kib > 1024 {
			t.Errorf("%v: %d KiB are used", flags, kib)
		}
		f.Close()
	}
}

// What is wrong with the source is its own error.
func TestRead_sourceFails(t *testing.T) {
	why := errors.New("out of reach")
	good := pack(t, entry("f", strings.Repeat("content", 10_000)))
	for _, content := range [][]byte{nil, good[:100], good[:20_000], good[:len(good)-1024], compress(t, "gzip", good)[:100], good} {
		_, err := archive.Read(t.Context(), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(why)), t.TempDir())
		if !errors.Is(err, why) {
			t.Errorf("after %d bytes: %v", len(content), err)
		}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(why)
	if _, err := archive.Read(ctx, bytes.NewReader(good), t.TempDir()); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	capable := entry("d/capable", "x")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "b"}
	to := t.TempDir()
	f, err := archive.Read(t.Context(), bytes.NewReader(pack(t, dir("."), entry("b", "B"), link(tar.TypeLink, "a", "b"), capable, link(tar.TypeSymlink, "s", "a"))), to)
	if err != nil {
		t.Fatal(err)
	}
	want := list(t, f)
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, err = archive.Load(to); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if diff := cmp.Diff(want, list(t, f)); diff != "" {
		t.Error(diff)
	}
}

// FuzzRead: whatever the bytes are, it ends in files that can be read as they are
// described, or in one error; and what was kept is what is loaded.
func FuzzRead(f *testing.F) {
	good := pack(f, dir("."), entry("a/b", "content"), link(tar.TypeLink, "h", "a/b"), link(tar.TypeSymlink, "s", "a"), entry("s/c", "through"))
	f.Add(good)
	f.Add(compress(f, "gzip", good))
	f.Add(compress(f, "zstd", good))
	f.Add(pack(f, entry("../x", ""), link(tar.TypeLink, "h", "/x")))
	f.Add(good[:700])
	f.Fuzz(func(t *testing.T, in []byte) {
		to := t.TempDir()
		files, err := archive.Read(t.Context(), bytes.NewReader(in), to)
		if err != nil {
			if coder, ok := err.(interface{ ExitCode() int }); !ok || coder.ExitCode() == 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		defer files.Close()
		for e, err := range files.Walk(tree.Root) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Path != tree.Clean(string(e.Path)) || e.Path.Within("..") {
				t.Fatalf("the path %q", e.Path)
			}
			if e.Node.Size > 1<<20 {
				return // holes, mostly
			}
		}
		want := list(t, files)
		if err := files.Save(); err != nil {
			t.Fatal(err)
		}
		loaded, err := archive.Load(to)
		if err != nil {
			t.Fatal(err)
		}
		defer loaded.Close()
		if diff := cmp.Diff(want, list(t, loaded)); diff != "" {
			t.Fatal(diff)
		}
	})
}
