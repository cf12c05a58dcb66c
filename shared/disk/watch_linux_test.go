package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// watchTest is a directory under test.
type watchTest struct {
	testing.TB
	dir    string
	d      *Dir
	w      *Watch
	o      Scan
	stamps *Stamps
}

func newWatchTest(t testing.TB, populate ...func(in func(string) string) error) *watchTest {
	t.Helper()
	x := &watchTest{TB: t, dir: t.TempDir()}
	for _, f := range populate {
		if err := f(x.in); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if x.d, err = Open(x.dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if x.w, err = x.d.NewWatch(nil); err != nil {
		t.Skipf("nothing can be watched here: %v", err)
	}
	t.Cleanup(func() {
		if err := x.w.Close(); err != nil {
			t.Error(err)
		}
		x.d.Close()
	})
	x.o = Scan{Watch: x.w, Workers: 2, Held: []tree.Path{"aside"}}
	diff, err := x.d.Scan(t.Context(), x.o, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.stamps = diff.Stamps
	if err := x.w.Aside("aside"); err != nil {
		t.Fatal(err)
	}
	if err := x.w.Err(); err != nil {
		t.Skipf("not everything can be watched here: %v", err)
	}
	return x
}

func (x *watchTest) in(p string) string { return filepath.Join(x.dir, p) }

// step compares what is found by the watch with what a scan finds. It tells why a scan
// was necessary; empty if it was not.
func (x *watchTest) step(what any) (unsure string) {
	x.Helper()
	m := x.w.Take()
	var l Looked
	var err error
	if unsure = m.Unsure; unsure == "" {
		if l, err = x.d.Look(x.Context(), x.o, x.stamps, m.Entries); err != nil {
			x.Fatal(err)
		}
		unsure = l.Unsure
	}
	o := x.o
	if unsure == "" {
		o.Watch = nil // the watch must do without
	}
	all, err := x.d.Scan(x.Context(), o, x.stamps)
	if err != nil {
		x.Fatal(err)
	}
	x.stamps = all.Stamps
	if unsure == "" {
		if a, b := differences(all), differences(l.Diff); !slices.Equal(a, b) {
			x.Fatalf("%v: the watch finds (+) not what a scan does (-):\n%s", what, cmp.Diff(a, b))
		}
		if a, b := stampLines(all.Stamps), stampLines(l.Stamps); !slices.Equal(a, b) {
			x.Fatalf("%v: stamps by the watch (+) and by a scan (-):\n%s", what, cmp.Diff(a, b))
		}
		x.stamps = l.Stamps
	}
	if err := x.w.Confirm(); err != nil {
		x.Fatal(err)
	}
	return unsure
}

// stampLines are all that stamps say.
func stampLines(s *Stamps) []string {
	slices.Sort(s.linked)
	lines := []string{fmt.Sprint(s.own, s.newest, s.linked)}
	var add func(f *folder)
	add = func(f *folder) {
		f.each(func(name string, stamp uint64, sub *folder) {
			lines = append(lines, name, strconv.FormatUint(stamp, 36))
			if sub != nil {
				add(sub)
				lines = append(lines, "/")
			}
		})
	}
	add(&s.root)
	return lines
}

// differences are all that a diff says, in order.
func differences(d Diff) []string {
	var lines []string
	for _, s := range d.Changed {
		lines = append(lines, fmt.Sprintf("%+v", s))
	}
	for _, p := range d.Gone {
		lines = append(lines, "- "+string(p))
	}
	slices.Sort(lines)
	return lines
}

func writeIn(paths ...string) func(in func(string) string) error {
	return func(in func(string) string) error {
		for _, p := range paths {
			if err := os.MkdirAll(filepath.Dir(in(p)), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(in(p), []byte(p), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

func linkIn(from, to string) func(in func(string) string) error {
	return func(in func(string) string) error { return os.Link(in(from), in(to)) }
}

// writeThere changes a file without making it.
func writeThere(p string) error {
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND|unix.O_NONBLOCK, 0) // it may be a FIFO
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("x")
	return err
}

// makeThere makes a file, or makes one empty.
func makeThere(p string) error {
	f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("new")
	return err
}

// writeMapped changes a file through memory alone, when it is closed already.
func writeMapped(p string) error {
	f, err := os.OpenFile(p, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		f.Close()
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	f.Close()
	if err != nil {
		return err
	}
	b[0]++
	return unix.Munmap(b)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestWatch(t *testing.T) {
	const (
		directed = "a directory was made or moved"
		unknown  = "a file has names that are not known"
	)
	for _, tt := range []struct {
		name   string
		do     func(in func(string) string) error
		unsure string
		want   []string // some of what changed
	}{
		{name: "nothing", do: func(func(string) string) error { return nil }},
		{"write", func(in func(string) string) error { return writeThere(in("a/b/c")) }, "", []string{"a/b/c"}},
		{"memory", func(in func(string) string) error { return writeMapped(in("a/b/c")) }, "", []string{"a/b/c"}},
		{"truncate", func(in func(string) string) error { return os.Truncate(in("a/b/c"), 0) }, "", []string{"a/b/c"}},
		{"new file", func(in func(string) string) error { return os.WriteFile(in("a/new"), nil, 0o600) }, "", []string{"a", "a/new"}},
		{"mode of a directory", func(in func(string) string) error { return os.Chmod(in("a/b"), 0o700) }, "", []string{"a/b"}},
		{"mode of the root", func(in func(string) string) error { return os.Chmod(in(""), 0o711) }, "", []string{""}},
		{"time of a link", func(in func(string) string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, in("a/link"), make([]unix.Timespec, 2), unix.AT_SYMLINK_NOFOLLOW)
		}, "", []string{"a/link"}},
		{"attribute", func(in func(string) string) error {
			return unix.Setxattr(in("a/b/c"), "user.x", []byte("1"), 0)
		}, "", []string{"a/b/c"}},
		{"other name", func(in func(string) string) error { return writeThere(in("z/two")) }, "", []string{"a/one", "z/two"}},
		{"one name less", func(in func(string) string) error { return os.Remove(in("z/two")) }, "", []string{"a/one", "- z/two"}},
		{"one name more", func(in func(string) string) error { return os.Link(in("a/one"), in("z/three")) }, "", []string{"a/one", "z/two", "z/three"}},
		{"second name", func(in func(string) string) error { return os.Link(in("a/b/c"), in("z/c")) }, unknown, []string{"a/b/c", "z/c"}},
		{"second name moved", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), os.Rename(in("z/c"), in("z/d")), writeThere(in("z/d")))
		}, unknown, []string{"a/b/c", "z/d"}},
		{"second name for a moment", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), writeThere(in("z/c")), os.Remove(in("z/c")))
		}, vanished, []string{"a/b/c"}},
		{"second name replaced", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), writeThere(in("z/c")), os.Rename(in("z/z"), in("z/c")))
		}, vanished, []string{"a/b/c", "z/c", "- z/z"}},
		{"second name moved and replaced", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), os.Rename(in("z/c"), in("a/d")), writeThere(in("a/d")), os.Rename(in("z/z"), in("a/d")))
		}, vanished, []string{"a/b/c"}},
		{"second name exchanged", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")),
				unix.Renameat2(unix.AT_FDCWD, in("z/c"), unix.AT_FDCWD, in("z/z"), unix.RENAME_EXCHANGE),
				writeThere(in("z/z")), os.Remove(in("z/z")))
		}, vanished, []string{"a/b/c"}},
		{"second name aside", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("aside/in/c")), writeThere(in("aside/in/c")), os.Remove(in("aside/in/c")))
		}, vanished, []string{"a/b/c"}},
		{"second name aside that stays", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("aside/in/c")), writeThere(in("aside/in/c")))
		}, strayed, []string{"a/b/c"}},
		{"second name moved aside", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), os.Rename(in("z/c"), in("aside/in/x")), writeThere(in("aside/in/x")))
		}, strayed, []string{"a/b/c"}},
		{"file moved aside and back", func(in func(string) string) error {
			return first(os.Rename(in("a/b/c"), in("aside/c")), writeThere(in("aside/c")), os.Rename(in("aside/c"), in("a/b/c")))
		}, "", []string{"a/b/c"}},
		{"new file aside", func(in func(string) string) error { return os.WriteFile(in("aside/in/new"), nil, 0o600) }, "", nil},
		{"second name in a directory for a moment", func(in func(string) string) error {
			return first(os.Mkdir(in("new"), 0o755), os.Link(in("a/b/c"), in("new/c")), writeThere(in("new/c")), os.RemoveAll(in("new")))
		}, directed, []string{"a/b/c"}},
		{"second name in a directory aside", func(in func(string) string) error {
			return first(os.Mkdir(in("aside/new"), 0o755), os.Link(in("a/b/c"), in("aside/new/c")), writeThere(in("aside/new/c")), os.RemoveAll(in("aside/new")))
		}, directed, []string{"a/b/c"}},
		{"only name", func(in func(string) string) error {
			return first(os.Link(in("a/b/c"), in("z/c")), os.Remove(in("a/b/c")), writeThere(in("z/c")))
		}, "", []string{"- a/b/c", "z/c"}},
		{"moved over", func(in func(string) string) error { return os.Rename(in("a/b/c"), in("z/z")) }, "", []string{"- a/b/c", "z/z"}},
		{"a file written beside", func(in func(string) string) error {
			return first(os.WriteFile(in("a/b/tmp"), nil, 0o600), os.Rename(in("a/b/tmp"), in("a/b/c")))
		}, "", []string{"a/b/c"}},
		{"a descriptor from before", func(in func(string) string) error {
			f, err := os.OpenFile(in("a/b/c"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := os.Rename(in("a/b/c"), in("z/c")); err != nil {
				return err
			}
			return os.WriteFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), nil, 0)
		}, "", []string{"- a/b/c", "z/c"}},
		{"new directory", func(in func(string) string) error { return os.MkdirAll(in("n/e/w"), 0o755) }, directed, []string{"n", "n/e", "n/e/w"}},
		{"moved directory", func(in func(string) string) error { return os.Rename(in("a/b"), in("z/b")) }, directed, []string{"- a/b", "z/b", "z/b/c"}},
		{"directory out and back", func(in func(string) string) error {
			return first(os.Rename(in("a"), in("aside/a")), writeThere(in("aside/a/b/c")), os.Rename(in("aside/a"), in("a")))
		}, directed, []string{"a", "a/b/c"}},
		{"directory into a new one", func(in func(string) string) error {
			return first(os.Mkdir(in("n"), 0o755), os.Rename(in("a"), in("n/a")), writeThere(in("n/a/b/c")))
		}, "a directory was moved", []string{"- a", "n/a/b/c"}},
		{"directory deleted", func(in func(string) string) error { return os.RemoveAll(in("a/b")) }, "", []string{"a", "- a/b"}},
		{"directory made a file", func(in func(string) string) error {
			return first(os.RemoveAll(in("a/b")), os.WriteFile(in("a/b"), nil, 0o600))
		}, "", []string{"a/b"}},
		{"aside", func(in func(string) string) error { return writeThere(in("aside/in/x")) }, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newWatchTest(t, writeIn("a/b/c", "a/one", "z/z", "aside/in/x"), linkIn("a/one", "z/two"),
				func(in func(string) string) error { return os.Symlink("to", in("a/link")) })
			time.Sleep(12 * time.Millisecond) // kernels before 6.13 have a coarse clock
			before := x.stamps
			if err := tt.do(x.in); err != nil {
				t.Fatal(err)
			}
			if unsure := x.step(tt.name); unsure != tt.unsure {
				t.Errorf("unsure: %q, want %q", unsure, tt.unsure)
			}
			all, err := x.d.Scan(t.Context(), Scan{Held: x.o.Held}, before)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, s := range all.Changed {
				found[string(s.Path)] = true
			}
			for _, p := range all.Gone {
				found["- "+string(p)] = true
			}
			for _, w := range tt.want {
				if !found[w] {
					t.Errorf("the scan does not find %q: this test tests nothing", w)
				}
			}
			// It goes on, wherever directories are now.
			err = filepath.WalkDir(x.dir, func(p string, e os.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				return writeThere(p)
			})
			if err != nil {
				t.Fatal(err)
			}
			if unsure := x.step("the step after"); unsure != "" && !(tt.unsure == strayed && unsure == unknown) {
				t.Error(unsure)
			}
		})
	}
}

// What the watch cannot know it says, once, and then knows again.
func TestWatch_doubt(t *testing.T) {
	for _, tt := range []struct {
		unsure string
		cause  func(x *watchTest)
	}{
		// Too slow for so many events is a machine, not a test: the event is made here.
		{"the kernel had more events than it keeps", func(x *watchTest) {
			x.w.mu.Lock()
			defer x.w.mu.Unlock()
			x.w.event(&unix.InotifyEvent{Wd: -1, Mask: unix.IN_Q_OVERFLOW}, "")
		}},
		{"a directory is not watched any more", func(x *watchTest) {
			for wd, dir := range x.w.dirs {
				if dir.path == "a/b" {
					if _, err := unix.InotifyRmWatch(int(x.w.file.Fd()), uint32(wd)); err != nil {
						x.Fatal(err)
					}
				}
			}
			if err := unix.SetNonblock(int(x.w.file.Fd()), true); err != nil { // which Fd ends
				x.Fatal(err)
			}
		}},
		{"too much happened", func(x *watchTest) {
			for i := range maxMarks {
				x.w.Again(tree.Path(fmt.Sprint("a/", i)))
			}
		}},
		{"said by somebody", func(x *watchTest) { x.w.Doubt("said by somebody") }},
	} {
		t.Run(tt.unsure, func(t *testing.T) {
			x := newWatchTest(t, writeIn("a/b/c", "z/z"))
			tt.cause(x)
			if err := first(writeThere(x.in("a/b/c")), writeThere(x.in("z/z"))); err != nil {
				t.Fatal(err)
			}
			if got := x.step("doubt"); got != tt.unsure {
				t.Errorf("unsure: %q, want %q", got, tt.unsure)
			}
			if err := writeThere(x.in("a/b/c")); err != nil {
				t.Fatal(err)
			}
			if got := x.step("the step after"); got != "" {
				t.Error(got)
			}
		})
	}
}

func TestWatch_limit(t *testing.T) {
	x := newWatchTest(t, writeIn("a/b/c", "z/z"))
	x.w.limit = x.w.Dirs()
	if err := writeIn("new/file")(x.in); err != nil {
		t.Fatal(err)
	}
	if got := x.step("a new directory"); got == "" || x.w.Err() == nil {
		t.Errorf("unsure: %q, error %v", got, x.w.Err())
	}
	if got := x.step("nothing"); got == "" {
		t.Error("it goes on without one directory")
	}
}

// Between two commands the driver changes what it says, and what else comes is not lost.
func TestWatch_idle(t *testing.T) {
	x := newWatchTest(t, writeIn("a/b/c", "z/z"))
	err := first(writeThere(x.in("a/b/c")), writeThere(x.in("z/z")), os.Mkdir(x.in("z/new"), 0o755), os.Mkdir(x.in("a/unseen"), 0o755),
		os.WriteFile(x.in("z/tmp"), nil, 0o600), os.Remove(x.in("z/tmp")))
	if err != nil {
		t.Fatal(err)
	}
	marked := x.w.Idle()
	slices.Sort(marked)
	want := []tree.Path{"a", "a/b", "a/b/c", "a/unseen", "z", "z/new", "z/tmp", "z/z"}
	if diff := cmp.Diff(want, marked); diff != "" {
		t.Error(diff)
	}
	if x.stamps, err = x.d.Refresh(t.Context(), x.o, x.stamps, []tree.Path{"", "z"}); err != nil {
		t.Fatal(err)
	}
	if err := x.w.Confirm(); err != nil {
		t.Fatal(err)
	}
	if got := x.step("a directory that nobody knew"); got != "/a/unseen came unseen" {
		t.Errorf("unsure: %q", got)
	}
	if err := os.WriteFile(x.in("z/new/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := x.step("in a directory that the driver made"); got != "" {
		t.Error(got)
	}
}

// The watch finds what a scan finds, whatever is done.
func TestWatch_random(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 29))
	x := newWatchTest(t, func(in func(string) string) error {
		for _, dir := range []string{"", "a", "b", "c", "a/a", "a/b", "b/c", "a/a/a", "c/a", "aside", "aside/a"} {
			if err := os.MkdirAll(in(dir), 0o755); err != nil {
				return err
			}
			for i := range 30 {
				p := in(filepath.Join(dir, fmt.Sprint(i)))
				if err := os.WriteFile(p, []byte(p), 0o644); err != nil {
					return err
				}
				if i%10 == 0 {
					if err := first(os.Symlink("to", p+"l"), os.Link(p, in(fmt.Sprintf("%d-%d", len(dir), len(p)*100+i)))); err != nil {
						continue
					}
				}
			}
		}
		return nil
	})
	var files, dirs []string
	list := func() {
		files, dirs = files[:0], dirs[:0]
		err := filepath.WalkDir(x.dir, func(p string, e os.DirEntry, err error) error {
			switch {
			case err != nil || p == x.dir || p == x.in("aside"):
			case e.IsDir():
				dirs = append(dirs, p)
			default:
				files = append(files, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func() string { return files[rng.IntN(len(files))] }
	dir := func() string { return dirs[rng.IntN(len(dirs))] }
	fresh := func() string { return filepath.Join(dir(), fmt.Sprint("n", rng.IntN(40))) }
	acts := []func() error{
		func() error { return writeThere(file()) },
		func() error { return writeMapped(file()) },
		func() error { return os.Chmod(file(), os.FileMode(0o600+rng.IntN(0o200))) },
		func() error { return os.Chmod(dir(), os.FileMode(0o700+rng.IntN(0o100))) },
		func() error { return os.Lchown(file(), 0, rng.IntN(3)) },
		func() error { return unix.Setxattr(file(), "user.x", []byte{byte(rng.IntN(9))}, 0) },
		func() error { return unix.Setxattr(dir(), "user.x", []byte{byte(rng.IntN(9))}, 0) },
		func() error { return os.Truncate(file(), int64(rng.IntN(9))) },
		func() error { return makeThere(fresh()) },
		func() error { return os.Symlink("somewhere", fresh()) },
		func() error { return unix.Mkfifo(fresh(), 0o600) },
		func() error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, file(), []unix.Timespec{{}, {Sec: rng.Int64N(99)}}, unix.AT_SYMLINK_NOFOLLOW)
		},
		func() error { return os.Remove(file()) },
		func() error { return os.Rename(file(), fresh()) },
		func() error { return os.Rename(file(), file()) },
		func() error { return os.Link(file(), fresh()) },
		func() error {
			p := fresh()
			return first(os.Link(file(), p), writeThere(p), os.Remove(p))
		},
		func() error {
			return unix.Renameat2(unix.AT_FDCWD, file(), unix.AT_FDCWD, file(), unix.RENAME_EXCHANGE)
		},
		func() error { // most rounds shall not need a scan for this
			if rng.IntN(4) > 0 {
				return nil
			}
			return os.Rename(dir(), fresh())
		},
		func() error {
			if rng.IntN(4) > 0 {
				return nil
			}
			return os.Mkdir(fresh(), 0o755)
		},
		func() error { return os.Remove(dir()) },
	}
	const rounds = 2000
	reasons := map[string]int{}
	for round := range rounds {
		list()
		var done []int
		for range rng.IntN(4) {
			i := rng.IntN(len(acts))
			_ = acts[i]() // some cannot be: also that must not matter
			done = append(done, i)
		}
		if len(files) < 200 {
			for range 20 {
				_ = makeThere(fresh())
			}
		}
		reasons[x.step(fmt.Sprint("round ", round, ": ", done))]++
	}
	t.Log(reasons)
	if reasons[""] < rounds/3 {
		t.Errorf("too few rounds show anything: %v", reasons)
	}
}

// BenchmarkWatch is what watching adds to the first scan, of 1,000 directories with ten
// files each.
func BenchmarkWatch(b *testing.B) {
	for _, watch := range []bool{false, true} {
		b.Run(fmt.Sprintf("watch=%v", watch), func(b *testing.B) {
			x := newWatchTest(b, func(in func(string) string) error {
				for i := range 10_000 {
					if err := writeIn(fmt.Sprintf("%d/%d", i/10, i))(in); err != nil {
						return err
					}
				}
				return nil
			})
			for b.Loop() {
				o := Scan{Workers: 2}
				if watch {
					var err error
					if o.Watch, err = x.d.NewWatch(nil); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := x.d.Scan(b.Context(), o, nil); err != nil {
					b.Fatal(err)
				}
				if watch {
					if err := o.Watch.Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// A directory aside may be deleted while it is looked at, as a driver's trash is.
func TestWatch_asideGoes(t *testing.T) {
	x := newWatchTest(t, func(in func(string) string) error { return os.Mkdir(in("aside"), 0o755) })
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			err := os.MkdirAll(x.in("aside/a/b/c"), 0o755)
			if err == nil {
				err = Remove(x.in("aside/a"))
			}
			if err != nil {
				<-stop
				stopped <- err
				return
			}
		}
	}()
	for range 5000 {
		if err := x.w.Aside("aside"); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := x.w.Err(); err != nil {
		t.Error(err)
	}
}
