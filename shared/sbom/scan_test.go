package sbom_test

import (
	"archive/tar"
	"bytes"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/shared/sbom"
)

// file is an entry of a layer: a directory if its name ends with a slash, a hard link if
// link is set.
type file struct {
	name    string
	content []byte
	mode    int64
	link    string
}

func text(name, content string) file { return file{name: name, content: []byte(content)} }

// image is one of layers.
func image(t *testing.T, layers ...[]file) v1.Image {
	t.Helper()
	img := empty.Image
	for _, files := range layers {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, f := range files {
			h := &tar.Header{Name: f.name, Mode: max(f.mode, 0o644), Size: int64(len(f.content)), Typeflag: tar.TypeReg}
			switch {
			case strings.HasSuffix(f.name, "/"):
				h.Typeflag = tar.TypeDir
			case f.link != "":
				h.Typeflag, h.Linkname = tar.TypeLink, f.link
			}
			if err := tw.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := tw.Write(f.content); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func scan(t *testing.T, img v1.Image) *sbom.Inventory {
	t.Helper()
	inv, err := sbom.Scan(t.Context(), img, sbom.Options{Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// names are the packages with their versions and the numbers of their layers.
func names(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range scan(t, img).Packages {
		from := slices.IndexFunc(layers, func(l v1.Layer) bool {
			d, err := l.Digest()
			return err == nil && d == p.Layer
		})
		all = append(all, p.Name+" "+p.Version+" "+string(rune('0'+from)))
	}
	return all
}

func dpkg(names ...string) string {
	var all string
	for _, n := range names {
		name, version, _ := strings.Cut(n, "=")
		all += "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\n\n"
	}
	return all
}

// TestScan: what a later layer replaces or hides is not in the image.
func TestScan(t *testing.T) {
	const status = "var/lib/dpkg/status"
	one := text(status+".d/one", dpkg("one=1"))
	for name, c := range map[string]struct {
		layers [][]file
		want   []string
	}{
		"nothing":                {[][]file{{text("etc/motd", "hello")}}, nil},
		"one":                    {[][]file{{text(status, dpkg("a=1", "b=2"))}}, []string{"a 1 0", "b 2 0"}},
		"replaced":               {[][]file{{text(status, dpkg("a=1", "b=2"))}, {text(status, dpkg("a=1", "c=3"))}}, []string{"a 1 0", "c 3 1"}},
		"newer":                  {[][]file{{text(status, dpkg("a=1"))}, {text(status, dpkg("a=2"))}}, []string{"a 2 1"}},
		"removed":                {[][]file{{text(status, dpkg("a=1"))}, {text("var/lib/dpkg/.wh.status", "")}}, nil},
		"above removed":          {[][]file{{text(status, dpkg("a=1"))}, {text("var/.wh.lib", "")}}, nil},
		"opaque":                 {[][]file{{one}, {text(status+".d/.wh..wh..opq", ""), text(status+".d/two", dpkg("two=2"))}}, []string{"two 2 1"}},
		"opaque comes later":     {[][]file{{one}, {text(status+".d/two", dpkg("two=2")), text(status+".d/.wh..wh..opq", "")}}, []string{"two 2 1"}},
		"whiteout comes later":   {[][]file{{one}, {text(status+".d/one", dpkg("one=2")), text(status+".d/.wh.one", "")}}, []string{"one 2 1"}},
		"directory becomes file": {[][]file{{one}, {text(status+".d", "")}}, nil},
		"file becomes directory": {[][]file{{text(status, dpkg("a=1"))}, {{name: status + "/"}}}, nil},
		"directory again":        {[][]file{{one}, {{name: status + ".d/"}}}, []string{"one 1 0"}},
		"distroless":             {[][]file{{one, text(status+".d/two", "Package: two\nVersion: 2\n"), text(status+".d/two.md5sums", "Package: three\nVersion: 3\n")}}, []string{"one 1 0", "two 2 0"}},
		"elsewhere":              {[][]file{{text("srv/"+status, dpkg("a=1"))}}, nil},
		"hard link":              {[][]file{{one, {name: status + ".d/same", link: status + ".d/one"}}, {text(status+".d/.wh.one", "")}}, []string{"one 1 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(t, image(t, c.layers...))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestScan_dpkg: a status file in all its forms.
func TestScan_dpkg(t *testing.T) {
	inv := scan(t, image(t, []file{
		text("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian GNU/Linux 12 (bookworm)'\n"),
		text("var/lib/dpkg/status", `Package: libgcc-s1
Status: hold ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+deb12u1
Description: GCC support library
 Package: not this
 .
 Version: nor this

Package: gone
Status: deinstall ok config-files
Version: 1

Package: half
Status: install ok half-configured
Architecture: all
Version: 1:2~rc1`),
	}))
	want := []sbom.Package{{
		Kind: sbom.Debian, Name: "half", Version: "1:2~rc1", Arch: "all", At: []string{"/var/lib/dpkg/status"},
		PURL: "pkg:deb/debian/half@1:2~rc1?arch=all&distro=debian-12",
	}, {
		Kind: sbom.Debian, Name: "libgcc-s1", Version: "12.2.0-14+deb12u1", Arch: "amd64", At: []string{"/var/lib/dpkg/status"},
		Source: "gcc-12", SourceVersion: "12.2.0-14", Supplier: "Debian GCC Maintainers <debian-gcc@lists.debian.org>",
		PURL: "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14",
	}}
	for i := range inv.Packages {
		inv.Packages[i].Layer = v1.Hash{}
	}
	if diff := cmp.Diff(want, inv.Packages); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := (sbom.System{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"}); inv.System != want {
		t.Errorf("system %+v, want %+v", inv.System, want)
	}
}

// TestScan_languages: packages of Python and Node, where installers put them.
func TestScan_languages(t *testing.T) {
	inv := scan(t, image(t, []file{
		text("usr/lib/python3/dist-packages/Old_Name.egg-info", "Metadata-Version: 1.1\nName: Old_Name\nVersion: 0.1\nLicense: UNKNOWN\n\nName: not this\n"),
		text("opt/venv/lib/python3.12/site-packages/six-1.16.0.dist-info/METADATA", "Name: six\nVersion: 1.16.0\nLicense: MIT\nDescription: a\n        Version: b\n"),
		text("opt/venv/lib/python3.12/site-packages/new.egg-info/PKG-INFO", "Name: new\nVersion: 2\nLicense: see file\nLicense-Expression: Apache-2.0\n"),
		text("opt/venv/lib/python3.12/site-packages/six-1.16.0.dist-info/RECORD", "Name: record\nVersion: 1\n"),
		text("app/METADATA", "Name: app\nVersion: 1\n"),
		text("app/package.json", `{"name": "app", "version": "1.0.0"}`),
		text("app/node_modules/left-pad/package.json", `{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}`),
		text("app/node_modules/left-pad/lib/package.json", `{"name": "part", "version": "1.3.0"}`),
		text("app/node_modules/left-pad/node_modules/@a/b/package.json", `{"name": "@a/b", "version": "2.0.0", "license": {"type": "MIT"}}`),
		text("app/node_modules/broken/package.json", `{`),
		text("app/node_modules/nameless/package.json", `{"version": "1.0.0"}`),
	}))
	var got []string
	for _, p := range inv.Packages {
		got = append(got, p.PURL+" "+p.License)
	}
	same(t, []string{
		"pkg:npm/%40a/b@2.0.0 MIT", "pkg:npm/left-pad@1.3.0 WTFPL",
		"pkg:pypi/new@2 Apache-2.0", "pkg:pypi/old-name@0.1 ", "pkg:pypi/six@1.16.0 MIT",
	}, got)
}

// TestScan_damaged: what cannot be read is an error that names it, and what was spooled is gone.
func TestScan_damaged(t *testing.T) {
	for name, files := range map[string][]file{
		"sqlite": {text("var/lib/rpm/rpmdb.sqlite", "SQLite format 3\x00 and no more")},
		"ndb":    {text("usr/lib/sysimage/rpm/Packages.db", strings.Repeat("RpmP", 100))},
		"bdb":    {text("var/lib/rpm/Packages", strings.Repeat("x", 5000))},
		"dpkg":   {text("var/lib/dpkg/status", "Package: "+strings.Repeat("x", 5<<20))},
		"field":  {text("var/lib/dpkg/status", "Version: 1\nPackage: "+strings.Repeat("x", 10<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := sbom.Scan(t.Context(), image(t, files), sbom.Options{Spool: dir})
			if err == nil {
				t.Fatal("no error")
			}
			if base := path.Base(files[0].name); !strings.Contains(err.Error(), base) {
				t.Errorf("%v: does not name %s", err, base)
			}
			isEmpty(t, dir)
		})
	}
}
