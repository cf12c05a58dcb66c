//go:build e2e

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// password is what the package registries ask for. It is in no image.
const password = "open-sesame-4711"

// packages stand in for the places that Dockerfiles fetch from: an npm registry, an index of Python packages, a Go module proxy, a Maven repository,
// Debian packages and a page of downloads. What they serve is in tools/projects/packages and among the fixtures.
type packages struct {
	addr    string
	sources string // tools/projects/packages
	// The versions of what is in sources, as the projects ask for them, by name.
	npmVersions, pypiVersions, goVersions map[string]string

	mu     sync.Mutex
	served []string // the archives asked for since the last look
}

func servePackages(t *testing.T, sources, fixtures string) *packages {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &packages{
		addr: l.Addr().String(), sources: sources,
		npmVersions:  map[string]string{"tiny-router": "1.2.0", "@acme/greeting": "2.0.1", "shout-build": "0.3.0"},
		pypiVersions: map[string]string{"tinyweb": "1.4.0", "wordcount": "0.2.0"},
		goVersions:   map[string]string{"example.com/tiny/mux": "v1.1.0", "example.com/tiny/ids": "v0.2.0"},
	}
	mux := http.NewServeMux()
	mux.Handle("/npm/", authorized(http.HandlerFunc(p.npm)))
	mux.Handle("/pypi/", authorized(http.HandlerFunc(p.pypi)))
	mux.Handle("/go/", http.HandlerFunc(p.goProxy))
	mux.Handle("/maven/", authorized(http.StripPrefix("/maven/", http.FileServer(http.Dir(filepath.Join(fixtures, "maven"))))))
	mux.Handle("/apt/", http.StripPrefix("/apt/", http.FileServer(http.Dir(filepath.Join(fixtures, "apt")))))
	mux.Handle("/downloads/", http.HandlerFunc(p.downloads))
	server := &http.Server{Handler: p.counted(mux), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return p
}

// counted notes what is asked for that is an archive of a package: what a cache has is not to be fetched again. An index may be.
func (p *packages) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains([]string{".tgz", ".whl", ".zip", ".jar", ".pom", ".deb"}, path.Ext(r.URL.Path)) {
			p.mu.Lock()
			p.served = append(p.served, r.URL.Path)
			p.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// taken is what was asked for since it was called last.
func (p *packages) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.served
	p.served = nil
	return out
}

func authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if given != password && r.Header.Get("Authorization") != "Bearer "+password {
			w.Header().Set("WWW-Authenticate", `Basic realm="packages"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// npm answers with a package's document and with its archive.
func (p *packages) npm(w http.ResponseWriter, r *http.Request) {
	name, file, archive := strings.Cut(strings.TrimPrefix(r.URL.Path, "/npm/"), "/-/")
	version, ok := p.npmVersions[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	dir := filepath.Join(p.sources, "npm", name)
	tgz, err := packed(dir)
	manifest, err2 := os.ReadFile(dir + "/package.json")
	if err != nil || err2 != nil {
		http.Error(w, "unreadable", http.StatusInternalServerError)
		return
	}
	want := path.Base(name) + "-" + version + ".tgz"
	if archive {
		if file != want {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "public, immutable, max-age=31557600")
		_, _ = w.Write(tgz)
		return
	}
	var document map[string]any
	if err := json.Unmarshal(manifest, &document); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha512.Sum512(tgz)
	document["dist"] = map[string]string{
		"tarball":   "http://" + p.addr + "/npm/" + name + "/-/" + want,
		"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"name": name, "dist-tags": map[string]string{"latest": version}, "versions": map[string]any{version: document},
	})
}

// pypi answers with the page of a project, and with its wheel.
func (p *packages) pypi(w http.ResponseWriter, r *http.Request) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/pypi/"), "/")
	name, _, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "-")
	version, ok := p.pypiVersions[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	wheel, err := wheel(filepath.Join(p.sources, "pypi", name), name, version)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	file := name + "-" + version + "-py3-none-any.whl"
	switch {
	case kind == "simple":
		sum := sha256.Sum256(wheel)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=\"/pypi/files/%s#sha256=%s\">%s</a></body></html>\n", file, hex.EncodeToString(sum[:]), file)
	case kind == "files" && rest == file:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "max-age=365000000, immutable, public")
		_, _ = w.Write(wheel)
	default:
		http.NotFound(w, r)
	}
}

// goProxy answers as `go help goproxy` asks.
func (p *packages) goProxy(w http.ResponseWriter, r *http.Request) {
	module, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/go/"), "/@v/")
	version, ok := p.goVersions[module]
	if !ok {
		http.NotFound(w, r)
		return
	}
	dir := filepath.Join(p.sources, "go", module)
	switch file {
	case "list":
		fmt.Fprintln(w, version)
	case version + ".info":
		fmt.Fprintf(w, "{\"Version\":%q,\"Time\":\"2025-01-01T00:00:00Z\"}\n", version)
	case version + ".mod":
		http.ServeFile(w, r, dir+"/go.mod")
	case version + ".zip":
		b, err := zipped(dir, module+"@"+version+"/", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(b)
	default:
		http.NotFound(w, r)
	}
}

// downloads serves two archives that no package manager knows.
func (p *packages) downloads(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "extension-3.1.tar.gz":
		_, _ = w.Write(extension())
	case "vendor.tar":
		_, _ = w.Write(tarred(map[string]string{"charts/charts.js": "chart()\n", "LICENCE": "do as you like\n"}))
	default:
		http.NotFound(w, r)
	}
}

// extension is the archive that the project `link` knows the checksum of.
func extension() []byte {
	return gzipped(tarred(map[string]string{"extension-3.1/VERSION": "3.1\n", "extension-3.1/lib/run": "#!/bin/sh\n"}))
}

func extensionSum() string {
	sum := sha256.Sum256(extension())
	return hex.EncodeToString(sum[:])
}

// packed is a directory as npm packs it. Nothing is compressed, so that the archive, and its sum in package-lock.json, depends on no compressor.
func packed(dir string) ([]byte, error) {
	files, err := readTree(dir)
	if err != nil {
		return nil, err
	}
	inside := map[string]string{}
	for name, text := range files {
		inside["package/"+name] = text
	}
	return gzipped(tarred(inside)), nil
}

// wheel packs the one module of a pure Python package; tinyweb has a command too.
func wheel(dir, name, version string) ([]byte, error) {
	info := name + "-" + version + ".dist-info/"
	extra := map[string]string{
		info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: standin\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	if name == "tinyweb" {
		extra[info+"entry_points.txt"] = "[console_scripts]\ntinyweb = tinyweb:main\n"
	}
	record := name + ".py,,\n"
	for _, file := range slices.Sorted(maps.Keys(extra)) {
		record += file + ",,\n"
	}
	extra[info+"RECORD"] = record + info + "RECORD,,\n"
	return zipped(dir, "", extra)
}

// zipped is a directory below a prefix, and further files, stored.
func zipped(dir, prefix string, extra map[string]string) ([]byte, error) {
	files, err := readTree(dir)
	if err != nil {
		return nil, err
	}
	inside := map[string]string{}
	for name, text := range files {
		inside[prefix+name] = text
	}
	for name, text := range extra {
		inside[name] = text
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(inside)) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := f.Write([]byte(inside[name])); err != nil {
			return nil, err
		}
	}
	err = z.Close()
	return out.Bytes(), err
}

func tarred(files map[string]string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode := int64(0o644)
		if strings.HasPrefix(files[name], "#!") {
			mode = 0o755
		}
		// A bytes.Buffer takes everything.
		_ = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(files[name])), ModTime: time.Unix(1735689600, 0)})
		_, _ = w.Write([]byte(files[name]))
	}
	_ = w.Close()
	return out.Bytes()
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.NoCompression)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// readTree reads the small files of a package.
func readTree(dir string) (map[string]string, error) {
	out := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, name)
		out[name] = string(b)
		return err
	})
	return out, err
}
