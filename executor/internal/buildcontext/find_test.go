package buildcontext

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// packed is an archive of files with what is in them.
func packed(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// finder finds with directories of the test's, and knows one store, whose objects are
// all the archive.
func finder(t *testing.T, archive []byte) *Finder {
	return &Finder{
		Dir:   func() (string, error) { return os.MkdirTemp(t.TempDir(), "") },
		Stdin: bytes.NewReader(archive),
		Openers: []Opener{{
			Form:    "store://BUCKET/OBJECT",
			Handles: func(u *url.URL) bool { return u.Scheme == "store" || strings.HasSuffix(u.Hostname(), ".store.test") },
			Open: func(_ context.Context, u *url.URL) (io.ReadCloser, error) {
				if u.Path == "/none" {
					return nil, errors.New("there is no such object")
				}
				return io.NopCloser(bytes.NewReader(archive)), nil
			},
		}},
	}
}

func TestFinder_Kind(t *testing.T) {
	f := finder(t, nil)
	for address, want := range map[string]Kind{
		"":                                       Directory,
		"/workspace":                             Directory,
		"a b#c":                                  Directory,
		"dir:///x":                               Directory,
		"dir://x":                                Directory,
		"tar://x.tar":                            Archive,
		"tar:///x?y#z":                           Archive,
		"tar://stdin":                            Stdin,
		"tar://-":                                Stdin,
		"git://example.com/x":                    Repository,
		"git://t0k3n@example.com/x#a#abcdef":     Repository,
		"https://example.com/x.git#refs/heads/a": Repository,
		"http://example.com/x.git":               Repository,
		"ssh://git@example.com/x":                Repository,
		"git@example.com:x.git#a":                Repository,
		"https://example.com/x.tar.gz":           Web,
		"http://example.com/x.git.tgz":           Web,
		"store://bucket/x":                       Store,
		"https://account.store.test/x/y":         Store,
	} {
		kind, err := f.Kind(address)
		if err != nil || kind != want {
			t.Errorf("%s: %d %v, want %d", address, kind, err, want)
		}
		if remote := kind == Repository || kind == Web || kind == Store; kind.Remote() != remote {
			t.Errorf("%s: remote %v", address, kind.Remote())
		}
	}
	for address, code := range map[string]int{"ftp://me:s3cr3t@h/x": 64, "s3cr://h": 64, "https://me:s3cr3t@h:x/y": 64, "git://h/x#a#nothash": 65} {
		_, err := f.Kind(address)
		var coder interface{ ExitCode() int }
		if !errors.As(err, &coder) || coder.ExitCode() != code || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := f.Kind("ftp://h/x"); !strings.Contains(err.(*Error).Hint(), "store://BUCKET/OBJECT, ") {
		t.Errorf("the stores are not listed: %s", err.(*Error).Hint())
	}
}

func TestFinder_stores(t *testing.T) {
	f := finder(t, packed(t, map[string]string{"Dockerfile": "FROM scratch\n", "a": "A"}))
	for _, address := range []string{"store://bucket/x?sig=s3cr3t", "https://account.store.test/x", "tar://stdin"} {
		l, err := f.Find(t.Context(), address)
		if err != nil {
			t.Fatal(address, err)
		}
		defer l.Close()
		files, err := l.Open(Dockerfile{})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := tree.Stat(files, "a"); err != nil || e.Node.Size != 1 || strings.Contains(l.Name, "s3cr3t") {
			t.Errorf("%s: %+v %v", l.Name, e, err)
		}
	}
	_, err := f.Find(t.Context(), "store://bucket/none")
	var e *Error
	if !errors.As(err, &e) || e.ExitCode() != 66 || !strings.Contains(err.Error(), "open build context store://bucket/none: there is no such object") {
		t.Error(err)
	}
}

// Standard input that nobody closes does not keep a build that was stopped.
func TestFinder_stopped(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(packed(t, map[string]string{"a": "A"})[:600]); err != nil {
		t.Fatal(err)
	}
	f := finder(t, nil)
	f.Stdin = r
	why := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { stop(why) })
	if _, err := f.Find(ctx, "tar://stdin"); !errors.Is(err, why) {
		t.Error(err)
	}
	if _, err := f.Dockerfile(ctx, &Location{Dir: t.TempDir()}, "-"); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestLocation_Below(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"c/a/b", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "c/f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"c/in": "a", "c/out": "../outside", "c/abs": "/"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	archive := packed(t, map[string]string{"a/b/x": "", "f": ""})
	for sub, code := range map[string]int{"": 0, "/": 0, "a": 0, "/a/b/": 0, "a/./b": 0, "in/b": 0, "none": 66, "f": 66, "..": 64, "a/../..": 64, "out": 64, "abs": 64, "a/../a": 0} {
		for kind, address := range map[string]string{"directory": filepath.Join(dir, "c"), "archive": "tar://-"} {
			if kind == "archive" && (sub == "out" || sub == "abs" || sub == "in/b") {
				continue // the archive has no links
			}
			l, err := finder(t, archive).Find(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			if err := l.Below(sub); err != nil {
				got = err.(*Error).ExitCode()
				if !strings.Contains(err.Error(), l.Name) || !strings.Contains(err.Error(), sub) {
					t.Errorf("it does not name both: %v", err)
				}
			}
			if got != code {
				t.Errorf("%s of a %s: %d, want %d", sub, kind, got, code)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHandOver(t *testing.T) {
	f := finder(t, packed(t, map[string]string{"top/a": "A", "top/.dockerignore": "b", "top/b": "B"}))
	l, err := f.Find(t.Context(), "tar://-")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Below("top"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := HandOver(dir, l, Dockerfile{Name: "x", Origin: Elsewhere, Text: []byte("FROM scratch")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, d, err := TakeOver(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	files, err := l.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Stat(files, "a"); err != nil || l.Name != "tar://-" || string(d.Text) != "FROM scratch" {
		t.Error(l, d, err)
	}
	if _, err := tree.Stat(files, "b"); err == nil {
		t.Error("what is ignored is there")
	}
	if _, _, err := TakeOver(t.TempDir()); err == nil {
		t.Error("nothing was taken over, and no error")
	}
}

func TestFinder_Dockerfile(t *testing.T) {
	long := strings.Repeat("# much\n", maxText/7+2)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			io.WriteString(w, long)
		case "/none":
			w.WriteHeader(http.StatusNotFound)
		default:
			io.WriteString(w, "FROM scratch")
		}
	}))
	defer web.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch", "long": long} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := &Location{Name: dir, Dir: dir}
	with := strings.Replace(web.URL, "http://", "http://me:s3cr3t@", 1)
	for name, want := range map[string]string{
		"Dockerfile": "", with + "/x?k=s3cr3t": "", "-": "",
		"long": "larger than 16777216 bytes", with + "/long": "larger than", with + "/none": "answered 404", ".": "is a directory", "none": "neither in",
	} {
		f := &Finder{Stdin: strings.NewReader("FROM scratch")}
		d, err := f.Dockerfile(t.Context(), l, name)
		if want == "" && (err != nil || string(d.Text) != "FROM scratch" || strings.Contains(d.Name+d.Path, "s3cr3t")) {
			t.Errorf("%s: %+v %v", name, d, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A link in what was fetched leads nowhere else than it does in the image.
func TestFinder_fetchedDockerfile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := filepath.Join(dir, "checkout")
	if err := os.Mkdir(c, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"a": "../secret", "b": filepath.Join(dir, "secret"), ".dockerignore": "../secret"} {
		if err := os.Symlink(target, filepath.Join(c, name)); err != nil {
			t.Fatal(err)
		}
	}
	l := &Location{Name: "x", Dir: c, Fetched: true}
	for _, name := range []string{"a", "b", "../secret"} {
		if d, err := (&Finder{}).Dockerfile(t.Context(), l, name); err == nil {
			t.Errorf("%s: %q", name, d.Text)
		}
	}
	if ignore, err := l.Ignore(Dockerfile{}); ignore != nil || err != nil {
		t.Error(ignore, err)
	}
}
