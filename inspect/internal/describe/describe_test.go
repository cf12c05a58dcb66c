package describe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

func TestCommand(t *testing.T) {
	for text, want := range map[string]string{
		`/bin/sh -c #(nop)  CMD ["bash"]`: `CMD ["bash"]`,
		"/bin/sh -c apt-get update":       "RUN apt-get update",
		"RUN /bin/sh -c make # buildkit":  "RUN /bin/sh -c make",
		"COPY app /app # buildkit":        "COPY app /app",
		"COPY app /app":                   "COPY app /app",
		"":                                "",
		"debian.sh --arch 'amd64' out/ 'trixie' #": "debian.sh --arch 'amd64' out/ 'trixie' #",
	} {
		if got := Command(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Layers have the instructions that made them, whatever stands between in the history.
func TestOf_history(t *testing.T) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	config := v1.ConfigFile{OS: "linux", Architecture: "arm64", Variant: "v8", RootFS: v1.RootFS{Type: "layers"}, History: []v1.History{
		{CreatedBy: "ENV A", EmptyLayer: true}, {CreatedBy: "RUN 1"}, {CreatedBy: "USER b", EmptyLayer: true}, {CreatedBy: "/bin/sh -c 2"}, {CreatedBy: "RUN 3"}, {CreatedBy: "RUN nothing"},
	}}
	for n, mt := range []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer} {
		l := static.NewLayer([]byte{byte(n)}, mt)
		annotations := map[string]string{}
		if n == 0 {
			annotations[toc.Key] = "sha256:0"
		}
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: mt, Annotations: annotations}); err != nil {
			t.Fatal(err)
		}
		id, err := l.DiffID()
		if err != nil {
			t.Fatal(err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, id)
	}
	img, err := mutate.ConfigFile(img, &config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Of(source.Image{Image: img, Platform: *config.Platform()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range d.Layers {
		got = append(got, l.Format+" "+l.CreatedBy+" "+l.TOC)
	}
	if diff := cmp.Diff([]string{"estargz RUN 1 sha256:0", "zstd RUN 2 ", "none RUN 3 "}, got); diff != "" {
		t.Error(diff)
	}
	if d.Platform != "linux/arm64/v8" || d.Size != 3 {
		t.Errorf("%s of %d bytes", d.Platform, d.Size)
	}
}

func TestIsBase(t *testing.T) {
	ids := func(all ...string) (out []v1.Hash) {
		for _, id := range all {
			out = append(out, v1.Hash{Algorithm: "sha256", Hex: id})
		}
		return out
	}
	for _, c := range []struct {
		image, base []v1.Hash
		is          bool
		shared      int
	}{
		{ids("a", "b"), ids("a"), true, 1},
		{ids("a", "b"), ids("a", "b"), true, 2},
		{ids("a"), ids("a", "b"), false, 1},
		{ids("a", "b"), ids("b"), false, 0},
		{ids("a", "c"), ids("a", "b"), false, 1},
		{ids("a"), nil, false, 0},
		{nil, nil, false, 0},
	} {
		if is, shared := IsBase(c.image, c.base), Shared(c.image, c.base); is != c.is || shared != c.shared {
			t.Errorf("%v on %v: %v, %d shared", c.image, c.base, is, shared)
		}
	}
}

// The manifest is believed first, then the index, then labels.
func TestNamedBase(t *testing.T) {
	labeled := &v1.ConfigFile{Config: v1.Config{Labels: map[string]string{baseName: "label"}}}
	above := map[string]string{baseName: "index"}
	for _, c := range []struct {
		manifest, index map[string]string
		config          *v1.ConfigFile
		want            *Named
	}{
		{map[string]string{baseName: "manifest", baseDigest: "d"}, above, labeled, &Named{"manifest", "d"}},
		{map[string]string{"other": "x"}, above, labeled, &Named{Name: "index"}},
		{nil, nil, labeled, &Named{Name: "label"}},
		{nil, nil, &v1.ConfigFile{}, nil},
	} {
		if diff := cmp.Diff(c.want, NamedBase(c.manifest, c.index, c.config)); diff != "" {
			t.Error(diff)
		}
	}
}
