package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

var _ tree.FS = (*tree.Tree)(nil)

func file(p, content string) layer.Change {
	return layer.Change{
		Path: tree.Clean(p), Kind: layer.Put,
		Node: tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(content)), MTime: time.Unix(1e9, 0)},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

func put(p string, n tree.Node) layer.Change {
	if n.MTime.IsZero() {
		n.MTime = time.Unix(1e9, 0)
	}
	return layer.Change{Path: tree.Clean(p), Kind: layer.Put, Node: n}
}

func stream(changes ...layer.Change) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// write is the archive of changes.
func write(t *testing.T, changes layer.Changes, clamp time.Time) []byte {
	t.Helper()
	var b bytes.Buffer
	w := layer.NewWriter(&b, clamp)
	for c, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// text is what a stream says, a line a change.
func text(t *testing.T, changes layer.Changes) []string {
	t.Helper()
	var lines []string
	for c, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("%d %q %d %o %d:%d %d %q %v %q %v", c.Kind, c.Path, c.Node.Type, c.Node.Mode,
			c.Node.UID, c.Node.GID, c.Node.MTime.Unix(), c.Node.Link, c.Node.Dev, c.Hard, c.Node.Xattrs)
		if c.Open != nil {
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			s += fmt.Sprintf(" %q", b)
		}
		lines = append(lines, s)
	}
	return lines
}

func everyKind() layer.Changes {
	return stream(
		put("", tree.Node{Type: tree.Dir, Mode: 0o755}),
		put("dir", tree.Node{Type: tree.Dir, Mode: 0o1777, UID: 3, GID: 1 << 22}),
		layer.Change{Path: "dir", Kind: layer.Opaque},
		file("dir/file", "content"),
		put("dir/empty", tree.Node{Type: tree.File, Mode: 0o4755}),
		layer.Change{Path: "dir/other", Kind: layer.Put, Node: tree.Node{Type: tree.File, MTime: time.Unix(1e9, 0)}, Hard: "dir/file"},
		put("dir/"+strings.Repeat("long/", 60)+"é\nname", tree.Node{Type: tree.Symlink, Mode: 0o777, Link: strings.Repeat("x/", 100)}),
		put("caps", tree.Node{Type: tree.File, Mode: 0o755, Xattrs: tree.Xattrs{"security.capability": "\x01\x00\x00\x02\x00", "user.x": "y"}}),
		put("fifo", tree.Node{Type: tree.Fifo, Mode: 0o600}),
		put("null", tree.Node{Type: tree.CharDevice, Mode: 0o666, Dev: tree.Dev{Major: 1, Minor: 3}}),
		put("sda", tree.Node{Type: tree.BlockDevice, Mode: 0o660, Dev: tree.Dev{Major: 8}}),
		layer.Change{Path: "gone", Kind: layer.Delete},
		put("old", tree.Node{Type: tree.File, MTime: time.Unix(-5, 0)}),
	)
}

func TestReadWrite_sameChanges(t *testing.T) {
	archive := write(t, everyKind(), time.Time{})
	want := text(t, everyKind())
	got := text(t, layer.Read(bytes.NewReader(archive)))
	// A hard link's node says only that it is a file, and a reader opens empty files too.
	norm := func(lines []string) []string {
		for i := range lines {
			lines[i] = strings.TrimSuffix(lines[i], ` ""`)
		}
		return lines
	}
	if d := cmp.Diff(norm(want), norm(got)); d != "" {
		t.Errorf("written and read back (-want +got):\n%s", d)
	}
	if again := write(t, everyKind(), time.Time{}); !bytes.Equal(archive, again) {
		t.Error("the same changes gave other bytes")
	}
}

func TestWriter_clampsLaterTimesOnly(t *testing.T) {
	clamp := time.Unix(500, 0)
	archive := write(t, stream(
		put("early", tree.Node{Type: tree.File, MTime: time.Unix(499, 999)}),
		put("late", tree.Node{Type: tree.File, MTime: time.Unix(501, 0)}),
	), clamp)
	want := map[string]int64{"early": 499, "late": 500}
	tr := tar.NewReader(bytes.NewReader(archive))
	for range want {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != want[h.Name] {
			t.Errorf("%s: %d, want %d", h.Name, h.ModTime.Unix(), want[h.Name])
		}
	}
}

func TestWriter_plainFileCostsOneHeader(t *testing.T) {
	c := file("usr/bin/tool", "x")
	c.Node.MTime = time.Unix(1e9, 123456789)
	// Header, one block of content, two zero blocks.
	if n := len(write(t, stream(c), time.Time{})); n != 4*512 {
		t.Errorf("archive of one small file has %d bytes", n)
	}
}

func TestWriter_refuses(t *testing.T) {
	short := file("f", "abc")
	short.Node.Size = 4
	long := file("f", "abc")
	long.Node.Size = 2
	for name, c := range map[string]layer.Change{
		"reserved name":        file("a/.wh.b", "x"),
		"reserved directory":   file(".wh.a/b", "x"),
		"deletion of the root": {Path: tree.Root, Kind: layer.Delete},
		"file that shrank":     short,
		"file that grew":       long,
	} {
		w := layer.NewWriter(io.Discard, time.Time{})
		if err := w.Add(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := layer.NewWriter(io.Discard, time.Time{}).Add(file(".wh.x", "")); !errors.Is(err, layer.ErrReservedName) {
		t.Errorf("reserved name: %v", err)
	}
}

func TestRead_namesStayInside(t *testing.T) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Name: "/etc/passwd", Typeflag: tar.TypeReg},
		{Name: "../../etc/shadow", Typeflag: tar.TypeReg},
		{Name: "./a/./b/../c", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"},
		{Name: "a/../../.wh.x", Typeflag: tar.TypeReg},
		{Name: ".wh..wh.plnk", Typeflag: tar.TypeReg},
		{Name: "..", Typeflag: tar.TypeDir},
	} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	var got []string
	for c, err := range layer.Read(&b) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %s", c.Kind, c.Path, c.Hard))
	}
	want := []string{"1 etc/passwd ", "1 etc/shadow ", "1 a/c etc/passwd", "2 x ", "1  "}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTee_readsEachContentOnce(t *testing.T) {
	for _, consumer := range []string{"reads all", "reads a part", "reads nothing"} {
		opened := 0
		c := file("f", strings.Repeat("abc", 1000))
		open := c.Open
		c.Open = func() (io.ReadCloser, error) { opened++; return open() }
		var b bytes.Buffer
		w := layer.NewWriter(&b, time.Time{})
		for c, err := range w.Tee(stream(c, file("g", "x"))) {
			if err != nil {
				t.Fatal(err)
			}
			if consumer == "reads nothing" {
				continue
			}
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			if consumer == "reads a part" {
				r.Read(make([]byte, 1))
			} else if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
		w.Close()
		want := write(t, stream(file("f", strings.Repeat("abc", 1000)), file("g", "x")), time.Time{})
		if !bytes.Equal(b.Bytes(), want) || opened != 1 {
			t.Errorf("consumer %s: archive differs or content was opened %d times", consumer, opened)
		}
	}
}

func TestTee_contentOfAnotherLength(t *testing.T) {
	for _, size := range []int64{2, 4} {
		c := file("f", "abc")
		c.Node.Size = size
		w := layer.NewWriter(io.Discard, time.Time{})
		var failed error
		for c, err := range w.Tee(stream(c)) {
			if err != nil {
				failed = err
				break
			}
			r, _ := c.Open()
			io.Copy(io.Discard, r)
		}
		if failed == nil {
			t.Errorf("content of 3 bytes passed as %d", size)
		}
	}
}

func TestOverlay_whiteouts(t *testing.T) {
	base := stream(
		put("d", tree.Node{Type: tree.Dir, Mode: 0o700}), file("d/a", ""), file("d/b", ""),
		put("d/e", tree.Node{Type: tree.Dir}), file("d/e/f", ""), file("g", ""),
	)
	for _, c := range []struct {
		name    string
		changes []layer.Change
		want    string
	}{
		{"file", []layer.Change{{Path: "d/a", Kind: layer.Delete}}, "d d/b d/e d/e/f g"},
		{"directory", []layer.Change{{Path: "d", Kind: layer.Delete}}, "g"},
		{"put after whiteout", []layer.Change{{Path: "d", Kind: layer.Delete}, file("d/n", "")}, "d d/n g"},
		{"put before whiteout", []layer.Change{file("d/n", ""), {Path: "d", Kind: layer.Delete}}, "d d/n g"},
		{"opaque first", []layer.Change{{Path: "d", Kind: layer.Opaque}, file("d/n", "")}, "d d/n g"},
		{"opaque last", []layer.Change{file("d/e/n", ""), {Path: "d", Kind: layer.Opaque}}, "d d/e d/e/n g"},
		{"nothing there", []layer.Change{{Path: "x/y", Kind: layer.Delete}}, "d d/a d/b d/e d/e/f g"},
		{"below a file", []layer.Change{{Path: "g/y", Kind: layer.Delete}}, "d d/a d/b d/e d/e/f g"},
		{"file over directory", []layer.Change{file("d", "")}, "d g"},
		{"directory over file", []layer.Change{file("g/h", "")}, "d d/a d/b d/e d/e/f g g/h"},
		{"link", []layer.Change{{Path: "l", Kind: layer.Put, Hard: "g"}}, "d d/a d/b d/e d/e/f g l"},
	} {
		var tr tree.Tree
		if err := layer.Overlay(&tr, base); err != nil {
			t.Fatal(err)
		}
		if err := layer.Overlay(&tr, stream(c.changes...)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []string
		for e := range tr.Walk(tree.Root) {
			if e.Path != tree.Root {
				got = append(got, string(e.Path))
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	var tr tree.Tree
	if layer.Overlay(&tr, stream(layer.Change{Path: "l", Kind: layer.Put, Hard: "none"})) == nil {
		t.Error("hard link to nothing: no error")
	}
}

func encode(t *testing.T, changes layer.Changes, workers int) *layer.Blob {
	t.Helper()
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	for c, err := range changes {
		if err == nil {
			err = e.Add(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Who writes is held up while he writes, and at the end.
func TestEncoder_held(t *testing.T) {
	for _, algorithm := range []layer.Algorithm{layer.Gzip, layer.Zstd, layer.EStargz, layer.Plain} {
		c := layer.Compression{Algorithm: algorithm}
		e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: c})
		if err != nil {
			t.Fatal(err)
		}
		if e.Held() != 0 {
			t.Errorf("%s: held up before anything was written", c)
		}
		const size = 4 << 20
		content := noise(size, 1)
		err = e.Add(layer.Change{Path: "f", Kind: layer.Put, Node: tree.Node{Type: tree.File, Size: size}, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		during := e.Held()
		if _, err := e.Finish(); err != nil {
			t.Fatal(err)
		}
		if during <= 0 || e.Held() <= during {
			t.Errorf("%s: held up for %v, and %v in the end", c, during, e.Held())
		}
	}
}

func noise(n int, seed uint64) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b[:n/2])
	return string(b)
}

func TestEncoder_digestDoesNotDependOnWorkers(t *testing.T) {
	content := noise(5<<20, 1)
	one, many := encode(t, stream(file("f", content)), 1), encode(t, stream(file("f", content)), 7)
	a, _ := one.Digest()
	b, _ := many.Digest()
	if a != b || a.Hex == "" {
		t.Errorf("1 worker: %s, 7 workers: %s", a, b)
	}
}

// A compressor that is used again leaves no trace of what it did before, also of what
// was given up.
func TestEncoder_compressorsAgain(t *testing.T) {
	var again layer.Compressors
	for i, content := range []string{noise(5<<20, 1), "", noise(1<<20, 2), noise(100, 3), noise(3<<20, 1)} {
		given, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 3, Compressors: &again})
		if err != nil {
			t.Fatal(err)
		}
		if err := given.Add(file("g", noise(2<<20, 4))); err != nil {
			t.Fatal(err)
		}
		given.Abort(errors.New("given up"))
		e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1 + i, Compressors: &again})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Add(file("f", content)); err != nil {
			t.Fatal(err)
		}
		got, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		a, _ := got.Digest()
		e.Abort(nil) // closes once more
		b, _ := encode(t, stream(file("f", content)), 2).Digest()
		if a != b || a.Hex == "" {
			t.Errorf("layer %d: %s, with a compressor of its own %s", i, a, b)
		}
	}
}

func TestBlob_readWhileWritten(t *testing.T) {
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := e.Blob()
	if _, err := b.Digest(); !errors.Is(err, layer.ErrUnfinished) {
		t.Errorf("digest of an unfinished layer: %v", err)
	}
	r, err := b.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte)
	go func() {
		p, _ := io.ReadAll(r)
		read <- p
	}()
	content := noise(4<<20, 2)
	if err := e.Add(file("f", content)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Finish(); err != nil {
		t.Fatal(err)
	}
	got := <-read
	if size, err := b.Size(); err != nil || int64(len(got)) != size {
		t.Errorf("read %d bytes of %d (%v)", len(got), size, err)
	}
	if d := cmp.Diff(text(t, stream(file("f", content))), text(t, layer.Open(b))); d != "" {
		t.Error("read back differs")
	}
}

func TestBlob_abortReachesReaders(t *testing.T) {
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Blob().Compressed()
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the source failed")
	e.Abort(cause)
	if _, err := io.ReadAll(r); !errors.Is(err, cause) {
		t.Errorf("reader of an aborted layer: %v", err)
	}
	if _, err := e.Blob().Digest(); !errors.Is(err, cause) {
		t.Errorf("digest of an aborted layer: %v", err)
	}
}

func TestBlob_closeEndsAWaitingRead(t *testing.T) {
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Abort(errors.New("over"))
	r, err := e.Blob().Compressed()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		ended <- err
	}()
	r.Close()
	if err := <-ended; err == nil {
		t.Error("read of a closed layer: no error")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	w := layer.NewWriter(&b, time.Time{})
	for c := range everyKind() {
		w.Add(c)
	}
	w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		for c, err := range layer.Read(bytes.NewReader(archive)) {
			if err != nil {
				return
			}
			for _, p := range []tree.Path{c.Path, c.Hard} {
				if p != tree.Clean(string(p)) {
					t.Fatalf("path %q is not clean", p)
				}
			}
		}
	})
}
