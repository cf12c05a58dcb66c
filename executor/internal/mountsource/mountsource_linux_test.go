package mountsource

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func source(t *testing.T) (tree.FS, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"d/f": "file", "d/sub/g": "other"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Link(filepath.Join(dir, "d/f"), filepath.Join(dir, "d/sub/hard")),
		os.Link(filepath.Join(dir, "d/f"), filepath.Join(dir, "outside")),
		os.Symlink("/d", filepath.Join(dir, "link")),
		os.Symlink("f", filepath.Join(dir, "d/to-f")),
		unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.Chtimes(filepath.Join(dir, "d/sub"), time.Time{}, time.Unix(1000, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := disk.Open(dir, disk.Options{Xattrs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, dir
}

func TestMaterialize(t *testing.T) {
	fsys, _ := source(t)
	got, err := Materialize(t.Context(), &sandbox.Bind{FS: fsys, From: "link"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"f": "file", "to-f": "file", "sub/g": "other", "sub/hard": "file"} {
		if b, err := os.ReadFile(filepath.Join(got, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	a, err := os.Stat(filepath.Join(got, "f"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(filepath.Join(got, "sub/hard"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) || a.Mode().Perm() != 0o640 {
		t.Errorf("f is %v; the same as its link: %v", a.Mode(), os.SameFile(a, b))
	}
	if st, err := os.Stat(filepath.Join(got, "sub")); err != nil || st.ModTime().Unix() != 1000 || st.Mode().Perm() != 0o750 {
		t.Errorf("sub: %v, %v", st, err)
	}

	got, err = Materialize(t.Context(), &sandbox.Bind{FS: fsys, From: "link/to-f"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(got); err != nil || !st.Mode().IsRegular() {
		t.Errorf("a link to a file: %v, %v", st, err)
	}
	if b, err := os.ReadFile(got); err != nil || string(b) != "file" {
		t.Errorf("a link to a file: %q, %v", b, err)
	}

	got, err = Materialize(t.Context(), &sandbox.Bind{FS: fsys}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(got, "outside")); err != nil || string(b) != "file" {
		t.Errorf("the whole root: %q, %v", b, err)
	}
}

func TestMaterialize_errors(t *testing.T) {
	fsys, _ := source(t)
	if _, err := Materialize(t.Context(), &sandbox.Bind{FS: fsys, From: "d/none"}, t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/d/none") {
		t.Errorf("missing: %v", err)
	}
	if _, err := Materialize(t.Context(), &sandbox.Bind{FS: fsys, From: "pipe"}, t.TempDir()); !errors.Is(err, errKind) {
		t.Errorf("a pipe: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Materialize(ctx, &sandbox.Bind{FS: fsys, From: "d"}, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMaterialize_sparse(t *testing.T) {
	fsys, dir := source(t)
	const size = 64 << 20
	if err := os.Truncate(filepath.Join(dir, "d/f"), size); err != nil {
		t.Fatal(err)
	}
	got, err := Materialize(t.Context(), &sandbox.Bind{FS: fsys, From: "d/f"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(got, &st); err != nil {
		t.Fatal(err)
	}
	const block = 512
	if st.Size != size || st.Blocks*block > size/8 {
		t.Errorf("%d bytes, %d of them on disk", st.Size, st.Blocks*block)
	}
}

func TestWriteSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 2345
	}
	s := &sandbox.Secret{Data: []byte("pass"), Mode: 0o440, UID: uid, GID: gid}
	if err := WriteSecret(path, s); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode != unix.S_IFREG|0o440 || int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("mode %o, owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "pass" {
		t.Errorf("%q, %v", b, err)
	}
	if err := WriteSecret(path, s); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "pass" {
		t.Errorf("the other file has gone: %q, %v", b, err)
	}
}

func TestListen(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("n", 120))
	if err := os.MkdirAll(filepath.Dir(long), 0o755); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	for _, path := range []string{filepath.Join(short, "s"), long} {
		waits := make(chan struct{}, 1)
		s := &sandbox.Socket{Mode: 0o600, UID: os.Getuid(), GID: os.Getgid(), Serve: func(ctx context.Context, c io.ReadWriteCloser) {
			b := make([]byte, 5)
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			io.WriteString(c, strings.ToUpper(string(b)))
			waits <- struct{}{}
			io.Copy(io.Discard, c) // until close
		}}
		stop, err := Listen(t.Context(), path, s)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Lstat(path); err != nil || st.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%v, %v", st, err)
		}
		if _, err := Listen(t.Context(), path, s); err == nil {
			t.Error("two listen at one path")
		}
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		// A client has the same trouble with long paths.
		alias := filepath.Join(short, "alias")
		if err := os.Symlink(path, alias); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("unix", alias)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "HELLO" {
			t.Errorf("%q, %v", b, err)
		}
		<-waits
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, b); err == nil {
			t.Error("the connection goes on")
		}
		for _, err := range []error{c.Close(), os.Remove(alias)} {
			if err != nil {
				t.Error(err)
			}
		}
		if left, err := dir.Readdirnames(-1); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		dir.Close()
	}
}
