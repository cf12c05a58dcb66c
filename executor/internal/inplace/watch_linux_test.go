package inplace

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// watchAnyway makes a driver watch although the commands of these tests have all
// capabilities: they use none to change a file unseen.
func watchAnyway(d *Driver) {
	if strings.HasPrefix(d.watching.never, "commands have ") {
		d.watching.never = ""
	}
}

// What is captured, and whether all of the root had to be looked at for it.
func TestJail_watch(t *testing.T) {
	needJail(t)
	var said string
	d := newDriver(t, Options{Debug: func(s string) { said = s }})
	if d.watching.never != "" {
		t.Skipf("nothing can be watched here: %s", d.watching.never)
	}
	base := sandboxtest.Layer("base", nil, sandboxtest.Dir("a", 0o755), sandboxtest.File("a/f", "1"), sandboxtest.Dir("b", 0o755),
		sandboxtest.File("b/g", "1"), sandboxtest.File("a/one", "1"), sandboxtest.Hard("b/two", "a/one"))
	cache := sandbox.Mount{Target: "a", Dir: &sandbox.Directory{Path: DefaultDir + "/tmp/cache"}}
	if err := os.MkdirAll(cache.Dir.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(cache.Dir.Path)
	for _, tt := range []struct {
		script string
		apply  []layer.Change
		mounts []sandbox.Mount
		all    string // why all was looked at; empty if it was not
		want   []string
	}{
		{script: "true"},
		{script: "echo 2 >>/a/f", want: []string{"+ a", "+ a/f"}},
		{script: "echo 2 >/a/new", want: []string{"+ a", "+ a/new"}},
		{script: "echo 2 >>/b/two", want: []string{"+ a", "+ a/one", "+ b", "+ b/two"}},
		{script: "chmod 700 /b", want: []string{"+ b"}},
		{script: "rm -r /b", want: []string{"- b"}},
		{script: "chmod 711 /", want: []string{"+ "}},
		{script: "ln /a/f /b/h; echo 2 >>/b/h; rm /b/h", all: "a new file went again", want: []string{"+ a", "+ a/f", "+ b"}},
		{script: "mkdir /n; ln /a/f /n/h; echo 2 >>/n/h; rm -r /n", all: "a directory was made or moved", want: []string{"+ a", "+ a/f"}},
		{script: "ln /a/f /kaniko/tmp/h; echo 2 >>/kaniko/tmp/h; rm /kaniko/tmp/h", all: "a new file went again", want: []string{"+ a", "+ a/f"}},
		{script: "ln /a/f /b/h", all: "a file has names that are not known", want: []string{"+ a", "+ a/f", "+ b", "+ b/h"}},
		{script: "mkdir /a/d", all: "a directory was made or moved", want: []string{"+ a", "+ a/d"}},
		{script: "mv /a /b/", all: "a directory was made or moved", want: []string{"- a", "+ b", "+ b/a", "+ b/a/f", "+ b/a/one"}},
		{script: "echo x >/a/cached", mounts: []sandbox.Mount{cache}, all: "directories were mounted, where nothing is watched"},
		{script: "true", apply: []layer.Change{sandboxtest.Dir("c", 0o755), sandboxtest.Dir("c/d", 0o755), sandboxtest.File("c/d/e", "1")}},
		{script: "echo 2 >>/c/d/e", apply: []layer.Change{sandboxtest.Dir("c", 0o755), sandboxtest.Dir("c/d", 0o755), sandboxtest.File("c/d/e", "1")},
			want: []string{"+ c", "+ c/d", "+ c/d/e"}},
		{script: "echo 2 >>/b/h", apply: []layer.Change{sandboxtest.Hard("b/h", "a/f")}, want: []string{"+ a", "+ a/f", "+ b", "+ b/h"}},
	} {
		t.Run(tt.script, func(t *testing.T) {
			box := open(t, d, sandboxtest.Shell(t), base)
			defer box.Close()
			sh(t, box, "true")
			want(t, "before", commit(t, box, ""))
			if tt.apply != nil {
				if err := box.Apply(t.Context(), sandboxtest.Layer("more", nil, tt.apply...)); err != nil {
					t.Fatal(err)
				}
			}
			err := box.Run(t.Context(), sandbox.Process{Args: []string{"/bin/sh", "-ec", tt.script}, Env: []string{"PATH=/bin"}, Mounts: tt.mounts})
			if err != nil {
				t.Fatal(err)
			}
			want(t, "changes", commit(t, box, ""), tt.want...)
			if all := strings.TrimPrefix(said, "looked at all "); tt.all == "" && all != said || tt.all != "" && !strings.HasSuffix(all, ": "+tt.all) {
				t.Errorf("%s, because of %q", said, tt.all)
			}
			// Whatever it was, it is over.
			sh(t, box, "true")
			want(t, "changes by nobody", commit(t, box, ""))
			if strings.HasPrefix(said, "looked at all") {
				t.Errorf("then: %s", said)
			}
		})
	}
}

// Where commands can change files unseen, or not all changes are wanted, all is looked
// at.
func TestJail_notWatched(t *testing.T) {
	needJail(t)
	for _, tt := range []struct {
		mode Mode
		why  string
	}{{Full, "commands have CAP_SYS_ADMIN, and can change files unseen"}, {Redo, "not all changes of files are wanted"}} {
		var said string
		d, err := New(t.Context(), Options{Mode: tt.mode, Force: true, Debug: func(s string) { said = s }})
		if err != nil {
			t.Fatal(err)
		}
		box := open(t, d, sandboxtest.Shell(t))
		sh(t, box, "echo >/new")
		want(t, "changes", commit(t, box, ""), "+ new")
		if !strings.HasPrefix(said, "looked at all") || !strings.HasSuffix(said, tt.why) {
			t.Error(said)
		}
		box.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDeafTest(t *testing.T) {
	if why := deafRoot() + deafKernel(); why != "" {
		t.Skip(why)
	}
	dir := t.TempDir()
	if why, err := deafTest(dir); why != "" || err != nil {
		t.Errorf("%q, %v", why, err)
	}
	want(t, "left", names(t, dir))
}

// BenchmarkUnchanged is a command that changes nothing of 100,000 files.
func BenchmarkUnchanged(b *testing.B) {
	needJail(b)
	for _, watch := range []bool{false, true} {
		b.Run(fmt.Sprintf("watch=%v", watch), func(b *testing.B) {
			said := ""
			d := newDriver(b, Options{Debug: func(s string) { said = s }})
			if d.watching.never = "not wanted"; watch {
				d.watching.never = ""
			}
			var cs []layer.Change
			for i := range 100_000 {
				p := tree.Path(fmt.Sprintf("d%03d/e%02d", i/1000, i/10%100))
				if i%10 == 0 {
					cs = append(cs, sandboxtest.Dir(p, 0o755))
				}
				cs = append(cs, sandboxtest.File(p.Join(fmt.Sprint(i)), "x"))
			}
			box := open(b, d, sandboxtest.Shell(b), sandboxtest.Layer("many", nil, cs...))
			sh(b, box, "true")
			commit(b, box, "first")
			var capture time.Duration
			for b.Loop() {
				sh(b, box, "true")
				start := time.Now()
				if got := commit(b, box, ""); len(got) != 0 {
					b.Errorf("captured: %q", got)
				}
				capture += time.Since(start)
			}
			b.ReportMetric(float64(capture.Nanoseconds())/float64(b.N), "capture-ns/op")
			b.Log(said)
			b.StopTimer()
			box.Close()
		})
	}
}
