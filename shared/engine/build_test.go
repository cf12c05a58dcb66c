package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// image makes a base image with one layer of the given files per element.
func image(t *testing.T, layers ...map[string]string) (*plan.Image, v1.Image) {
	t.Helper()
	img := v1.Image(empty.Image)
	for _, files := range layers {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(5, 0)}
			if target, ok := strings.CutPrefix(files[name], "-> "); ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
			} else if target, ok := strings.CutPrefix(files[name], "== "); ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, target, 0
			}
			if err := tw.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				io.WriteString(tw, files[name])
			}
		}
		tw.Close()
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return &plan.Image{Ref: "base", Digest: digest, Config: config}, img
}

func run(args ...string) *plan.Step {
	return &plan.Step{Op: plan.Run{Args: args, Dir: "/"}, Text: "RUN " + strings.Join(args, " ")}
}

func copyStep(from *plan.Source, dest string, sources ...string) *plan.Step {
	c := plan.Copy{From: from, Sources: sources, Dest: dest, DestDir: strings.HasSuffix(dest, "/")}
	return &plan.Step{Op: c, Text: "COPY " + strings.Join(append(sources, dest), " ")}
}

func stage(i int, base plan.Base, steps ...*plan.Step) *plan.Stage {
	s := &plan.Stage{Index: i, Base: base, Steps: steps, Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
	s.Config = v1.ConfigFile{OS: "linux", Architecture: "amd64"}
	return s
}

func stages(all ...*plan.Stage) *plan.Plan { return &plan.Plan{Stages: all, Target: all[len(all)-1]} }

// bench is a build under test.
type bench struct {
	engine.Config
	driver *memory
	taker  *taker
}

func newBench(t *testing.T, limit int, p *plan.Plan, images ...v1.Image) *bench {
	t.Helper()
	b := &bench{driver: newMemory(limit), taker: &taker{}}
	bases := shelf{}
	for _, img := range images {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		bases[digest] = img
	}
	files := &tree.Tree{}
	for name, text := range map[string]string{"app": "application", "etc/passwd": "app:x:7:8::/:/bin/sh\n"} {
		files.Put(tree.Clean(name), tree.Node{Type: tree.File, Mode: 0o600, Size: int64(len(text)), MTime: time.Unix(9, 0)})
		files.Keep(tree.Clean(name), text)
	}
	b.Config = engine.Config{
		Plan: p, Context: files, Bases: bases, Sandboxes: func(context.Context) (sandbox.Driver, error) { return b.driver, nil }, Exporter: b.taker,
		Spool: t.TempDir(), Created: time.Unix(1e9, 0),
	}
	return b
}

// files is the file system of an image, a line a path, without directories.
func files(t *testing.T, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var tr tree.Tree
	for _, l := range layers {
		content := func(yield func(layer.Change, error) bool) {
			for c, err := range layer.Open(l) {
				if err == nil && c.Open != nil {
					r, err := c.Open()
					if err != nil {
						t.Fatal(err)
					}
					text, _ := io.ReadAll(r)
					c.Node.Link = string(text)
				}
				if !yield(c, err) {
					return
				}
			}
		}
		if err := layer.Overlay(&tr, content); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for e, err := range tr.Walk(tree.Root) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Node.IsDir():
		case e.Hard != "":
			lines = append(lines, fmt.Sprintf("%s==%s", e.Path, e.Hard))
		default:
			lines = append(lines, fmt.Sprintf("%s=%s", e.Path, e.Node.Link))
		}
	}
	return strings.Join(lines, " ")
}

// layerCount is how many layers and history entries an image has.
func layerCount(t *testing.T, img v1.Image) (layers, history int) {
	t.Helper()
	all, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return len(all), len(config.History)
}

func TestBuild(t *testing.T) {
	debian, debianImage := image(t,
		map[string]string{"bin/sh": "shell", "etc/old": "old", "lib": "-> usr/lib", "usr/lib/x": "X", "h1": "linked", "h2": "== h1"},
		map[string]string{"etc/.wh.old": "", "etc/passwd": "user:x:3:4::/:\n"})
	type c struct {
		name   string
		plan   func() *plan.Plan
		want   string
		layers int
	}
	for _, c := range []c{
		{"copy only", func() *plan.Plan {
			return stages(stage(0, plan.Base{Image: debian}, copyStep(nil, "/lib/", "app")))
		}, "bin/sh=shell etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib usr/lib/app=application usr/lib/x=X", 3},
		{"metadata only", func() *plan.Plan {
			return stages(stage(0, plan.Base{Image: debian}, &plan.Step{Op: plan.Meta{}}))
		}, "bin/sh=shell etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib usr/lib/x=X", 2},
		{"scratch", func() *plan.Plan {
			return stages(stage(0, plan.Base{}, copyStep(nil, "/", "app")))
		}, "app=application", 1},
		{"run sees copy and base", func() *plan.Plan {
			return stages(stage(0, plan.Base{Image: debian}, copyStep(nil, "/a", "app"), run("cat", "a"), run("cat", "usr/lib/x"), run("write", "b", "B"), run("rm", "bin")))
		}, "a=application b=B etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib usr/lib/x=X", 5},
		{"run that changes nothing leaves no layer", func() *plan.Plan {
			return stages(stage(0, plan.Base{}, run("write", "a", "1"), run("cat", "a"), run("write", "a", "1")))
		}, "a=1", 1},
		{"copy from a stage that ran", func() *plan.Plan {
			build := stage(0, plan.Base{Image: debian}, run("write", "out", "made"))
			return stages(build, stage(1, plan.Base{}, copyStep(&plan.Source{Stage: build}, "/bin/", "out", "h*")))
		}, "bin/h1=linked bin/h2=linked bin/out=made", 1},
		{"copy from a stage into one that runs", func() *plan.Plan {
			build := stage(0, plan.Base{Image: debian}, run("write", "out", "made"))
			return stages(build, stage(1, plan.Base{Image: debian}, run("write", "x", "X"), copyStep(&plan.Source{Stage: build}, "/o", "out"), run("cat", "o")))
		}, "bin/sh=shell etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib o=made usr/lib/x=X x=X", 4},
		{"copy from an image", func() *plan.Plan {
			return stages(stage(0, plan.Base{}, copyStep(&plan.Source{Image: debian}, "/d/", "lib", "h2", "etc")))
		}, "d/h2=linked d/passwd=user:x:3:4::/:\n d/x=X", 1},
		{"copy of a directory with links from an image", func() *plan.Plan {
			return stages(stage(0, plan.Base{}, copyStep(&plan.Source{Image: debian}, "/all", "/")))
		}, "all/bin/sh=shell all/etc/passwd=user:x:3:4::/:\n all/h1=linked all/h2==all/h1 all/lib=usr/lib all/usr/lib/x=X", 1},
		{"parents from an image", func() *plan.Plan {
			return stages(stage(0, plan.Base{}, withParents(copyStep(&plan.Source{Image: debian}, "/p/", "**/x", "*/passwd"), "lib")))
		}, "p/etc/passwd=user:x:3:4::/:\n p/usr/lib/x=X", 1},
		{"parents from a stage that ran", func() *plan.Plan {
			build := stage(0, plan.Base{Image: debian}, run("write", "usr/lib/y", "Y"))
			return stages(build, stage(1, plan.Base{}, withParents(copyStep(&plan.Source{Stage: build}, "/", "./usr/./lib/*"), "lib/x")))
		}, "lib/y=Y", 1},
		{"copy from a stage without a command", func() *plan.Plan {
			a := stage(0, plan.Base{Image: debian}, copyStep(nil, "/new/app", "app"))
			return stages(a, stage(1, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/", "new", "bin/sh")))
		}, "app=application sh=shell", 2 - 1},
		{"from a stage that ran", func() *plan.Plan {
			a := stage(0, plan.Base{Image: debian}, run("write", "a", "A"), run("rm", "bin"))
			return stages(a, stage(1, plan.Base{Stage: a}, run("cat", "a"), copyStep(nil, "/lib/", "app")))
		}, "a=A etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib usr/lib/app=application usr/lib/x=X", 5},
		{"from a stage that ran, without running", func() *plan.Plan {
			a := stage(0, plan.Base{Image: debian}, run("write", "a", "A"), run("rm", "bin"))
			return stages(a, stage(1, plan.Base{Stage: a}, copyStep(nil, "/lib/", "app")))
		}, "a=A etc/passwd=user:x:3:4::/:\n h1=linked h2==h1 lib=usr/lib usr/lib/app=application usr/lib/x=X", 5},
		{"one stage read by three", func() *plan.Plan {
			a := stage(0, plan.Base{}, run("write", "a", "A"), run("write", "b", "B"))
			b := stage(1, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/from-a", "a"), run("write", "c", "C"))
			c := stage(2, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/from-a", "b"), run("write", "d", "D"))
			return stages(a, b, c, stage(3, plan.Base{}, copyStep(&plan.Source{Stage: b}, "/b/", "*"), copyStep(&plan.Source{Stage: c}, "/c/", "*"), copyStep(&plan.Source{Stage: a}, "/", "a")))
		}, "a=A b/c=C b/from-a=A c/d=D c/from-a=B", 3},
	} {
		for _, limit := range []int{0, 1} {
			for _, squash := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/limit %d/squash %v", c.name, limit, squash), func(t *testing.T) {
					b := newBench(t, limit, c.plan(), debianImage)
					b.Squash = squash
					img, err := engine.Build(t.Context(), b.Config)
					if err != nil {
						t.Fatal(err)
					}
					if got := files(t, img); got != c.want {
						t.Errorf("\n got %q\nwant %q", got, c.want)
					}
					if layers, _ := layerCount(t, img); !squash && layers != c.layers {
						t.Errorf("%d layers, want %d", layers, c.layers)
					}
					if b.taker.image != img {
						t.Error("the image was not exported")
					}
					for _, l := range must(img.Layers()) {
						if h, _ := l.Digest(); !slices.Contains(b.taker.layers, h) {
							t.Errorf("layer %s was not exported on its own", h)
						}
					}
					if b.driver.open != 0 {
						t.Errorf("%d sandboxes left open", b.driver.open)
					}
				})
			}
		}
	}
}

// withParents makes a COPY one with --parents and --exclude.
func withParents(s *plan.Step, exclude ...string) *plan.Step {
	op := s.Op.(plan.Copy)
	op.Parents, op.Exclude = true, exclude
	s.Op = op
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestBuild_sameDigestWhateverTheDriver(t *testing.T) {
	debian, debianImage := image(t, map[string]string{"bin/sh": "shell", "etc/x": "x"})
	p := func() *plan.Plan {
		a := stage(0, plan.Base{Image: debian}, run("write", "a", "A"), run("rm", "etc/x"))
		return stages(a, stage(1, plan.Base{Image: debian}, copyStep(&plan.Source{Stage: a}, "/k", "a"), run("write", "z", "Z")))
	}
	var digests []v1.Hash
	for _, limit := range []int{0, 1, 0} {
		b := newBench(t, limit, p(), debianImage)
		b.Clamp = true
		digests = append(digests, must(must(engine.Build(t.Context(), b.Config)).Digest()))
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Error(digests)
	}
}

func TestBuild_independentStagesOverlap(t *testing.T) {
	for name, limits := range map[string]engine.Limits{
		"each of the two stages may work":        {Stages: 2},
		"one may, but two commands run":          {Stages: 1, Commands: 2},
		"more commands than there are to be run": {Stages: 1, Commands: 8},
	} {
		t.Run(name, func(t *testing.T) {
			a := stage(0, plan.Base{}, run("meet"), run("write", "a", "A"))
			b := stage(1, plan.Base{}, run("meet"), run("write", "b", "B"))
			p := stages(a, b, stage(2, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/", "a"), copyStep(&plan.Source{Stage: b}, "/", "b")))
			bn := newBench(t, 0, p)
			bn.Limits = limits
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			img, err := engine.Build(ctx, bn.Config)
			if err != nil {
				t.Fatal(err)
			}
			if got := files(t, img); got != "a=A b=B" {
				t.Error(got)
			}
		})
	}
}

// independent is a plan of n stages with these steps, and one that copies from all
// what is called as their number.
func independent(n int, steps func(name string) []*plan.Step) *plan.Plan {
	var all []*plan.Stage
	var copies []*plan.Step
	for i := range n {
		name := strconv.Itoa(i)
		all = append(all, stage(i, plan.Base{}, steps(name)...))
		copies = append(copies, copyStep(&plan.Source{Stage: all[i]}, "/", name))
	}
	return stages(append(all, stage(n, plan.Base{}, copies...))...)
}

func TestBuild_commandsAreLimited(t *testing.T) {
	bn := newBench(t, 0, independent(6, func(name string) []*plan.Step { return []*plan.Step{run("linger"), run("write", name, "x")} }))
	bn.Limits = engine.Limits{Stages: 4, Commands: 2}
	if _, err := engine.Build(t.Context(), bn.Config); err != nil {
		t.Fatal(err)
	}
	if most := bn.driver.mostRunning; most > 2 {
		t.Errorf("%d commands ran at the same time", most)
	}
}

// lockedCache is a Host with one cache that one command may use at a time.
type lockedCache struct {
	engine.Host
	lock chan struct{}
}

func (l lockedCache) Cache(ctx context.Context, _ engine.Cache) (string, func() error, error) {
	select {
	case l.lock <- struct{}{}:
		return "/", func() error { <-l.lock; return nil }, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// A command that has ended needs a place to give its cache back.
func TestBuild_lockedCacheIsGivenBack(t *testing.T) {
	bn := newBench(t, 0, independent(4, func(name string) []*plan.Step {
		step := run("write", name, "x")
		op := step.Op.(plan.Run)
		op.Mounts = []plan.Mount{{Type: dockerfile.MountCache, Target: "/c", Sharing: dockerfile.SharingLocked}}
		step.Op = op
		return []*plan.Step{step}
	}))
	bn.Limits = engine.Limits{Stages: 1, Commands: 4}
	bn.Host = lockedCache{lock: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := engine.Build(ctx, bn.Config); err != nil {
		t.Fatal(err)
	}
}

func TestBuild_noSandboxWithoutRun(t *testing.T) {
	debian, debianImage := image(t, map[string]string{"x": "X"})
	a := stage(0, plan.Base{Image: debian})
	b := newBench(t, 1, stages(a, stage(1, plan.Base{Image: debian}, copyStep(&plan.Source{Stage: a}, "/y", "x"))), debianImage)
	b.Sandboxes = nil
	if _, err := engine.Build(t.Context(), b.Config); err != nil {
		t.Fatal(err)
	}
}

func TestBuild_baseIsNotReadWhereNoFileIsTouched(t *testing.T) {
	debian, debianImage := image(t, map[string]string{"x": "X"})
	b := newBench(t, 1, stages(stage(0, plan.Base{Image: debian}, &plan.Step{Op: plan.Meta{}})), debianImage)
	exporter := &recorder{}
	b.Exporter = exporter
	if _, err := engine.Build(t.Context(), b.Config); err != nil {
		t.Fatal(err)
	}
	if b.driver.applied != 0 || len(exporter.layers) != 1 {
		t.Errorf("%d layers applied, %d exported", b.driver.applied, len(exporter.layers))
	}
}

// recorder is an exporter that reads nothing.
type recorder struct {
	mu     sync.Mutex
	layers []v1.Layer
}

func (r *recorder) Layer(_ context.Context, l v1.Layer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.layers = append(r.layers, l)
	return nil
}
func (r *recorder) Image(context.Context, v1.Image) error { return nil }

func TestBuild_noLayerThatNobodyWants(t *testing.T) {
	a := stage(0, plan.Base{}, copyStep(nil, "/x", "app"), run("write", "a", "A"))
	b := newBench(t, 1, stages(a, stage(1, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/", "a", "x"))))
	img, err := engine.Build(t.Context(), b.Config)
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, img); got != "a=A x=application" {
		t.Error(got)
	}
	names, err := os.ReadDir(b.Spool)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 {
		t.Errorf("%d layers in the spool, want the image's one", len(names))
	}
}

func TestBuild_failures(t *testing.T) {
	for _, limit := range []int{0, 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			failing := run("fail")
			a := stage(0, plan.Base{}, run("write", "a", "A"), failing)
			b := newBench(t, limit, stages(a, stage(1, plan.Base{}, run("write", "x", "X"), copyStep(&plan.Source{Stage: a}, "/", "a"))))
			_, err := engine.Build(t.Context(), b.Config)
			var step *engine.StepError
			var exit *sandbox.ExitError
			if !errors.As(err, &step) || step.Step != failing || !errors.As(err, &exit) || exit.Status != 3 {
				t.Errorf("failing command: %v", err)
			}
			if b.taker.image != nil {
				t.Error("an image was exported")
			}
			if b.driver.open != 0 {
				t.Errorf("%d sandboxes left open", b.driver.open)
			}

			b = newBench(t, limit, stages(stage(0, plan.Base{}, copyStep(nil, "/x", "missing"))))
			if _, err = engine.Build(t.Context(), b.Config); !errors.As(err, &step) || !strings.Contains(err.Error(), `"missing"`) {
				t.Errorf("missing source: %v", err)
			}

			refused := errors.New("quota exceeded")
			b = newBench(t, limit, stages(stage(0, plan.Base{}, copyStep(nil, "/x", "app"))))
			b.taker.fail = refused
			if _, err = engine.Build(t.Context(), b.Config); !errors.Is(err, refused) || b.taker.image != nil {
				t.Errorf("failing upload: %v", err)
			}

			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("stopped by the user")
			cancel(stop)
			b = newBench(t, limit, stages(stage(0, plan.Base{}, run("write", "a", "A"))))
			if _, err = engine.Build(ctx, b.Config); !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func TestBuild_leavesNothingOpenInTheSpool(t *testing.T) {
	a := stage(0, plan.Base{}, run("write", "a", "A"))
	b := newBench(t, 1, stages(a, stage(1, plan.Base{}, copyStep(&plan.Source{Stage: a}, "/", "a"), run("write", "b", "B"))))
	if _, err := engine.Build(t.Context(), b.Config); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(b.Spool)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "files-") {
			t.Errorf("%s is left", n.Name())
		}
	}
}

func TestBuild_history(t *testing.T) {
	debian, debianImage := image(t, map[string]string{"x": "X"})
	a := stage(0, plan.Base{Image: debian}, run("write", "a", "A"), &plan.Step{Op: plan.Meta{}, CreatedBy: "ENV A=1"})
	p := stages(a, stage(1, plan.Base{Stage: a}, copyStep(nil, "/app", "app")))
	img, err := engine.Build(t.Context(), newBench(t, 1, p, debianImage).Config)
	if err != nil {
		t.Fatal(err)
	}
	config := must(img.ConfigFile())
	var got []string
	for _, h := range config.History {
		got = append(got, fmt.Sprintf("%s/%v", h.CreatedBy, h.EmptyLayer))
	}
	if want := []string{"/false", "/false", "ENV A=1/true", "/false"}; !slices.Equal(got, want) {
		t.Errorf("history %q, want %q", got, want)
	}
	if !config.Created.Time.Equal(time.Unix(1e9, 0)) {
		t.Errorf("created %s", config.Created)
	}
}
