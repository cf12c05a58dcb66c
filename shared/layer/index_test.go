package layer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// indexOf is the index of changes of which nobody reads a content.
func indexOf(t testing.TB, changes layer.Changes) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := layer.NewIndexWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range w.Tee(changes) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func collect(changes layer.Changes) (all []layer.Change, err error) {
	for c, err := range changes {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// strange is what must come back although it is rare.
func strange() layer.Changes {
	return stream(
		put("a\nb\xff \"x\" \\", tree.Node{Type: tree.File, Size: 1 << 40, UID: -1, GID: 1 << 31, Mode: 0o7777}),
		put("\u2028\ufffd", tree.Node{Type: tree.Symlink, Link: "../\x00\xfe\n"}),
		put("x", tree.Node{Type: tree.File, Xattrs: tree.Xattrs{"user.\xff": "\x00\xff\n", "": "", "b": "\x80"}}),
		put("past", tree.Node{Type: tree.Dir, MTime: time.Unix(-1<<40, 0)}),
		put("future", tree.Node{Type: tree.Dir, MTime: time.Unix(1<<40, 0)}),
		put("dev", tree.Node{Type: tree.BlockDevice, Dev: tree.Dev{Major: 1<<32 - 1, Minor: 1<<32 - 1}}),
		layer.Change{Path: "never", Kind: layer.Put, Node: tree.Node{Type: tree.Fifo}},
		layer.Change{Path: "hard", Kind: layer.Put, Hard: "a\nb\xff \"x\" \\", Node: tree.Node{Type: tree.Symlink, Link: "x", Size: 5}},
		layer.Change{Path: "", Kind: layer.Opaque},
		layer.Change{Path: "end 3", Kind: layer.Delete},
	)
}

func TestIndex_sameChanges(t *testing.T) {
	for name, changes := range map[string]layer.Changes{"none": layer.None, "every kind": everyKind(), "strange": strange(),
		"long": stream(put(strings.Repeat("\xff", 1<<20), tree.Node{Type: tree.Symlink, Link: strings.Repeat("\x00", 1<<20)}))} {
		t.Run(name, func(t *testing.T) {
			want, err := collect(changes)
			if err != nil {
				t.Fatal(err)
			}
			data := indexOf(t, changes)
			got, err := collect(layer.ReadIndex(bytes.NewReader(data)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(layer.Change{}, "Open"), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("written and read back (-want +got):\n%s", d)
			}
			if again := indexOf(t, changes); !bytes.Equal(data, again) {
				t.Error("the same changes gave other bytes")
			}
		})
	}
}

func TestIndex_contents(t *testing.T) {
	passwd := "root:x:0:0::/root:/bin/sh\n\xff"
	big := strings.Repeat("x", layer.MaxAccounts+1)
	changes := func() layer.Changes {
		return stream(file("etc/passwd", passwd), file("etc/group", big), file("f", "content"), file("empty", ""))
	}
	readers := map[string]func(layer.Changes) layer.Changes{
		"nobody reads": func(c layer.Changes) layer.Changes { return c },
		"an archive is written": func(c layer.Changes) layer.Changes {
			return layer.NewWriter(io.Discard, time.Time{}).Tee(c)
		},
		"somebody reads a byte": func(c layer.Changes) layer.Changes {
			return func(yield func(layer.Change, error) bool) {
				for c, err := range c {
					if c.Open != nil {
						r, err := c.Open()
						if err != nil {
							t.Fatal(err)
						}
						r.Read(make([]byte, 1))
						r.Close()
					}
					if !yield(c, err) {
						return
					}
				}
			}
		},
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w, err := layer.NewIndexWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := collect(reader(w.Tee(changes()))); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			want := map[tree.Path]string{"etc/passwd": passwd, "empty": ""}
			for c, err := range layer.ReadIndex(&b) {
				if err != nil {
					t.Fatal(err)
				}
				content, known := want[c.Path]
				r, err := c.Open()
				switch {
				case !known && !errors.Is(err, tree.ErrNoContent):
					t.Errorf("open %s: %v", c.Path, err)
				case known && err != nil:
					t.Error(err)
				case known:
					if got, err := io.ReadAll(r); string(got) != content || err != nil {
						t.Errorf("%s is %q (%v), want %q", c.Path, got, err, content)
					}
				}
			}
		})
	}
}

func TestIndex_unfinished(t *testing.T) {
	failed := errors.New("the source failed")
	short := file("etc/passwd", "root")
	short.Node.Size = 5
	for name, changes := range map[string]layer.Changes{
		"source fails": func(yield func(layer.Change, error) bool) {
			_ = yield(file("a", ""), nil) && yield(layer.Change{}, failed)
		},
		"content is short": stream(short),
		"consumer stops":   stream(file("a", ""), file("etc/passwd", "x"), file("stop", "")),
		"type is unknown":  stream(layer.Change{Kind: layer.Put, Path: "x"}),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w, err := layer.NewIndexWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			for c, err := range w.Tee(changes) {
				if c.Path == "etc/passwd" || err != nil {
					if name == "consumer stops" {
						break
					}
				}
			}
			if err := w.Close(); err == nil {
				t.Error("closed without an error")
			}
			if _, err := collect(layer.ReadIndex(&b)); err == nil {
				t.Error("read without an error")
			}
		})
	}
}

// A disk that is full must cost the index only, not the build.
func TestIndex_cannotBeWritten(t *testing.T) {
	full := errors.New("disk full")
	w, err := layer.NewIndexWriter(writerFunc(func([]byte) (int, error) { return 0, full }))
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(w.Tee(everyKind()))
	if err != nil || len(got) != 13 {
		t.Errorf("%d changes passed, %v", len(got), err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("close: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReadIndex_damaged(t *testing.T) {
	data := indexOf(t, stream(file("etc/passwd", "root"), file("b", ""), put("c", tree.Node{Type: tree.Dir})))
	for n := range data {
		if _, err := collect(layer.ReadIndex(bytes.NewReader(data[:n]))); err == nil {
			t.Errorf("cut off after %d of %d bytes: no error", n, len(data))
		}
	}
	const ok = `f 644 0 0 0 "x"`
	for name, body := range map[string]string{
		"empty":           "",
		"other version":   "kaniko layer index 2\nend 0\n",
		"no end":          "kaniko layer index 1\n" + ok + "\n",
		"wrong count":     "kaniko layer index 1\n" + ok + "\nend 2\n",
		"something after": "kaniko layer index 1\n" + ok + "\nend 1\nx",
		"end without eol": "kaniko layer index 1\n" + ok + "\nend 1",
		"content too big": "kaniko layer index 1\n" + ok + " s 99999999999 c\n\nend 1\n",
		"long line":       "kaniko layer index 1\n" + strings.Repeat("x", 17<<20),
	} {
		if _, err := collect(layer.ReadIndex(bytes.NewReader(compressed(t, body)))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, line := range []string{
		"", "?", `f 644 0 0 0 "x" `, `f 644 0 0 0 "x`, `f 644 0 0 0 "`, `f 644 0 0 0 "a//b"`, ok + " z 1", ok + " s -1", ok + " s", ok + ` l x`, ok + ` l 'x'`, ok + ` h ""`, ok + ` h "../x"`, ok + ` d 1`,
		ok + ` d 1 4294967296`, ok + ` x "a"`, ok + ` l "x"l "y"`, `f 8 0 0 0 "x"`, `f 777777 0 0 0 "x"`, `f 644 0 0 0 "/x"`, `f 644 0 0 0 "x/"`, `f 644 0 0 0 "a/../b"`,
		`f 644 0 0 0`, `f 644 0 0 "x"`, `fd 644 0 0 0 "x"`, `- "a" b`, `- a`, `-`, `o "a`, `f 644 0 0 0 "x" l "` + "\x00",
		`d 755 0 0 0 "x" s 1 c`, `f 644 0 0 0 "x" s 2 c`,
	} {
		if _, err := collect(layer.ReadIndex(bytes.NewReader(compressed(t, "kaniko layer index 1\n"+line+"\nend 1\n")))); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

func compressed(t testing.TB, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<10), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// indexedLayer knows its index, or not.
type indexedLayer struct {
	v1.Layer
	data []byte
}

func (l indexedLayer) Index() (layer.Changes, bool) {
	return layer.ReadIndex(bytes.NewReader(l.data)), l.data != nil
}

type wrapped struct{ v1.Layer }

func (w wrapped) Unwrap() v1.Layer { return w.Layer }

func TestMetadata(t *testing.T) {
	archive := static.NewLayer(write(t, stream(file("archived", "x")), time.Time{}), types.OCIUncompressedLayer)
	index := indexOf(t, stream(file("indexed", "x")))
	for name, c := range map[string]struct {
		layer v1.Layer
		want  tree.Path
	}{
		"no index":        {archive, "archived"},
		"index":           {indexedLayer{archive, index}, "indexed"},
		"index below":     {wrapped{indexedLayer{archive, index}}, "indexed"},
		"no index at all": {indexedLayer{archive, nil}, "archived"},
	} {
		got, err := collect(layer.Metadata(c.layer))
		if err != nil || len(got) != 1 || got[0].Path != c.want {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	for _, changes := range []layer.Changes{everyKind(), strange(), stream(file("etc/passwd", "root"))} {
		z, err := zstd.NewReader(bytes.NewReader(indexOf(f, changes)))
		if err != nil {
			f.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(body))
	}
	f.Fuzz(func(t *testing.T, body string) {
		// What is read without an error is written and read back as the same.
		want, err := collect(layer.ReadIndex(bytes.NewReader(compressed(t, body))))
		for _, c := range want {
			if c.Path != tree.Clean(string(c.Path)) || c.Hard != tree.Clean(string(c.Hard)) {
				t.Fatalf("path %q or %q is not clean", c.Path, c.Hard)
			}
		}
		if err != nil {
			return
		}
		for i := range want {
			if want[i].Open != nil {
				if _, err := want[i].Open(); err != nil {
					want[i].Open = nil
				}
			}
		}
		got, err := collect(layer.ReadIndex(bytes.NewReader(indexOf(t, stream(want...)))))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(layer.Change{}, "Open"), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("read, written and read again (-want +got):\n%s", d)
		}
	})
}

func BenchmarkReadIndex(b *testing.B) {
	const entries = 100_000
	data := indexOf(b, func(yield func(layer.Change, error) bool) {
		for n := range entries {
			c := put(fmt.Sprintf("usr/lib/node_modules/package%d/dist/file%d.js", n/100, n), tree.Node{Type: tree.File, Mode: 0o644, Size: int64(n)})
			if !yield(c, nil) {
				return
			}
		}
	})
	for b.Loop() {
		n := 0
		for _, err := range layer.ReadIndex(bytes.NewReader(data)) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != entries {
			b.Fatalf("read %d entries", n)
		}
	}
	b.ReportMetric(float64(len(data)), "bytes")
}
