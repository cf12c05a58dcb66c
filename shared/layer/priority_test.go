package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

func first(t *testing.T, list string) layer.Compression {
	t.Helper()
	c := compression(t, "estargz")
	c.First = must(layer.ReadPriority(strings.NewReader(list)))
	return c
}

// names are the entries of a blob's archive, in their order.
func names(t *testing.T, b *layer.Blob) []string {
	t.Helper()
	var all []string
	for tr := tar.NewReader(bytes.NewReader(bytesOf(t, b.Uncompressed))); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
	}
}

// TestPriority: what was asked for comes first, in the order asked for, behind the
// directories and files that it needs; the files are the same as ever.
func TestPriority(t *testing.T) {
	dir := t.TempDir()
	c := first(t, "/dir/link\n\nhard\r\n./dir/large\nnot/there\nsmall7\nhard\n")
	e := must(layer.NewEncoder(layer.EncoderOptions{Dir: dir, Workers: 1, Compression: c}))
	for _, err := range e.Tee(several()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	b := must(e.Finish())
	got := names(t, b)
	want := []string{"dir/", "dir/link", "attributed", "hard", "dir/large", "small7", ".prefetch.landmark", "dir/empty", "dir/.wh.gone", "small0"}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Error(diff)
	}
	sorted := func(s []seen) []seen {
		slices.SortFunc(s, func(a, b seen) int { return strings.Compare(string(a.Change.Path), string(b.Change.Path)) })
		return s
	}
	plain := encoded(t, "gzip", 1, several())
	if diff := cmp.Diff(sorted(all(t, layer.Open(plain))), sorted(all(t, layer.Open(b)))); diff != "" {
		t.Error(diff)
	}
	if left := must(os.ReadDir(dir)); len(left) != 1 {
		t.Errorf("beside the layer there is %v", left)
	}

	raw := bytesOf(t, b.Compressed)
	r := must(estargz.Open(io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw)))))
	if _, err := r.VerifyTOC(r.TOCDigest()); err != nil {
		t.Error(err)
	}
	if desc := must(b.Descriptor()); desc.Annotations[estargz.TOCJSONDigestAnnotation] != r.TOCDigest().String() {
		t.Errorf("annotations are %v, the index's digest is %s", desc.Annotations, r.TOCDigest())
	}
	mark, ok := r.Lookup(estargz.PrefetchLandmark)
	if small, _ := r.Lookup("small1"); !ok || mark.Offset >= small.Offset {
		t.Errorf("the mark is at %v, what comes behind it at %v", mark, small)
	}
}

// TestPriority_none: a layer with nothing that was asked for says so.
func TestPriority_none(t *testing.T) {
	e := must(layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: 1, Compression: first(t, "elsewhere")}))
	if err := e.Add(file("f", "x")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, must(e.Finish())); got[0] != ".no.prefetch.landmark" || got[1] != "f" {
		t.Errorf("the layer has %q", got)
	}
}

// TestPriority_aborted: a layer that comes to nothing leaves nothing.
func TestPriority_aborted(t *testing.T) {
	dir := t.TempDir()
	e := must(layer.NewEncoder(layer.EncoderOptions{Dir: dir, Workers: 1, Compression: first(t, "f")}))
	if err := e.Add(file("f", "x")); err != nil {
		t.Fatal(err)
	}
	e.Abort(errors.New("no more"))
	if left := must(os.ReadDir(dir)); len(left) != 0 {
		t.Errorf("there is %v", left)
	}
}

func TestReadPriority_wrong(t *testing.T) {
	for name, list := range map[string]string{"empty": "\n\n", "long": strings.Repeat("a/", layer.MaxPriority)} {
		if _, err := layer.ReadPriority(strings.NewReader(list)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	same := must(layer.ReadPriority(strings.NewReader("a\nb")))
	if same != must(layer.ReadPriority(strings.NewReader("/a\n./b\na\n"))) || same == must(layer.ReadPriority(strings.NewReader("b\na"))) {
		t.Error("lists are compared by what stands in the file")
	}
}
