package compare

import (
	"archive/tar"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// planted is one difference put into the sample, and what is to be said of it: the
// level, the layers, the path and the field.
type planted struct {
	name   string
	change func(*recipe)
	want   string
	// equalUnder are the presets under which it does not count.
	equalUnder string
	// unsquashed differences are not in the tree that a container starts from.
	unsquashed bool
}

func plants() []planted {
	base := func(r *recipe, name string) *member { return r.layers[0].find(name) }
	return []planted{
		{"one bit of a mode", func(r *recipe) { base(r, "etc/passwd").Mode = 0o645 }, "files 1:1 /etc/passwd mode", ByFiles, false},
		{"set-id bit", func(r *recipe) { base(r, "bin/ping").Mode |= 0o4000 }, "files 1:1 /bin/ping mode", ByFiles, false},
		{"mode of a directory", func(r *recipe) { base(r, "var/cache/").Mode = 0o700 }, "files 1:1 /var/cache mode", ByFiles, false},
		{"uid", func(r *recipe) { base(r, "etc/passwd").Uid = 1 }, "files 1:1 /etc/passwd uid", ByFiles, false},
		{"gid", func(r *recipe) { base(r, "etc/passwd").Gid = 1 }, "files 1:1 /etc/passwd gid", ByFiles, false},
		{"uname", func(r *recipe) { base(r, "etc/passwd").Uname = "toor" }, "files 1:1 /etc/passwd uname", Semantic, false},
		{"gname", func(r *recipe) { base(r, "etc/passwd").Gname = "wheel" }, "files 1:1 /etc/passwd gname", Semantic, false},
		{"one byte", func(r *recipe) { base(r, "etc/passwd").content = "root:y:0:0\nbin:x:1:1\n" }, "files 1:1 /etc/passwd content", "", false},
		{"a byte more", func(r *recipe) { base(r, "etc/passwd").content += "\n" }, "files 1:1 /etc/passwd content", "", false},
		{"an empty file", func(r *recipe) { base(r, "etc/passwd").content = "" }, "files 1:1 /etc/passwd content", "", false},
		{"mtime", func(r *recipe) { base(r, "etc/passwd").ModTime = day().Add(time.Second) }, "files 1:1 /etc/passwd mtime", Semantic, false},
		{"mtime below a second", func(r *recipe) {
			m := base(r, "etc/passwd")
			m.ModTime, m.Format = day().Add(time.Millisecond), tar.FormatPAX
		}, "files 1:1 /etc/passwd mtime", Semantic, false},
		{"an xattr changed", func(r *recipe) {
			base(r, "bin/ping").PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x01"}
		}, "files 1:1 /bin/ping xattr.security.capability", "", false},
		{"an xattr added", func(r *recipe) {
			base(r, "etc/passwd").PAXRecords = map[string]string{"SCHILY.xattr.user.a": "b"}
		}, "files 1:1 /etc/passwd xattr.user.a", "", false},
		{"an xattr removed", func(r *recipe) { base(r, "bin/ping").PAXRecords = nil }, "files 1:1 /bin/ping xattr.security.capability", "", false},
		{"a symlink's target", func(r *recipe) { base(r, "bin/sh").Linkname = "ping6" }, "files 1:1 /bin/sh link", "", false},
		{"a symlink turned file", func(r *recipe) { m := base(r, "bin/sh"); m.Typeflag, m.Linkname = tar.TypeReg, "" }, "files 1:1 /bin/sh type", "", false},
		{"a device's number", func(r *recipe) { base(r, "dev/null").Devminor = 5 }, "files 1:1 /dev/null device", "", false},
		{"a character device turned block device", func(r *recipe) { base(r, "dev/null").Typeflag = tar.TypeBlock }, "files 1:1 /dev/null type", "", false},
		{"a hard link turned copy", func(r *recipe) {
			m := base(r, "bin/ping6")
			m.Typeflag, m.Linkname, m.content = tar.TypeReg, "", "ping"
			m.Mode, m.PAXRecords = 0o755, base(r, "bin/ping").PAXRecords
			base(r, "bin/ping6").Mode = 0o644
			m.PAXRecords = nil
		}, "files 1:1 /bin/ping6 hardlink", "", true},
		{"a hard link's target", func(r *recipe) { base(r, "bin/ping6").Linkname = "etc/passwd" }, "files 1:1 /bin/ping6 hardlink", "", true},
		{"a file added", func(r *recipe) { r.layers[0].add(file("var/new", "")) }, "files 1:1 /var/new added", "", false},
		{"a file removed", func(r *recipe) {
			r.layers[0].members = slices.DeleteFunc(r.layers[0].members, func(m *member) bool { return m.Name == "var/cache/x" })
		}, "files 1:1 /var/cache/x removed", "", false},
		{"order of entries", func(r *recipe) { m := r.layers[0].members; m[1], m[2] = m[2], m[1] }, "files 1:1 /etc/passwd order", Semantic, true},
		{"a duplicate entry", func(r *recipe) { r.layers[0].add(file("etc/passwd", "root:x:0:0\nbin:x:1:1\n")) }, "files 1:1 /etc/passwd duplicate", "", true},
		{"a whiteout added", func(r *recipe) { r.layers[1].add(file("var/cache/.wh.x", "")) }, "files 2:2 /var/cache/x whiteout", "", true},
		{"a whiteout removed", func(r *recipe) { r.layers[1].members = r.layers[1].members[:3] }, "files 2:2 /etc/hosts whiteout", "", true},
		{"an opaque directory", func(r *recipe) { r.layers[1].add(file("var/.wh..wh..opq", "")) }, "files 2:2 /var opaque", "", true},
		{"a PAX record", func(r *recipe) {
			base(r, "etc/passwd").PAXRecords = map[string]string{"KANIKO.note": "x"}
		}, "files 1:1 /etc/passwd pax.KANIKO.note", Semantic, true},
		{"a comment in a PAX record", func(r *recipe) {
			base(r, "etc/passwd").PAXRecords = map[string]string{"comment": "x"}
		}, "files 1:1 /etc/passwd pax.comment", Semantic, true},
		{"a global PAX header", func(r *recipe) {
			r.layers[0].members = slices.Insert(r.layers[0].members, 0, &member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}})
		}, "files 1:1 (global header) added", Semantic, true},
		{"the tar format", func(r *recipe) { base(r, "etc/passwd").Format = tar.FormatGNU }, "files 1:1 /etc/passwd format", Semantic, true},
		{"redundant bits of a mode", func(r *recipe) { base(r, "etc/passwd").Mode |= 0o100000 }, "files 1:1 /etc/passwd format", Semantic, true},
		{"a name with ./", func(r *recipe) { base(r, "etc/passwd").Name = "./etc/passwd" }, "files 1:1 /etc/passwd name", Semantic, true},
		{"blocks behind the archive's end", func(r *recipe) { r.layers[0].trailing = 2 }, "files 1:1  archive", Semantic, true},

		{"recompressed at another level", func(r *recipe) { r.layers[0].level = 9; r.layers[0].find("etc/passwd") }, "layers 1:1  recompressed", Semantic, true},
		{"recompressed with zstd", func(r *recipe) { r.layers[0].compression = "zstd" }, "layers 1:1  recompressed", Semantic, true},
		{"not compressed", func(r *recipe) { r.layers[0].compression = "none" }, "layers 1:1  recompressed", Semantic, true},
		{"an added layer", func(r *recipe) {
			r.layers = append(r.layers, &archive{members: []*member{file("new", "")}})
			r.config.History = append(r.config.History, v1.History{CreatedBy: "COPY new"})
		}, "layers 0:3  added", "", true},
		{"a layer added below", func(r *recipe) {
			r.layers = slices.Insert(r.layers, 0, &archive{members: []*member{file("new", "")}})
			r.config.History = slices.Insert(r.config.History, 0, v1.History{CreatedBy: "COPY new"})
		}, "layers 0:1  added", "", true},
		{"a layer removed", func(r *recipe) { r.layers, r.config.History = r.layers[:1], r.config.History[:2] }, "layers 2:0  removed", "", true},
		{"a split layer", func(r *recipe) {
			all := r.layers[0].members
			r.layers = []*archive{{members: all[:5]}, {members: all[5:]}, r.layers[1]}
			r.config.History = slices.Insert(r.config.History, 1, v1.History{CreatedBy: "ADD the rest"})
		}, "layers 1:1  split", "", true},
		{"layers in another order", func(r *recipe) {
			r.layers[0], r.layers[1] = r.layers[1], r.layers[0]
			h := r.config.History
			h[0], h[1], h[2] = h[2], h[0], h[1]
		}, "layers 2:1  order", "", true},

		{"an annotation of the manifest", func(r *recipe) { r.annotations["org.opencontainers.image.source"] = "there" }, "manifest 0:0 manifest annotation.org.opencontainers.image.source", ByFiles, true},
		{"an annotation added", func(r *recipe) { r.annotations["a"] = "" }, "manifest 0:0 manifest annotation.a", ByFiles, true},
		{"the name in an annotation", func(r *recipe) { r.annotations["org.opencontainers.image.ref.name"] = "x" }, "manifest 0:0 manifest annotation.org.opencontainers.image.ref.name", Semantic, true},
		{"an annotation of a layer", func(r *recipe) { r.layers[1].annotations = map[string]string{"a": "b"} }, "manifest 2:2 layer annotation.a", ByFiles, true},
		{"the media type of a layer", func(r *recipe) { r.layers[1].mediaType = types.DockerLayer }, "manifest 2:2 layer mediaType", ByFiles, true},
		{"a subject", func(r *recipe) {
			r.subject = &v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 1, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}}
		}, "manifest 0:0 manifest subject", ByFiles, true},

		{"a label", func(r *recipe) { r.config.Config.Labels["version"] = "2" }, "config 0:0 config label.version", "", true},
		{"a label added", func(r *recipe) { r.config.Config.Labels["a/b"] = "" }, "config 0:0 config label.a/b", "", true},
		{"a variable", func(r *recipe) { r.config.Config.Env[1] = "A=2" }, "config 0:0 config env.A", "", true},
		{"a variable removed", func(r *recipe) { r.config.Config.Env = r.config.Config.Env[:1] }, "config 0:0 config env.A", "", true},
		{"order of variables", func(r *recipe) { slices.Reverse(r.config.Config.Env) }, "config 0:0 config env", "", true},
		{"cmd", func(r *recipe) { r.config.Config.Cmd = []string{"bash"} }, "config 0:0 config cmd", "", true},
		{"entrypoint", func(r *recipe) { r.config.Config.Entrypoint = nil }, "config 0:0 config entrypoint", "", true},
		{"user", func(r *recipe) { r.config.Config.User = "0" }, "config 0:0 config user", "", true},
		{"working directory", func(r *recipe) { r.config.Config.WorkingDir = "/" }, "config 0:0 config workingDir", "", true},
		{"a port", func(r *recipe) { r.config.Config.ExposedPorts["81/tcp"] = struct{}{} }, "config 0:0 config port.81/tcp", "", true},
		{"a volume", func(r *recipe) { delete(r.config.Config.Volumes, "/data") }, "config 0:0 config volume./data", "", true},
		{"stop signal", func(r *recipe) { r.config.Config.StopSignal = "SIGINT" }, "config 0:0 config stopSignal", "", true},
		{"a health check", func(r *recipe) { r.config.Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "x"}} }, "config 0:0 config healthcheck", "", true},
		{"created", func(r *recipe) { r.config.Created.Time = day().Add(time.Second) }, "config 0:0 config created", Semantic, true},
		{"author", func(r *recipe) { r.config.Author = "you" }, "config 0:0 config author", "", true},
		{"architecture", func(r *recipe) { r.config.Architecture = "arm" }, "config 0:0 config architecture", "", true},
		{"a platform's variant", func(r *recipe) { r.config.Variant = "v9" }, "config 0:0 config variant", "", true},
		{"a field that nobody knows", func(r *recipe) { r.more = map[string]any{"x.note": 1} }, "config 0:0 config x.note", "", true},
		{"a history text", func(r *recipe) { r.config.History[2].CreatedBy = "COPY ./app /" }, "config 0:0 history 3 history.created_by", Semantic, true},
		{"a history date", func(r *recipe) { r.config.History[0].Created.Time = day().Add(time.Hour) }, "config 0:0 history 1 history.created", Semantic, true},
		{"a history comment", func(r *recipe) { r.config.History[2].Comment = "" }, "config 0:0 history 3 history.comment", Semantic, true},
		{"a history entry without a layer", func(r *recipe) {
			r.config.History = append(r.config.History, v1.History{CreatedBy: "CMD sh", EmptyLayer: true})
		}, "config 0:0 history 4 history", Semantic, true},
		{"the form of the configuration", func(r *recipe) { r.more = map[string]any{} }, "config 0:0 config form", Semantic, true},
	}
}

func line(d Difference) string {
	return fmt.Sprintf("%s %d:%d %s %s", d.Level, d.LayerA, d.LayerB, d.Path, d.Field)
}

// found compares two images, and returns the lines of all differences.
func found(t *testing.T, a, b v1.Image, o Options) (*Result, []string) {
	t.Helper()
	r, err := Compare(t.Context(), Subject{Name: "a", Image: a}, Subject{Name: "b", Image: b}, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range r.All() {
		all = append(all, line(*d))
	}
	return r, all
}

// Each single difference is found, where it is, and nothing else; in both directions.
func TestCompare_planted(t *testing.T) {
	if n := len(plants()); n < 40 {
		t.Fatalf("only %d differences are planted", n)
	}
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			a, changed := sample(), sample()
			p.change(changed)
			x, y := a.image(t), changed.image(t)
			for _, level := range []Level{Files, Content} {
				r, all := found(t, x, y, Options{Level: level})
				if diff := cmp.Diff([]string{p.want}, all); diff != "" || r.Verdict != Different {
					t.Errorf("%s, level %s: %s", r.Verdict, level, diff)
				}
			}
			if _, all := found(t, y, x, Options{Level: Files}); len(all) != 1 {
				t.Errorf("in the other direction: %q", all)
			}
			for _, preset := range []string{Semantic, ByFiles} {
				r, _ := found(t, x, y, Options{Level: Files, Preset: preset})
				want := Different
				if p.equalUnder == preset || p.equalUnder == Semantic {
					want = Equal
				}
				if r.Verdict != want || r.Counted+r.Ignored != 1 {
					t.Errorf("%s: %s, %d count and %d do not", preset, r.Verdict, r.Counted, r.Ignored)
				}
			}
		})
	}
}

// The trees of whole images show what differs in files, without layers.
func TestCompare_squashed(t *testing.T) {
	for _, p := range plants() {
		if p.unsquashed {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			changed := sample()
			p.change(changed)
			level, rest, _ := strings.Cut(p.want, " ")
			_, at, _ := strings.Cut(rest, " ")
			_, all := found(t, sample().image(t), changed.image(t), Options{Level: Files, Squash: true})
			if strings.HasSuffix(p.name, "removed") || strings.HasPrefix(p.name, "an xattr") || strings.Contains(p.name, "set-id") {
				// Its other name shows it as well.
				all = slices.DeleteFunc(all, func(l string) bool { return strings.Contains(l, "/bin/ping6") })
			}
			if diff := cmp.Diff([]string{level + " 0:0 " + at}, all); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Equal images have no differences, at any level.
func TestCompare_equal(t *testing.T) {
	for _, compression := range []string{"", "zstd", "estargz", "zstd:chunked", "none"} {
		for level := Digest; level <= Content; level++ {
			a, b := sample(), sample()
			a.layers[0].compression, b.layers[0].compression = compression, compression
			for _, squash := range []bool{false, true} {
				r, all := found(t, a.image(t), b.image(t), Options{Level: level, Squash: squash})
				if len(all) > 0 || r.Verdict != Identical {
					t.Errorf("%s, %s: %s, %q", compression, level, r.Verdict, all)
				}
			}
		}
	}
}

// A level that is not deep says that something differs, by digests.
func TestCompare_shallow(t *testing.T) {
	b := sample()
	b.layers[1].find("app/main").content = "niam\n"
	b.config.Config.User = "0"
	for level, want := range map[Level][]string{
		Digest:   {"digest 0:0  digest"},
		Manifest: {"manifest 0:0 config digest", "manifest 2:2  digest"},
		Config:   {"config 0:0 config user", "manifest 2:2  digest"},
		Layers:   {"config 0:0 config user", "layers 2:2  content"},
		Files:    {"config 0:0 config user", "files 2:2 /app/main content"},
	} {
		if _, all := found(t, sample().image(t), b.image(t), Options{Level: level}); !slices.Equal(all, want) {
			t.Errorf("%s: %q", level, all)
		}
	}
}

func TestCompare_texts(t *testing.T) {
	for _, compression := range []string{"", "zstd", "estargz", "zstd:chunked"} {
		for _, squash := range []bool{false, true} {
			a, b := sample(), sample()
			a.layers[1].compression, b.layers[1].compression = compression, compression
			b.layers[1].find("app/data").content = "a\nb\nc\nd\nE\nf\ng\nh\n"
			r, err := Compare(t.Context(), Subject{Name: "a", Image: a.image(t)}, Subject{Name: "b", Image: b.image(t)}, Options{Level: Content, Squash: squash})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range r.All() {
				if diff := cmp.Diff("@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n", d.Text); diff != "" {
					t.Errorf("%s %v: %s %s", compression, squash, line(*d), diff)
				}
			}
		}
	}
}
