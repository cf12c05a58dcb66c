package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func scan(t testing.TB, d *disk.Dir, o disk.Scan, before *disk.Stamps) disk.Diff {
	t.Helper()
	diff, err := d.Scan(t.Context(), o, before)
	if err != nil {
		t.Fatal(err)
	}
	return diff
}

func sh(t testing.TB, root string, steps ...func(string) error) {
	t.Helper()
	for _, f := range steps {
		if err := f(root); err != nil {
			t.Fatal(err)
		}
	}
}

func diffLines(d disk.Diff) []string {
	var lines []string
	for _, s := range d.Changed {
		lines = append(lines, fmt.Sprintf("%s %d %q", s.Path, s.Node.Type, s.Node.Link))
	}
	for _, p := range d.Gone {
		lines = append(lines, "- "+string(p))
	}
	slices.Sort(lines)
	return lines
}

func touchBack(path, content string, perm os.FileMode) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), perm); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, st.ModTime())
}

func TestScan(t *testing.T) {
	root := t.TempDir()
	in := func(p string) string { return filepath.Join(root, p) }
	for _, p := range []string{"a/b/c", "a/b/d", "a.x/y", "a-", "keep/mount/in", "z/z/z"} {
		if err := os.MkdirAll(filepath.Dir(in(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(p), []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, workers := range []int{0, 3} {
		d := open(t, root, disk.Options{})
		o := disk.Scan{Held: []tree.Path{"keep/mount"}, Workers: workers}
		before := scan(t, d, o, nil)
		if got := before.Stamps.Len(); got != 12 {
			t.Errorf("%d entries, want 12", got)
		}
		if d := diffLines(scan(t, d, o, before.Stamps)); len(d) > 0 {
			t.Errorf("changed by nobody: %q", d)
		}
		time.Sleep(20 * time.Millisecond) // kernels before 6.13 have a coarse clock
		steps := []func(string) error{
			func(string) error { return touchBack(in("a/b/c"), "2", 0o644) },
			func(string) error { return os.Rename(in("z/z"), in("z/y")) },
			func(string) error { return os.Symlink("to", in("a.x/l")) },
			func(string) error { return os.WriteFile(in("keep/mount/new"), nil, 0o644) },
			func(string) error { return os.Remove(in("a-")) },
			func(string) error { return os.Mkdir(in("a-"), 0o755) },
			func(string) error { return os.WriteFile(in("a-/in"), nil, 0o644) },
		}
		sh(t, root, steps...)
		after := scan(t, d, o, before.Stamps)
		want := []string{
			" 2 \"\"", "- z/z", "a- 2 \"\"", "a-/in 1 \"\"", "a.x 2 \"\"", "a.x/l 3 \"to\"", "a/b/c 1 \"\"",
			"z 2 \"\"", "z/y 2 \"\"", "z/y/z 1 \"\"",
		}
		if diff := cmp.Diff(want, diffLines(after)); diff != "" {
			t.Errorf("workers %d:\n%s", workers, diff)
		}
		// What Refresh is told of is no change any more.
		fresh, err := d.Refresh(t.Context(), o, before.Stamps, []tree.Path{"", "z", "a.x", "a/b", "not/there"})
		if err != nil {
			t.Fatal(err)
		}
		if got := diffLines(scan(t, d, o, fresh)); len(got) > 0 {
			t.Errorf("after refresh: %q", got)
		}
		fresh, err = d.Refresh(t.Context(), o, before.Stamps, []tree.Path{"", "z", "a/b"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a.x/l 3 \"to\""}, diffLines(scan(t, d, o, fresh))); diff != "" {
			t.Errorf("after part of a refresh:\n%s", diff)
		}
		if fresh.Newest().Before(before.Stamps.Newest()) {
			t.Error("the newest change got older")
		}
		// Back to where the next turn starts.
		sh(t, root,
			func(string) error { return os.Rename(in("z/y"), in("z/z")) },
			func(string) error { return os.Remove(in("a.x/l")) },
			func(string) error { return os.RemoveAll(in("a-")) },
			func(string) error { return os.WriteFile(in("a-"), nil, 0o644) },
		)
	}
}

func TestScan_fields(t *testing.T) {
	root := t.TempDir()
	p := filepath.Join(root, "f")
	if err := os.WriteFile(p, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := open(t, root, disk.Options{})
	for _, tt := range []struct {
		name string
		do   func() error
		sees []disk.Fields
	}{
		{"rewrite", func() error { return os.WriteFile(p, []byte("2"), 0o644) }, []disk.Fields{disk.AllFields, disk.Redo, disk.TimeOnly}},
		{"mode", func() error { return os.Chmod(p, 0o600) }, []disk.Fields{disk.AllFields, disk.Redo}},
		{"rewrite and set time back", func() error { return touchBack(p, "3", 0o600) }, []disk.Fields{disk.AllFields}},
		{"attribute", func() error { return unix.Setxattr(p, "user.x", []byte("y"), 0) }, []disk.Fields{disk.AllFields}},
		{"nothing", func() error { return nil }, nil},
	} {
		before := map[disk.Fields]*disk.Stamps{}
		for f := disk.AllFields; f <= disk.TimeOnly; f++ {
			before[f] = scan(t, d, disk.Scan{Fields: f}, nil).Stamps
		}
		time.Sleep(20 * time.Millisecond)
		if err := tt.do(); errors.Is(err, unix.ENOTSUP) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for f := disk.AllFields; f <= disk.TimeOnly; f++ {
			seen := slices.ContainsFunc(scan(t, d, disk.Scan{Fields: f}, before[f]).Changed, func(s disk.Stat) bool { return s.Path == "f" })
			if want := slices.Contains(tt.sees, f); seen != want {
				t.Errorf("%s: fields %d see it: %v, want %v", tt.name, f, seen, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Scan(ctx, disk.Scan{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkScan(b *testing.B) {
	needRoot(b)
	root := b.TempDir()
	if err := disk.WriteAll(b.Context(), root, disk.WriterOptions{}, small, nil); err != nil {
		b.Fatal(err)
	}
	d := open(b, root, disk.Options{})
	before := scan(b, d, disk.Scan{}, nil).Stamps
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				scan(b, d, disk.Scan{Workers: workers}, before)
			}
		})
	}
}

func TestRestamp(t *testing.T) {
	root := t.TempDir()
	in := func(p string) string { return filepath.Join(root, p) }
	for _, err := range []error{
		os.MkdirAll(in("a/b/c"), 0o755), os.Mkdir(in("z"), 0o755),
		os.WriteFile(in("a/b/f"), []byte("x"), 0o644), os.WriteFile(in("a/g"), []byte("x"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := disk.Open(root, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o := disk.Scan{}
	stamps := scan(t, d, o, nil).Stamps
	is := func(p tree.Path, want bool) {
		t.Helper()
		if got, err := d.Stamped(o, stamps, p); err != nil || got != want {
			t.Errorf("%q is stamped: %v, %v; want %v", p, got, err, want)
		}
	}
	for _, p := range []tree.Path{"", "a", "a/b", "a/b/c", "a/b/f", "a/g", "z"} {
		is(p, true)
	}
	for _, p := range []tree.Path{"none", "a/b/f/x", "a/none/x", "b"} {
		is(p, false)
	}
	// A mode differs however coarse the clock is.
	for _, p := range []string{"a", "a/b", "a/b/f", "z"} {
		if err := os.Chmod(in(p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []tree.Path{"a", "a/b", "a/b/f", "z"} {
		is(p, false)
	}
	for _, p := range []tree.Path{"a", "a/b", "none", "z"} {
		if err := d.Restamp(o, stamps, p); err != nil {
			t.Error(err)
		}
	}
	is("a", true)
	is("a/b", true)
	is("a/b/c", true)
	is("a/b/f", false)
	if got := diffLines(scan(t, d, o, stamps)); !slices.Equal(got, []string{`a/b/f 1 ""`}) {
		t.Errorf("changed: %q", got)
	}
	// What is something else now stays a change.
	if err := errors.Join(os.Remove(in("z")), os.WriteFile(in("z"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := d.Restamp(o, stamps, "z"); err != nil {
		t.Error(err)
	}
	is("z", false)
	if err := os.Remove(in("z")); err != nil {
		t.Fatal(err)
	}
	is("z", false)
	if err := d.Restamp(o, stamps, "z"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
}
