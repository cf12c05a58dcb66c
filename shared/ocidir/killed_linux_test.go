package ocidir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/ocidir"
)

// noMounts is the status of a child that could not mount.
const noMounts = 3

var errMount = errors.New("mount read-only")

// Variables of a child, which is the test itself started anew.
const (
	childTask = "OCIDIR_TEST_CHILD"
	childDir  = "OCIDIR_TEST_DIR"
)

func TestMain(m *testing.M) {
	tasks := map[string]func(context.Context, string) error{"write": writeForever, "read only": readOnly}
	if task, ok := tasks[os.Getenv(childTask)]; ok {
		if err := task(context.Background(), os.Getenv(childDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, errMount) {
				os.Exit(noMounts)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, task, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childTask+"="+task, childDir+"="+dir)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// writeForever makes, replaces and removes refs until it is killed.
func writeForever(ctx context.Context, dir string) error {
	d, err := ocidir.Open(dir)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		name := fmt.Sprintf("group%d/ref", rand.N(4))
		if n%5 == 4 {
			err = d.RemoveRef(name)
		} else {
			err = writeOne(ctx, d, name)
		}
		if err == nil && n%7 == 6 {
			err = d.WriteIndex(ctx)
		}
		if err == nil && n%11 == 10 {
			_, err = d.Sweep(ctx, time.Now().Add(time.Hour), 0)
		}
		if err != nil {
			return err
		}
	}
}

func writeOne(ctx context.Context, d *ocidir.Dir, name string) error {
	release, err := d.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	r := ocidir.Ref{}
	for range 3 {
		// Of few kinds, so that several refs share a blob and writers write the same.
		content := []byte(strings.Repeat(fmt.Sprint(rand.N(10)), 1+rand.N(5)*100_000))
		desc, err := d.PutBytes(ctx, content)
		if err != nil {
			return err
		}
		r.Blobs = append(r.Blobs, desc.Digest)
		r.Content = fmt.Appendln(r.Content, desc.Digest, desc.Size)
		r.Manifest = &desc
	}
	return d.SetRef(ctx, name, r)
}

// Whatever moment writers are killed at, what readers find is whole.
func TestKilled(t *testing.T) {
	d := create(t)
	for range 20 {
		var writers []*exec.Cmd
		for range 2 {
			c := child(t, "write", d.Path())
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			writers = append(writers, c)
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		for _, c := range writers {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); c.ProcessState.Exited() {
				t.Fatalf("a writer ended by itself: %v", err)
			}
			checkAll(t, d)
		}
	}
	names, err := d.Refs("")
	if err != nil || len(names) == 0 {
		t.Errorf("refs at the end: %q, %v", names, err)
	}
}

// checkAll reads everything that refs lead to.
func checkAll(t *testing.T, d *ocidir.Dir) {
	t.Helper()
	release, err := d.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	names, err := d.Refs("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		r, err := d.Ref(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the other writer has removed it
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(r.Content)) {
			var digest string
			var desc v1.Descriptor
			if _, err := fmt.Sscan(line, &digest, &desc.Size); err != nil {
				t.Fatal(err)
			}
			if desc.Digest, err = v1.NewHash(digest); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t.Context(), d, desc); err != nil {
				t.Fatalf("ref %s: %v", name, err)
			}
		}
	}
}

// readOnly is the child of TestReadOnly, in a mount namespace of its own.
func readOnly(ctx context.Context, dir string) error {
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	}
	if err == nil {
		err = syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	if err != nil {
		return errors.Join(errMount, err)
	}
	d, err := ocidir.Open(dir)
	if err != nil {
		return err
	}
	if r, err := d.Ref("a"); err != nil || string(r.Content) != "content" {
		return fmt.Errorf("ref: %v, %w", r, err)
	}
	if got, err := read(ctx, d, describe("content")); got != "content" || err != nil {
		return fmt.Errorf("blob: %q, %w", got, err)
	}
	var damaged *ocidir.DamagedError
	if _, err := read(ctx, d, describe("damaged")); !errors.As(err, &damaged) || damaged.Aside {
		return fmt.Errorf("damaged blob: %w", err)
	}
	if !d.Keep(describe("content")) || d.Writable() {
		return errors.New("it can be written to")
	}
	if err := d.SetRef(ctx, "b", ocidir.Ref{}); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("a ref was made: %w", err)
	}
	return nil
}

func TestReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	d := create(t)
	put(t, d, "content")
	if err := os.WriteFile(blobFile(d, put(t, d, "damaged")), []byte("DAMAGED"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := d.SetRef(t.Context(), "a", ocidir.Ref{Content: []byte("content")}); err != nil {
		t.Fatal(err)
	}
	before := listing(t, d.Path())
	c := child(t, "read only", d.Path())
	c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	if err := c.Start(); errors.Is(err, syscall.EPERM) {
		t.Skip("mount namespaces are not granted")
	} else if err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	if c.ProcessState.ExitCode() == noMounts {
		t.Skip("mounts are not granted")
	}
	if err != nil {
		t.Error(err)
	}
	if after := listing(t, d.Path()); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		fmt.Fprintln(&b, p, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
