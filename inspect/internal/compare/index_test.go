package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// shelf is an index to be made.
type shelf struct {
	images      []*recipe
	platforms   []v1.Platform
	annotations map[string]string
	order       []int // nil as they are
	described   map[int]map[string]string
	attested    string // a statement about the first image
	docker      bool
}

func shelves() *shelf {
	arm := sample()
	amd := sample()
	amd.config.Architecture, amd.config.Variant = "amd64", ""
	return &shelf{
		images: []*recipe{amd, arm}, platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}},
		annotations: map[string]string{"a": "1"}, described: map[int]map[string]string{}, attested: `{"predicateType":"x"}`,
	}
}

func (s *shelf) index(t testing.TB) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	mt := types.OCIImageIndex
	if s.docker {
		mt = types.DockerManifestList
	}
	index = mutate.IndexMediaType(index, mt)
	order := s.order
	if order == nil {
		for i := range s.images {
			order = append(order, i)
		}
	}
	var first v1.Hash
	for _, i := range order {
		img := s.images[i].image(t)
		if i == 0 {
			var err error
			if first, err = img.Digest(); err != nil {
				t.Fatal(err)
			}
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &s.platforms[i], Annotations: s.described[i]}})
	}
	if s.attested != "" {
		statement := &recipe{layers: []*archive{{statement: s.attested}}}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: statement.image(t), Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Annotations: map[string]string{referenceType: "attestation-manifest", referenceDigest: first.String()},
		}})
	}
	return mutate.Annotations(index, s.annotations).(v1.ImageIndex)
}

func TestCompare_indexes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*shelf)
		want   []string // with the platform before each
	}{
		"equal":                          {func(*shelf) {}, nil},
		"an annotation of the index":     {func(s *shelf) { s.annotations["a"] = "2" }, []string{"| manifest 0:0 index annotation.a"}},
		"an annotation of a descriptor":  {func(s *shelf) { s.described[1] = map[string]string{"b": "c"} }, []string{"linux/arm64/v8| manifest 0:0 index annotation.b"}},
		"the media type of the index":    {func(s *shelf) { s.docker = true }, []string{"| manifest 0:0 index mediaType"}},
		"a platform removed":             {func(s *shelf) { s.images = s.images[:1] }, []string{"linux/arm64/v8| manifest 0:0 linux/arm64/v8 removed"}},
		"a platform added":               {func(s *shelf) { s.add("s390x") }, []string{"linux/s390x| manifest 0:0 linux/s390x added"}},
		"a platform's variant":           {func(s *shelf) { s.platforms[1].Variant = "v9" }, []string{"linux/arm64/v8| manifest 0:0 index platform"}},
		"a platform's version":           {func(s *shelf) { s.platforms[1].OSVersion = "1.2" }, []string{"linux/arm64/v8| manifest 0:0 index platform"}},
		"the order of images":            {func(s *shelf) { s.order = []int{1, 0} }, []string{"| manifest 0:0 manifests order"}},
		"an attestation removed":         {func(s *shelf) { s.attested = "" }, []string{"linux/amd64| manifest 0:0 linux/amd64 (attestation) removed"}},
		"an attestation":                 {func(s *shelf) { s.attested += " " }, []string{"linux/amd64| layers 1:1  blob"}},
		"a file of one platform's image": {func(s *shelf) { s.images[1].layers[1].find("app/main").content = "MAIN\n" }, []string{"linux/arm64/v8| files 2:2 /app/main content"}},
		"a file of the attested image":   {func(s *shelf) { s.images[0].layers[1].find("app/main").content = "MAIN\n" }, []string{"linux/amd64| files 2:2 /app/main content"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := shelves()
			c.change(b)
			r, err := Compare(t.Context(), Subject{Name: "a", Index: shelves().index(t)}, Subject{Name: "b", Index: b.index(t)}, Options{Level: Files})
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for p, d := range r.All() {
				platform := ""
				if p != nil {
					platform = p.Platform
				}
				all = append(all, platform+"| "+line(*d))
			}
			if diff := cmp.Diff(c.want, all); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (s *shelf) add(architecture string) {
	more := sample()
	more.config.Architecture, more.config.Variant = architecture, ""
	s.images = append(s.images, more)
	s.platforms = append(s.platforms, v1.Platform{OS: "linux", Architecture: architecture})
}

// An index and an image are compared by what the index has for the image's platform.
func TestCompare_indexWithImage(t *testing.T) {
	index, img := Subject{Name: "a", Index: shelves().index(t)}, Subject{Name: "b", Image: sample().image(t)}
	for _, pair := range [][2]Subject{{index, img}, {img, index}} {
		r, err := Compare(t.Context(), pair[0], pair[1], Options{Level: Files})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Differences) != 1 || r.Differences[0].Field != "kind" || len(r.Images) != 1 || r.Images[0].Verdict != Identical || r.Images[0].Platform != "linux/arm64/v8" {
			t.Errorf("%+v", r)
		}
	}
}

func TestCompare_platform(t *testing.T) {
	b := shelves()
	b.images[1].config.Config.User = "2"
	x, y := Subject{Name: "a", Index: shelves().index(t)}, Subject{Name: "b", Index: b.index(t)}
	for platform, want := range map[string]string{"linux/amd64": Identical, "linux/arm64": Different} {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Compare(t.Context(), x, y, Options{Level: Files, Platform: p})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != want {
			t.Errorf("%s: %s", platform, r.Verdict)
		}
	}
	_, err := Compare(t.Context(), x, y, Options{Level: Files, Platform: &v1.Platform{OS: "plan9", Architecture: "386"}})
	var missing *PlatformError
	if !errors.As(err, &missing) {
		t.Errorf("for plan9: %v", err)
	}
}

// meter counts what is read of layers. It stands for a registry that knows ranges;
// those of real ones are counted where the command is tested.
type meter struct {
	whole  []string
	ranges int
	bytes  int64
}

type metered struct {
	v1.Image
	*meter
}

type meteredLayer struct {
	v1.Layer
	*meter
}

type rangedLayer struct{ meteredLayer }

func (m metered) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	for i, l := range layers {
		layers[i] = rangedLayer{meteredLayer{Layer: l, meter: m.meter}}
	}
	return layers, err
}

func (l meteredLayer) Uncompressed() (io.ReadCloser, error) {
	h, err := l.Digest()
	if err != nil {
		return nil, err
	}
	l.whole = append(l.whole, h.String())
	return l.Layer.Uncompressed()
}

func (l rangedLayer) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	l.ranges++
	l.bytes += length
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(raw[offset : offset+length])), nil
}

// indexed is the sample with one large file more, whose layers have indexes.
func indexed(compression string) *recipe {
	r := sample()
	for _, a := range r.layers {
		a.compression = compression
	}
	r.layers[0].add(file("var/large", strings.Repeat("0123456789abcdef", 1<<16)), file("var/note", "one\ntwo\n"))
	return r
}

// Of layers with indexes nothing is read but those, and for the lines the file.
func TestCompare_byIndex(t *testing.T) {
	for _, compression := range []string{"estargz", "zstd:chunked"} {
		for _, squash := range []bool{false, true} {
			b := indexed(compression)
			b.layers[0].find("var/note").content = "one\n2\n"
			var m, n meter
			x, y := Subject{Name: "a", Image: metered{indexed(compression).image(t), &m}}, Subject{Name: "b", Image: metered{b.image(t), &n}}
			r, err := Compare(t.Context(), x, y, Options{Level: Files, Squash: squash})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.whole)+len(n.whole) > 0 || m.ranges > 4 {
				t.Errorf("%s: %d layers were read, and %d parts", compression, len(m.whole)+len(n.whole), m.ranges)
			}
			if len(r.Images) != 1 || len(r.Images[0].Differences) != 1 || r.Images[0].Differences[0].Path != "/var/note" || r.Images[0].Layers[0].Read != readIndex {
				t.Errorf("%s: %+v", compression, r.Images)
			}
			if squash {
				continue
			}
			ranges := m.ranges
			if r, err = Compare(t.Context(), x, y, Options{Level: Content}); err != nil {
				t.Fatal(err)
			}
			if got := r.Images[0].Differences[0].Text; got != "@@ -1,2 +1,2 @@\n one\n-two\n+2\n" {
				t.Errorf("%s: %q", compression, got)
			}
			if len(m.whole) > 0 || m.ranges-ranges != 3 {
				t.Errorf("%s: %d layers were read for a file, and %d parts", compression, len(m.whole), m.ranges-ranges)
			}
		}
	}
}

// An index that is not the one announced is not believed.
func TestCompare_wrongIndex(t *testing.T) {
	a, b := indexed("zstd:chunked"), indexed("zstd:chunked")
	b.layers[0].find("var/note").content = "one\n2\n"
	x, y := a.image(t), b.image(t)
	m, err := x.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for key := range m.Layers[0].Annotations {
		if strings.Contains(key, "toc.digest") {
			m.Layers[0].Annotations[key] = "sha256:" + strings.Repeat("0", 64)
		}
	}
	var n meter
	r, err := Compare(t.Context(), Subject{Name: "a", Image: metered{remade{x, m}, &n}}, Subject{Name: "b", Image: metered{y, &n}}, Options{Level: Files})
	if err != nil {
		t.Fatal(err)
	}
	if len(n.whole) != 2 || len(r.Notes) != 1 || r.Images[0].Layers[0].Read != readArchive || r.Verdict != Different {
		t.Errorf("%d layers were read: %+v", len(n.whole), r)
	}
}

type remade struct {
	v1.Image
	m *v1.Manifest
}

func (r remade) Manifest() (*v1.Manifest, error) { return r.m, nil }

// Of what is only compressed in another way, nothing is read at all.
func TestCompare_recompressed(t *testing.T) {
	for _, compression := range []string{"zstd", "none", "zstd:chunked"} {
		b := sample()
		for _, a := range b.layers {
			a.compression = compression
		}
		var n meter
		for _, squash := range []bool{false, true} {
			r, err := Compare(t.Context(), Subject{Name: "a", Image: metered{sample().image(t), &n}}, Subject{Name: "b", Image: metered{b.image(t), &n}}, Options{Level: Content, Preset: Semantic, Squash: squash})
			if err != nil {
				t.Fatal(err)
			}
			if len(n.whole)+n.ranges > 0 || r.Verdict != Equal || r.Ignored != 2 {
				t.Errorf("%s: %d layers were read; %s, %d ignored", compression, len(n.whole), r.Verdict, r.Ignored)
			}
		}
	}
}

// A layer that is not what the configuration says is an error.
func TestCompare_corrupt(t *testing.T) {
	a, b := sample(), sample()
	b.layers[0].find("etc/passwd").content = "x"
	y := b.image(t)
	_, err := Compare(t.Context(), Subject{Name: "a", Image: a.image(t)}, Subject{Name: "b", Image: spoilt{y, a.image(t)}}, Options{Level: Files})
	var corrupt *CorruptLayerError
	if !errors.As(err, &corrupt) || corrupt.Layer != 1 || corrupt.Name != "b" {
		t.Errorf("%v", err)
	}
}

// spoilt has the layers of another image.
type spoilt struct {
	v1.Image
	other v1.Image
}

func (s spoilt) Layers() ([]v1.Layer, error) { return s.other.Layers() }

func TestCompare_cancelled(t *testing.T) {
	b := sample()
	b.layers[0].find("etc/passwd").content = "x"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Compare(ctx, Subject{Name: "a", Image: sample().image(t)}, Subject{Name: "b", Image: b.image(t)}, Options{Level: Files})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAlign(t *testing.T) {
	for _, c := range [][3]string{
		{"abc", "abc", "aa bb cc"}, {"abc", "ac", "aa b- cc"}, {"ac", "abc", "aa -b cc"}, {"", "ab", "-a -b"}, {"ab", "", "a- b-"}, {"abcd", "xbcy", "a- -x bb cc d- -y"},
	} {
		var got []string
		for _, p := range align(len(c[0]), len(c[1]), func(i, j int) bool { return c[0][i] == c[1][j] }) {
			x, y := "-", "-"
			if p.a >= 0 {
				x = c[0][p.a : p.a+1]
			}
			if p.b >= 0 {
				y = c[1][p.b : p.b+1]
			}
			got = append(got, x+y)
		}
		if text := strings.Join(got, " "); text != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], text, c[2])
		}
	}
}

func TestUnified(t *testing.T) {
	numbers := func(change func(n int) string) string {
		var b strings.Builder
		for n := range 30 {
			b.WriteString(change(n))
		}
		return b.String()
	}
	plain := func(n int) string { return fmt.Sprintf("%d\n", n) }
	for _, c := range []struct{ a, b, want string }{
		{"a\n", "a\n", ""},
		{"", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
		{"a", "a\n", "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{numbers(plain), numbers(func(n int) string {
			if n == 2 || n == 25 {
				return "x\n"
			}
			return plain(n)
		}), "@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+x\n 3\n 4\n 5\n@@ -23,7 +23,7 @@\n 22\n 23\n 24\n-25\n+x\n 26\n 27\n 28\n"},
	} {
		if diff := cmp.Diff(c.want, unified([]byte(c.a), []byte(c.b))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReadRules(t *testing.T) {
	rules, err := ReadRules("r.yaml", strings.NewReader("rules:\n- {path: /var/log/**, layer: 2, fields: [mtime, \"xattr.*\"], reason: logs}\n- {fields: [label.a/b], reason: x}\n"))
	if err != nil || len(rules) != 2 {
		t.Fatalf("%v %v", rules, err)
	}
	for d, want := range map[Difference]bool{
		{LayerA: 2, LayerB: 3, Path: "/var/log/a/b", Field: "mtime"}:      true,
		{LayerA: 1, LayerB: 2, Path: "/var/log/a", Field: "xattr.user.a"}: true,
		{LayerA: 1, LayerB: 1, Path: "/var/log/a", Field: "mtime"}:        false,
		{LayerA: 2, LayerB: 2, Path: "/var/lib/a", Field: "mtime"}:        false,
		{LayerA: 2, LayerB: 2, Path: "/var/log/a", Field: "mode"}:         false,
	} {
		if rules[0].covers(d, false) != want {
			t.Errorf("%+v: not %v", d, want)
		}
	}
	if !rules[1].covers(Difference{Path: "config", Field: "label.a/b"}, false) {
		t.Error("a label with a slash is not met")
	}
	if rules, err := ReadRules("r.yaml", strings.NewReader("- {path: /a, reason: x}\n")); err != nil || len(rules) != 1 {
		t.Errorf("a list: %v %v", rules, err)
	}
	for text, want := range map[string]string{
		"- {path: /a}":                    "no reason",
		"- {reason: x}":                   "everything",
		"- {path: /a, pat: b, reason: x}": "pat",
		"- {path: '[', reason: x}":        "syntax error",
		"- {layer: -1, reason: x}":        "counted from 1",
		"rules: 3":                        "cannot unmarshal",
		strings.Repeat("#", maxRules+1):   "longer than",
	} {
		if _, err := ReadRules("r.yaml", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "read rules from r.yaml: ") {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// Rules are counted, also those that met nothing.
func TestCompare_rules(t *testing.T) {
	b := sample()
	b.layers[0].find("etc/passwd").content = "x"
	b.config.Config.Labels["build"] = "2"
	rules := []Rule{{Path: "/etc/*", Reason: "known"}, {Fields: []string{"label.build"}, Reason: "counter"}, {Path: "/nowhere", Reason: "old"}}
	r, all := found(t, sample().image(t), b.image(t), Options{Level: Files, Rules: rules})
	if r.Verdict != Equal || r.Counted != 0 || r.Ignored != 2 || len(all) != 2 {
		t.Errorf("%s: %q", r.Verdict, all)
	}
	want := []RuleCount{{"/etc/* (known)", 1}, {"label.build (counter)", 1}, {"/nowhere (old)", 0}}
	if diff := cmp.Diff(want, r.Rules); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(r.Notes, "the rule /nowhere (old) met no difference") {
		t.Errorf("%q", r.Notes)
	}
}

func TestFailOn(t *testing.T) {
	changed := func(change func(*shelf)) *Result {
		b := shelves()
		change(b)
		r, err := Compare(t.Context(), Subject{Name: "a", Index: shelves().index(t)}, Subject{Name: "b", Index: b.index(t)}, Options{Level: Files, Preset: Semantic})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for class, r := range map[string]*Result{
		"platform": changed(func(s *shelf) { s.images = s.images[:1] }),
		"manifest": changed(func(s *shelf) { s.annotations["a"] = "x" }),
		"config":   changed(func(s *shelf) { s.images[0].config.Config.User = "x" }),
		"layers":   changed(func(s *shelf) { s.images[0].layers = s.images[0].layers[:1] }),
		"files":    changed(func(s *shelf) { s.images[0].layers[0].find("etc/passwd").content = "" }),
		"size>50%": changed(func(s *shelf) {
			for i := range 100 {
				s.images[0].layers[0].add(file(fmt.Sprint("var/", i), fmt.Sprint(i*i*7919)))
			}
		}),
		"size>0%": changed(func(s *shelf) { s.images[0].layers[0].find("etc/passwd").content = strings.Repeat("x\n", 9) }),
	} {
		for _, word := range append(Classes(), "size>50%", "size>0%") {
			f, err := ParseFailOn([]string{word})
			if err != nil {
				t.Fatal(err)
			}
			want := word == class || word == "any" || strings.HasPrefix(class, "size") && word == "files" || word == "size>0%" && (class == "layers" || class == "files" || class == "size>50%")
			if f.Met(r) != want {
				t.Errorf("%s: --fail-on %s: not %v", class, word, want)
			}
		}
		if !(FailOn{}).Met(r) {
			t.Errorf("%s: nothing fails", class)
		}
	}
	if (FailOn{}).Met(changed(func(s *shelf) { s.images[0].config.Created.Time = day().AddDate(0, 0, 1) })) {
		t.Error("an ignored difference fails")
	}
	for _, wrong := range []string{"x", "size>", "size>5", "size>-1%", "size>NaN%"} {
		if _, err := ParseFailOn([]string{wrong}); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}
