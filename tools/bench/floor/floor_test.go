package floor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain_untarAndWalk(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range []tar.Header{
		{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "a/f", Size: 1, Mode: 0o644}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a"},
	} {
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	layer, root := filepath.Join(dir, "layer"), filepath.Join(dir, "root")
	if err := os.WriteFile(layer, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Main([]string{"untar", root, layer}); err != nil {
		t.Fatal(err)
	}
	// The link is not followed.
	if n, err := Walk(root); n != 3 || err != nil {
		t.Errorf("%d entries, %v; want 3", n, err)
	}
	for _, kind := range []string{"sha256", "compress", "walk"} {
		if err := Main([]string{kind, root}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := Main([]string{kind, filepath.Join(dir, "missing")}); err == nil {
			t.Errorf("%s of what is not there succeeds", kind)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "one", "b": "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := files([]string{dir, filepath.Join(dir, "a")}, &b); err != nil || b.String() != "onetwoone" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestSend(t *testing.T) {
	s, err := StartSink()
	if err != nil {
		t.Fatal(err)
	}
	if err := Main([]string{"send", s.Addr, "3000000"}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := Main([]string{"send", s.Addr, "1"}); err == nil {
		t.Error("sent to nobody")
	}
}

func TestMain_shell(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := Main([]string{"sh", dir, "echo x >f"}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "f")); string(text) != "x\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := Main([]string{"sh", dir, "false; true"}); err == nil {
		t.Error("a command that fails is no error")
	}
}
