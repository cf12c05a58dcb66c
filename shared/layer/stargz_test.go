package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	digest "github.com/opencontainers/go-digest"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// several are changes of all sorts: a file of more than one chunk, many small ones,
// links, a whiteout, attributes.
func several() layer.Changes {
	attributed := file("attributed", "x")
	attributed.Node.Xattrs = tree.Xattrs{"user.a": "b"}
	hard := put("hard", tree.Node{Type: tree.File, Mode: 0o644, Size: 1})
	hard.Hard = "attributed"
	all := []layer.Change{
		put("dir", tree.Node{Type: tree.Dir, Mode: 0o755}),
		file("dir/large", words(9<<20)),
		file("dir/empty", ""),
		put("dir/link", tree.Node{Type: tree.Symlink, Mode: 0o777, Link: "large"}),
		{Path: "dir/gone", Kind: layer.Delete},
		attributed, hard,
	}
	for i := range 500 {
		all = append(all, file("small"+strconv.Itoa(i), words(i)))
	}
	return stream(all...)
}

func compression(t *testing.T, algorithm string) layer.Compression {
	t.Helper()
	c, err := layer.ParseCompression(algorithm, -1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encoded(t *testing.T, algorithm string, workers int, changes layer.Changes) *layer.Blob {
	t.Helper()
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: workers, Compression: compression(t, algorithm)})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range e.Tee(changes) {
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

func bytesOf(t *testing.T, open func() (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// seen is a change as it can be compared.
type seen struct {
	Change  layer.Change
	Content string
}

func all(t *testing.T, changes layer.Changes) []seen {
	t.Helper()
	var out []seen
	for c, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		s := seen{Change: c}
		if c.Open != nil {
			s.Content = string(bytesOf(t, c.Open))
		}
		s.Change.Open = nil
		out = append(out, s)
	}
	return out
}

// TestIndexed: the library that reads such layers lazily opens and verifies them by what
// their descriptor says; nothing depends on workers or CPUs; the files are gzip's.
func TestIndexed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	gzip := encoded(t, "gzip", 2, several())
	want := all(t, layer.Open(gzip))
	for algorithm, decompressor := range map[string]estargz.Decompressor{"estargz": new(estargz.GzipDecompressor), "zstd:chunked": new(zstdchunked.Decompressor)} {
		t.Run(algorithm, func(t *testing.T) {
			var first *v1.Descriptor
			for _, workers := range []int{1, 2, 8} {
				runtime.GOMAXPROCS(workers)
				b := encoded(t, algorithm, workers, several())
				desc := must(b.Descriptor())
				if first == nil {
					first = desc
				}
				if diff := cmp.Diff(first, desc); diff != "" {
					t.Errorf("%d workers: %s", workers, diff)
				}
				raw := bytesOf(t, b.Compressed)
				if got := digest.FromBytes(raw).String(); got != desc.Digest.String() || int64(len(raw)) != desc.Size {
					t.Errorf("%s and %d bytes, described as %v", got, len(raw), desc)
				}
				if got := digest.FromBytes(bytesOf(t, b.Uncompressed)).String(); got != must(b.DiffID()).String() {
					t.Errorf("the uncompressed stream is %s, not %s", got, must(b.DiffID()))
				}
				verify(t, raw, desc, decompressor)
				if diff := cmp.Diff(want, all(t, layer.Open(b))); diff != "" {
					t.Errorf("other files than gzip's: %.2000s", diff)
				}
			}
		})
	}
}

// verify opens a layer as a lazy reader does, verifies its index, and reads a file of
// several chunks.
func verify(t *testing.T, raw []byte, desc *v1.Descriptor, d estargz.Decompressor) {
	t.Helper()
	r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw))), estargz.WithDecompressors(d))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.VerifyTOC(digest.Digest(desc.Annotations[estargz.TOCJSONDigestAnnotation])); err != nil {
		t.Fatal(err)
	}
	large := words(9 << 20)
	f, err := r.OpenFile("dir/large")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != large {
		t.Errorf("the large file has %d bytes, %v", len(got), err)
	}
	if e, ok := r.ChunkEntryForOffset("dir/large", 5<<20); !ok || e.ChunkOffset != 4<<20 {
		t.Errorf("its second chunk is %+v", e)
	}
}

// TestIndexed_annotations: what each format's readers are told.
func TestIndexed_annotations(t *testing.T) {
	e := encoded(t, "estargz", 1, several())
	notes := must(layer.Annotations(e))
	if got, want := notes[estargz.StoreUncompressedSizeAnnotation], strconv.Itoa(len(bytesOf(t, e.Uncompressed))); got != want {
		t.Errorf("an uncompressed size of %s, want %s", got, want)
	}
	z := encoded(t, "zstd:chunked", 1, several())
	raw, notes := bytesOf(t, z.Compressed), must(layer.Annotations(z))
	if must(z.DiffID()) != must(encoded(t, "gzip", 1, several()).DiffID()) {
		t.Error("zstd:chunked is another archive than gzip's")
	}
	position := strings.Split(notes[zstdchunked.ManifestPositionAnnotation], ":")
	if len(position) != 4 {
		t.Fatalf("annotations %q", notes)
	}
	at, length := must(strconv.Atoi(position[0])), must(strconv.Atoi(position[1]))
	if got := digest.FromBytes(raw[at : at+length]).String(); got != notes[zstdchunked.ManifestChecksumAnnotation] {
		t.Errorf("the index is %s, annotations %q", got, notes)
	}
	if notes, err := layer.Annotations(encoded(t, "gzip", 1, several())); len(notes) > 0 || err != nil {
		t.Errorf("gzip is annotated with %q, %v", notes, err)
	}
}

// TestIndexed_unfinished: nothing is said of a layer before its end, and an abandoned
// one does not leave its writer waiting.
func TestIndexed_unfinished(t *testing.T) {
	for _, algorithm := range []string{"estargz", "zstd:chunked"} {
		before := runtime.NumGoroutine()
		e := must(layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: compression(t, algorithm)}))
		if err := e.Add(file("a", words(5<<20))); err != nil {
			t.Fatal(err)
		}
		if _, err := layer.Annotations(e.Blob()); !errors.Is(err, layer.ErrUnfinished) {
			t.Errorf("%s: %v", algorithm, err)
		}
		why := errors.New("no more")
		e.Abort(why)
		if _, err := e.Blob().Descriptor(); !errors.Is(err, why) {
			t.Errorf("%s: %v", algorithm, err)
		}
		for n := 0; runtime.NumGoroutine() > before; n++ {
			if runtime.Gosched(); n > 1e7 {
				t.Fatalf("%s: %d goroutines, %d before", algorithm, runtime.NumGoroutine(), before)
			}
		}
	}
}

// TestIndexed_names: a file cannot have the name of the index, but others may, and it may
// be deleted.
func TestIndexed_names(t *testing.T) {
	for _, algorithm := range []string{"estargz", "zstd:chunked"} {
		e := must(layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: compression(t, algorithm)}))
		for _, name := range []string{"stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark"} {
			if err := e.Add(file(name, "x")); !errors.Is(err, layer.ErrIndexName) {
				t.Errorf("%s: %s: %v", algorithm, name, err)
			}
			if err := errors.Join(e.Add(file("dir/"+name, "x")), e.Add(layer.Change{Path: tree.Clean(name), Kind: layer.Delete})); err != nil {
				t.Error(err)
			}
		}
		if b := must(e.Finish()); len(all(t, layer.Open(b))) != 6 {
			t.Errorf("%s: %v", algorithm, all(t, layer.Open(b)))
		}
	}
}

// TestIndexed_notIndexed: in a layer without an index those names are like others.
func TestIndexed_notIndexed(t *testing.T) {
	for _, algorithm := range []string{"gzip", "zstd", "none"} {
		e := must(layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: compression(t, algorithm)}))
		for _, name := range []string{"stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark"} {
			if err := e.Add(file(name, "x")); err != nil {
				t.Errorf("%s: %s: %v", algorithm, name, err)
			}
		}
		if b := must(e.Finish()); len(all(t, layer.Open(b))) != 3 {
			t.Errorf("%s: %v", algorithm, all(t, layer.Open(b)))
		}
	}
}

// TestRead_stargz: what other tools' eStargz has in its archive is not taken for files:
// their index lies before the archive's end, and they have landmarks.
func TestRead_stargz(t *testing.T) {
	indexed := map[string]string{estargz.TOCJSONDigestAnnotation: "sha256:00"}
	plain := bytesOf(t, encoded(t, "none", 1, several()).Compressed)
	fast := estargz.WithCompressionLevel(1)
	prioritized := estargz.WithPrioritizedFiles([]string{"small7"})
	for name, options := range map[string][]estargz.Option{"landmark": {fast, prioritized}, "no landmark": {fast}} {
		built := must(estargz.Build(io.NewSectionReader(bytes.NewReader(plain), 0, int64(len(plain))), options...))
		raw := must(io.ReadAll(built))
		built.Close()
		archive := bytesOf(t, func() (io.ReadCloser, error) { return layer.Decompress(io.NopCloser(bytes.NewReader(raw))) })
		added := 0
		for tr := tar.NewReader(bytes.NewReader(archive)); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			if strings.HasSuffix(h.Name, "prefetch.landmark") || h.Name == "stargz.index.json" {
				added++
			}
		}
		got := map[tree.Path]bool{}
		for _, s := range all(t, layer.ReadDescribed(bytes.NewReader(archive), indexed)) {
			got[s.Change.Path] = true
		}
		want := map[tree.Path]bool{}
		for _, s := range all(t, several()) {
			want[s.Change.Path] = true
		}
		if diff := cmp.Diff(want, got); diff != "" || added != 2 {
			t.Errorf("%s: of %d that were added there are %s", name, added, diff)
		}
	}
}

// TestPlain: a layer that is not compressed is its archive.
func TestPlain(t *testing.T) {
	b := encoded(t, "none", 2, several())
	if must(b.Digest()) != must(b.DiffID()) || must(b.Digest()) != must(encoded(t, "gzip", 2, several()).DiffID()) {
		t.Error("it is not its archive")
	}
	if diff := cmp.Diff(all(t, several())[1:3], all(t, layer.Read(bytes.NewReader(bytesOf(t, b.Compressed))))[1:3]); diff != "" {
		t.Error(diff)
	}
}
