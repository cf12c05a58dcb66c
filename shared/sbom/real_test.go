package sbom_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/shared/sbom"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian's package %s)", name, debian)
	}
	return path
}

// lines are the lines that a program prints, sorted.
func lines(t *testing.T, name string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	all := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(all)
	return all
}

// told are packages in a form of their own, sorted.
func told(inv *sbom.Inventory, kind sbom.Kind, form func(sbom.Package) string) []string {
	var all []string
	for _, p := range inv.Packages {
		if p.Kind == kind {
			all = append(all, form(p))
		}
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("there is nothing to compare with")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// dpkgForm is a package as dpkg-query has it, with its source package.
const dpkgForm = "${binary:Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n"

func dpkgLine(p sbom.Package) string {
	source, version := p.Source, p.SourceVersion
	if source == "" {
		source = p.Name
	}
	if version == "" {
		version = p.Version
	}
	return strings.Join([]string{p.Name, p.Version, p.Arch, source, version}, " ")
}

// query asks dpkg of a database that is in dir.
func query(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, line := range lines(t, program(t, "dpkg-query", "dpkg"), "--admindir="+dir, "-W", "-f=${db:Status-Abbrev}"+dpkgForm) {
		state, line, _ := strings.Cut(line, " ")
		if state[1] == 'n' || state[1] == 'c' { // not there, or only its configuration
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		name, _, _ = strings.Cut(name, ":")
		all = append(all, name+" "+rest)
	}
	slices.Sort(all)
	return all
}

// TestDpkg_ofThisMachine: this Debian's own packages are those that dpkg knows.
func TestDpkg_ofThisMachine(t *testing.T) {
	const status = "/var/lib/dpkg/status"
	if _, err := os.Stat(status); err != nil {
		t.Skip("this machine is no Debian")
	}
	inv := scan(t, image(t, []file{{name: status[1:], content: read(t, status)}}))
	same(t, query(t, filepath.Dir(status)), told(inv, sbom.Debian, dpkgLine))
}

// TestDpkg_ofImages: so are those of images that were bootstrapped (tools/fixtures).
func TestDpkg_ofImages(t *testing.T) {
	for _, name := range []string{"debian", "golang"} {
		t.Run(name, func(t *testing.T) {
			img := fixtureImage(t, name)
			admin := t.TempDir()
			if err := os.Mkdir(filepath.Join(admin, "info"), 0o755); err != nil {
				t.Fatal(err)
			}
			extract(t, img, "var/lib/dpkg/status", filepath.Join(admin, "status"))
			inv := scan(t, img)
			same(t, query(t, admin), told(inv, sbom.Debian, dpkgLine))
			if inv.System.ID != "debian" || inv.System.Version == "" {
				t.Errorf("system %+v", inv.System)
			}
			if name == "golang" {
				got := told(inv, sbom.Go, func(p sbom.Package) string { return p.Name })
				if !slices.Contains(got, "stdlib") {
					t.Errorf("Go's own programs do not show: %q", got)
				}
			}
		})
	}
}

// fixtures is where tools/fixtures/build.sh puts what it builds.
func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := servertest.Fixtures()
	if err != nil {
		t.Skipf("there are no fixtures: %v", err)
	}
	return dir
}

func fixtureImage(t *testing.T, name string) v1.Image {
	t.Helper()
	p, err := layout.FromPath(filepath.Join(fixtures(t), "images"))
	if err != nil {
		t.Skipf("tools/fixtures/build.sh %s builds the image: %v", name, err)
	}
	index, err := p.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == name {
			img, err := index.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return img
		}
	}
	t.Skipf("tools/fixtures/build.sh %s builds the image", name)
	return nil
}

// TestGo: the modules of a program are those that it knows itself.
func TestGo(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Skip("this test was built without Go telling what of")
	}
	inv := scan(t, image(t, []file{{name: "usr/bin/app", content: read(t, own), mode: 0o755}, {name: "usr/share/app", content: read(t, own)}}))
	want := []string{"stdlib " + strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")}
	if info.Main.Path != "" {
		want = append(want, info.Main.Path+" "+strings.TrimPrefix(info.Main.Version, "(devel)"))
	}
	for _, m := range info.Deps {
		if m.Replace == nil {
			want = append(want, m.Path+" "+strings.TrimPrefix(m.Version, "(devel)"))
		}
	}
	slices.Sort(want)
	same(t, want, told(inv, sbom.Go, func(p sbom.Package) string { return p.Name + " " + p.Version }))
	for _, p := range inv.Packages {
		if diff := cmp.Diff([]string{"/usr/bin/app"}, p.At); diff != "" {
			t.Fatalf("%s: what cannot be run is no program: %s", p.Name, diff)
		}
		if p.Name == info.Main.Path && len(p.Uses) != len(want)-1 {
			t.Errorf("%s uses %d modules, want %d", p.Name, len(p.Uses), len(want)-1)
		}
	}
}

// TestGo_ofPrograms: the modules of programs of others are those that go version tells.
func TestGo_ofPrograms(t *testing.T) {
	goCommand := program(t, "go", "golang-go")
	tried := 0
	for _, name := range []string{"registry", "versitygw", "fake-gcs-server"} {
		path := filepath.Join(fixtures(t), "bin", name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, line := range lines(t, goCommand, "version", "-m", path) {
				f := strings.Fields(line)
				if len(f) >= 3 && (f[0] == "mod" || f[0] == "dep") {
					want = append(want, f[1]+" "+f[2])
				} else if len(f) == 2 && strings.HasPrefix(f[1], "go1") {
					want = append(want, "stdlib "+strings.TrimPrefix(f[1], "go"))
				}
			}
			slices.Sort(want)
			inv := scan(t, image(t, []file{{name: "bin/" + name, content: read(t, path), mode: 0o755}}))
			same(t, want, told(inv, sbom.Go, func(p sbom.Package) string { return p.Name + " " + p.Version }))
		})
	}
	if tried == 0 {
		t.Skip("tools/fixtures/build.sh registry builds a program")
	}
}

// TestPython: the packages of this machine's Python are those that it tells.
func TestPython(t *testing.T) {
	const tell = `import importlib.metadata as m
for d in m.distributions():
    try: text = d.read_text("METADATA") or d.read_text("PKG-INFO")
    except Exception: text = None
    if text and d.metadata["Name"]: print(d._path, d.metadata["Name"].lower().replace("_", "-"), d.version, sep="|")`
	var files []file
	var want []string
	for _, line := range lines(t, program(t, "python3", "python3"), "-c", tell) {
		f := strings.Split(line, "|")
		if len(f) != 3 {
			continue
		}
		for _, path := range []string{f[0], filepath.Join(f[0], "METADATA"), filepath.Join(f[0], "PKG-INFO")} {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				files = append(files, file{name: path[1:], content: read(t, path)})
				want = append(want, f[1]+" "+f[2])
			}
		}
	}
	if len(want) == 0 {
		t.Skip("this machine's Python has no packages")
	}
	slices.Sort(want)
	inv := scan(t, image(t, files))
	same(t, slices.Compact(want), told(inv, sbom.Python, func(p sbom.Package) string {
		return strings.ReplaceAll(strings.ToLower(p.Name), "_", "-") + " " + p.Version
	}))
}

// TestNode: the packages of a program that npm has installed are those that it has noted.
func TestNode(t *testing.T) {
	root := filepath.Join(fixtures(t), "azurite/node_modules")
	var lock struct {
		Packages map[string]struct{ Name, Version string }
	}
	raw, err := os.ReadFile(filepath.Join(root, ".package-lock.json"))
	if err != nil {
		t.Skipf("tools/fixtures/build.sh azurite installs a program: %v", err)
	}
	if err := json.Unmarshal(raw, &lock); err != nil {
		t.Fatal(err)
	}
	var want []string
	for path, p := range lock.Packages {
		_, name, _ := strings.Cut(path, "node_modules/")
		name = name[strings.LastIndex("/node_modules/"+name, "/node_modules/"):]
		if p.Name != "" {
			name = p.Name
		}
		want = append(want, strings.TrimPrefix(name, "node_modules/")+" "+p.Version)
	}
	slices.Sort(want)
	var files []file
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() != "package.json" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files = append(files, file{name: "app/node_modules/" + rel, content: read(t, path)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	inv := scan(t, image(t, files))
	same(t, slices.Compact(want), told(inv, sbom.Node, func(p sbom.Package) string { return p.Name + " " + p.Version }))
}

// TestApk reads a database that was recorded: Debian has no apk.
func TestApk(t *testing.T) {
	for _, at := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		inv := scan(t, image(t, []file{
			text("etc/os-release", "ID=alpine\nVERSION_ID=3.19.0\n"), {name: at, content: read(t, "testdata/apk-installed")},
		}))
		same(t, []string{
			"bash 5.2.21-r0 x86_64  GPL-3.0-or-later pkg:apk/alpine/bash@5.2.21-r0?arch=x86_64&distro=alpine-3.19.0",
			"busybox-binsh 1.36.1-r15 x86_64 busybox GPL-2.0-only pkg:apk/alpine/busybox-binsh@1.36.1-r15?arch=x86_64&distro=alpine-3.19.0&upstream=busybox",
			"musl 1.2.4_git20230717-r4 x86_64  MIT pkg:apk/alpine/musl@1.2.4_git20230717-r4?arch=x86_64&distro=alpine-3.19.0",
			"readline 8.2.1-r2 x86_64  GPL-2.0-or-later pkg:apk/alpine/readline@8.2.1-r2?arch=x86_64&distro=alpine-3.19.0",
		}, told(inv, sbom.Alpine, func(p sbom.Package) string {
			return strings.Join([]string{p.Name, p.Version, p.Arch, p.Source, p.License, p.PURL}, " ")
		}))
	}
}

func rpmLine(p sbom.Package) string {
	return strings.Join([]string{p.Name, p.Version, p.Arch, p.Epoch, p.License, p.Source}, "|")
}

// TestRPM_recorded reads rpm's older formats, which Debian's rpm does not write.
func TestRPM_recorded(t *testing.T) {
	for name, want := range map[string][]string{
		"Packages": {"libuuid|2.32.1-42.el8_8|x86_64||BSD|util-linux-2.32.1-42.el8_8.src.rpm"},
		"Packages.db": {
			"libgmp10|6.1.2-4.6.1|x86_64||LGPL-3.0-or-later OR GPL-2.0-or-later|gmp-6.1.2-4.6.1.src.rpm",
			"system-user-root|20190513-3.3.1|noarch||MIT|system-user-root-20190513-3.3.1.src.rpm",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inv := scan(t, image(t, []file{{name: "var/lib/rpm/" + name, content: unzipped(t, "testdata/rpm/"+name+".gz")}}))
			same(t, want, told(inv, sbom.RPM, rpmLine))
		})
	}
}

func unzipped(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rpmSpec is a package without files, but with a text that fills several pages.
const rpmSpec = `Name: %NAME%
Version: 1.2
Release: 3%{?dist}
Epoch: %EPOCH%
Summary: a package
License: %LICENSE%
Vendor: Nobody in particular
BuildArch: noarch
%description
%TEXT%
%files
`

// TestRPM: the packages of a database that rpm itself has made are those that it lists.
func TestRPM(t *testing.T) {
	rpm, build := program(t, "rpm", "rpm"), program(t, "rpmbuild", "rpm")
	root, work := t.TempDir(), t.TempDir()
	var made []string
	for i, name := range strings.Fields("one two three four") {
		spec := strings.NewReplacer("%NAME%", name, "%EPOCH%", string(rune('0'+i)), "%LICENSE%", []string{"MIT", "GPLv2+ and BSD"}[i%2],
			"%TEXT%", strings.Repeat("words ", i*i*3000)).Replace(rpmSpec)
		path := filepath.Join(work, name+".spec")
		if err := os.WriteFile(path, []byte(spec), 0o644); err != nil {
			t.Fatal(err)
		}
		lines(t, build, "--quiet", "-bb", "--nodebuginfo", "--define", "_topdir "+work, "--define", "_tmppath "+work, path)
		made = append(made, filepath.Join(work, "RPMS/noarch", name+"-1.2-3.noarch.rpm"))
	}
	db := filepath.Join(root, "var/lib/rpm")
	if err := os.MkdirAll(db, 0o755); err != nil {
		t.Fatal(err)
	}
	lines(t, rpm, append([]string{"--dbpath", db, "--nodeps", "--justdb", "--define", "_tmppath " + work, "-i"}, made...)...)
	want := lines(t, rpm, "--dbpath", db, "-qa", "--qf", `%{NAME}|%{VERSION}-%{RELEASE}|%{ARCH}|%{EPOCH}|%{LICENSE}|%{SOURCERPM}\n`)
	inv := scan(t, image(t, []file{{name: "var/lib/rpm/rpmdb.sqlite", content: read(t, filepath.Join(db, "rpmdb.sqlite"))}}))
	same(t, want, told(inv, sbom.RPM, rpmLine))
}

// extract writes a file of an image's one layer, or of the layers above, to a path.
func extract(t *testing.T, img v1.Image, name, to string) {
	t.Helper()
	if err := os.WriteFile(to, fileOf(t, img, name), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ownProgram is the test's own program.
func ownProgram(t *testing.T) []byte {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return read(t, own)
}
