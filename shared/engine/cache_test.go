package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// cupboard is a cache in memory.
type cupboard struct {
	mu       sync.Mutex
	entries  map[cachekey.Key]*cache.Entry
	texts    map[cachekey.Key]cachekey.Definition
	names    map[string][]cachekey.Key // by the instruction
	journals []cache.Journal
	gets     int
	fail     error // of every question
	full     error // of every Put
	reads    int   // of layers
}

func newCupboard() *cupboard {
	return &cupboard{entries: map[cachekey.Key]*cache.Entry{}, texts: map[cachekey.Key]cachekey.Definition{}, names: map[string][]cachekey.Key{}}
}

func (c *cupboard) Get(_ context.Context, key cachekey.Key) (*cache.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	if c.fail != nil {
		return nil, c.fail
	}
	if e, ok := c.entries[key]; ok {
		return e, nil
	}
	return nil, cache.ErrMiss
}

func (c *cupboard) Put(_ context.Context, r cache.Result) error {
	c.mu.Lock()
	full := c.full
	c.mu.Unlock()
	if full != nil {
		return full
	}
	e := &cache.Entry{Key: r.Definition.Key(), Created: r.Created, After: r.After, From: "cupboard"}
	if r.Layer != nil {
		kept, err := c.copyOf(r.Layer)
		if err != nil {
			return err
		}
		e.Layer = kept
		if r.Index != nil {
			kept.index = readAll(r.Index())
		}
	}
	if r.Index != nil {
		raw := readAll(r.Index())
		e.Index = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[e.Key], c.texts[e.Key] = e, r.Definition
	c.names[r.Text] = append(c.names[r.Text], e.Key)
	return nil
}

func readAll(r io.ReadCloser, err error) []byte {
	if err != nil {
		panic(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return raw
}

func (c *cupboard) copyOf(l v1.Layer) (*keptLayer, error) {
	raw := readAll(l.Compressed())
	id, err := l.DiffID()
	return &keptLayer{Layer: static.NewLayer(raw, types.DockerLayer), id: id, raw: raw, in: c}, err
}

func (c *cupboard) Definition(_ context.Context, key cachekey.Key) (cachekey.Definition, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.texts[key]; ok {
		return d, nil
	}
	return "", cache.ErrMiss
}

func (c *cupboard) Record(_ context.Context, j cache.Journal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.journals = append(c.journals, j)
	for _, d := range j.Definitions {
		c.texts[d.Key()] = d
	}
	return nil
}

func (c *cupboard) Last(context.Context, string) (*cache.Journal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.journals) == 0 {
		return nil, cache.ErrMiss
	}
	return &c.journals[len(c.journals)-1], nil
}

func (c *cupboard) OfImage(context.Context, v1.Hash) (*cache.Journal, error) {
	return nil, cache.ErrMiss
}

// evict takes away the entries of an instruction.
func (c *cupboard) evict(t *testing.T, text string) {
	t.Helper()
	if len(c.names[text]) == 0 {
		t.Fatalf("%q is not in the cache", text)
	}
	for _, key := range c.names[text] {
		delete(c.entries, key)
	}
}

// keptLayer is a layer in the cupboard.
type keptLayer struct {
	v1.Layer
	id    v1.Hash
	raw   []byte
	index []byte
	gone  error
	in    *cupboard
}

func (k *keptLayer) DiffID() (v1.Hash, error) { return k.id, nil }

func (k *keptLayer) Compressed() (io.ReadCloser, error) {
	k.in.mu.Lock()
	defer k.in.mu.Unlock()
	k.in.reads++
	if k.gone != nil {
		return nil, k.gone
	}
	return io.NopCloser(bytes.NewReader(k.raw)), nil
}

func (k *keptLayer) Uncompressed() (io.ReadCloser, error) {
	r, err := k.Compressed()
	if err != nil {
		return nil, err
	}
	return layer.Decompress(r)
}

func (k *keptLayer) Index() (layer.Changes, bool) {
	return layer.ReadIndex(bytes.NewReader(k.index)), k.index != nil
}

// cached is one build after the other with one cache.
type cached struct {
	*cupboard
	t        *testing.T
	copies   bool
	limit    int
	squash   bool
	warnings []string
}

// outcome is what one of the builds came to.
type outcome struct {
	img   v1.Image
	ran   []string // commands
	bench *bench
}

func newCached(t *testing.T) *cached { return &cached{cupboard: newCupboard(), t: t, copies: true} }

func (c *cached) build(p *plan.Plan, images ...v1.Image) outcome {
	c.t.Helper()
	return c.with(p, nil, images...)
}

func (c *cached) with(p *plan.Plan, change func(*bench), images ...v1.Image) outcome {
	c.t.Helper()
	b := newBench(c.t, c.limit, p, images...)
	b.Squash = c.squash
	b.Cache = &engine.Caching{
		Store: c.cupboard, Journals: c.cupboard, Runs: true, Copies: c.copies, Lineage: "x", Tool: "test",
		Warn: func(text string) { c.warnings = append(c.warnings, text) },
	}
	if change != nil {
		change(b)
	}
	img, err := engine.Build(context.Background(), b.Config)
	if err != nil {
		c.t.Fatal(err)
	}
	return outcome{img, b.driver.ran, b}
}

func (o outcome) layers(t *testing.T) string {
	t.Helper()
	all, err := o.img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range all {
		h, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, h.Hex[:8])
	}
	return strings.Join(ids, " ")
}

// twoStages compiles in one stage and takes the result into another.
func twoStages(base *plan.Image, source string) *plan.Plan {
	compile := stage(0, plan.Base{Image: base}, copyStep(nil, "/src/", "app"), run("write", "junk", source), run("write", "out", "made"))
	compile.Name = "compile"
	return stages(compile,
		stage(1, plan.Base{Image: base}, run("write", "tool", "T"), copyStep(&plan.Source{Stage: compile}, "/bin/", "out"), run("write", "last", "L")))
}

func TestCache_allHit(t *testing.T) {
	for _, limit := range []int{0, 1} {
		for _, squash := range []bool{false, true} {
			t.Run(fmt.Sprint(limit, squash), func(t *testing.T) {
				base, img := image(t, map[string]string{"etc/x": "x"})
				c := newCached(t)
				c.limit, c.squash = limit, squash
				first := c.build(twoStages(base, "1"), img)
				c.reads = 0
				second := c.with(twoStages(base, "1"), func(b *bench) {
					b.Sandboxes = nil // nothing runs
				}, img)
				if got, want := second.layers(t), first.layers(t); got != want {
					t.Errorf("layers are %s, were %s", got, want)
				}
				if got, want := files(t, second.img), files(t, first.img); got != want {
					t.Errorf("files are %s, were %s", got, want)
				}
				if len(second.ran) > 0 {
					t.Errorf("ran %q", second.ran)
				}
				last := c.journals[len(c.journals)-1]
				for _, s := range last.Steps {
					if s.Use != cache.Hit && s.Use != cache.Skipped {
						t.Errorf("%s: %s %q", s.Text, s.Use, s.Missed)
					}
				}
			})
		}
	}
}

// TestCache_nothingIsRead: where all is hit, no layer is read but by who checks here.
func TestCache_nothingIsRead(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	c.build(twoStages(base, "1"), img)
	c.reads = 0
	c.with(twoStages(base, "1"), func(b *bench) { b.Exporter = &recorder{} }, &unreadable{Image: img})
	if c.reads > 0 {
		t.Errorf("layers of the cache were read %d times", c.reads)
	}
}

// unreadable is an image whose layers nobody may read.
type unreadable struct{ v1.Image }

func (u *unreadable) Layers() ([]v1.Layer, error) {
	all, err := u.Image.Layers()
	for i, l := range all {
		all[i] = &locked{l}
	}
	return all, err
}

type locked struct{ v1.Layer }

var errLocked = errors.New("this layer must not be read")

func (l *locked) Compressed() (io.ReadCloser, error)   { return nil, errLocked }
func (l *locked) Uncompressed() (io.ReadCloser, error) { return nil, errLocked }

// TestCache_copyOnKnownFiles: a COPY that is not cached needs no layer to be read, if
// an earlier build has left indexes.
func TestCache_copyOnKnownFiles(t *testing.T) {
	base, img := image(t, map[string]string{"lib": "-> usr/lib", "usr/lib/x": "X"}, map[string]string{"etc/passwd": "user:x:3:4::/:\n"})
	p := func() *plan.Plan {
		own := copyStep(nil, "/lib/", "app")
		op := own.Op.(plan.Copy)
		op.Chown = "user"
		own.Op = op
		return stages(stage(0, plan.Base{Image: base}, run("write", "tool", "T"), own, run("write", "last", "L")))
	}
	c := newCached(t)
	c.copies = false
	first := c.build(p(), img)
	c.reads = 0
	second := c.with(p(), func(b *bench) { b.Exporter = &recorder{} }, &unreadable{Image: img})
	if c.reads > 0 || len(second.ran) > 0 {
		t.Errorf("read %d layers, ran %q", c.reads, second.ran)
	}
	if got, want := second.layers(t), first.layers(t); got != want {
		t.Errorf("layers are %s, were %s", got, want)
	}
}

// TestCache_sharedLayer: two bases have a layer in common, one has another twice, and
// the driver reads each only once. Both have indexes then.
func TestCache_sharedLayer(t *testing.T) {
	common, twice := map[string]string{"etc/x": "x"}, map[string]string{"etc/y": "y"}
	base, img := image(t, common)
	large, largeImg := image(t, common, twice, map[string]string{"etc/z": "z"}, twice)
	p := func() *plan.Plan {
		tool := stage(0, plan.Base{Image: base}, copyStep(nil, "/src/", "app"), run("write", "out", "made"))
		tool.Name = "tool"
		return stages(tool, stage(1, plan.Base{Image: large}, run("write", "tool", "T"), copyStep(&plan.Source{Stage: tool}, "/bin/", "out"), copyStep(nil, "/etc/", "app")))
	}
	c := newCached(t)
	c.copies = false
	first := c.with(p(), func(b *bench) { b.driver.shares = true }, img, largeImg)
	second := c.with(p(), func(b *bench) { b.Exporter = &recorder{} }, img, &unreadable{Image: largeImg})
	if got, want := second.layers(t), first.layers(t); got != want {
		t.Errorf("layers are %s, were %s", got, want)
	}
}

func TestCache_misses(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	otherBase, other := image(t, map[string]string{"etc/x": "y"})
	for _, tc := range []struct {
		name   string
		change func(c *cached)
		then   *plan.Plan
		bench  func(*bench)
		ran    string // the commands, in any order
		says   string // a reason in the journal
		cause  cachekey.Cause
	}{
		{name: "nothing", then: twoStages(base, "1")},
		{name: "a command's arguments", then: twoStages(base, "2"), ran: "write junk 2; write out made", says: "the command changed", cause: cachekey.InstructionChanged},
		{name: "the base", then: twoStages(otherBase, "1"), ran: "write junk 1; write last L; write out made; write tool T", says: "base image changed", cause: cachekey.BaseChanged},
		{name: "an entry that only a skipped stage needs", change: func(c *cached) { c.evict(c.t, "RUN write out made") }, then: twoStages(base, "1")},
		{
			name: "an entry with others above it", change: func(c *cached) { c.evict(c.t, "RUN write tool T") }, then: twoStages(base, "1"),
			ran: "write last L; write tool T", says: "not in the cache any more", cause: cachekey.NoEntry,
		},
		{
			name: "an entry at the top", change: func(c *cached) { c.evict(c.t, "RUN write last L") }, then: twoStages(base, "1"),
			ran: "write last L",
		},
		{
			name: "what a stage is read for", change: func(c *cached) { c.evict(c.t, "COPY out /bin/") }, then: twoStages(base, "1"),
		},
		{
			name: "a file", then: twoStages(base, "1"), bench: func(b *bench) { b.Context.(*tree.Tree).Keep("app", "APPLICATION") },
			ran: "write junk 1; write out made", says: "file app changed", cause: cachekey.FilesChanged,
		},
		{
			name: "only the time of a file", then: twoStages(base, "1"), bench: func(b *bench) {
				n, _ := b.Context.(*tree.Tree).Lookup("app")
				n.MTime = time.Unix(12345, 0)
				b.Context.(*tree.Tree).Put("app", n)
				b.Context.(*tree.Tree).Keep("app", "application")
			},
		},
		{
			name: "the mode of a file", then: twoStages(base, "1"), bench: func(b *bench) {
				n, _ := b.Context.(*tree.Tree).Lookup("app")
				n.Mode = 0o755
				b.Context.(*tree.Tree).Put("app", n)
				b.Context.(*tree.Tree).Keep("app", "application")
			}, ran: "write junk 1; write out made", says: "mode 0600 → 0755",
		},
		{
			name: "times brought down", then: twoStages(base, "1"), bench: func(b *bench) { b.Clamp = true },
			ran: "write junk 1; write last L; write out made; write tool T", says: "SOURCE_DATE_EPOCH", cause: cachekey.SettingsChanged,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCached(t)
			c.build(twoStages(base, "1"), img, other)
			if tc.change != nil {
				tc.change(c)
			}
			seen := &causes{}
			got := c.with(tc.then, func(b *bench) {
				if tc.bench != nil {
					tc.bench(b)
				}
				b.Observer = seen
			}, img, other)
			if tc.cause != "" && !slices.Contains(seen.all, tc.cause) || tc.ran == "" && tc.change == nil && len(seen.all) > 0 {
				t.Errorf("the causes are %q, want %q among them", seen.all, tc.cause)
			}
			if tc.ran != "" && (seen.phases[engine.Decode] == 0 || seen.phases[engine.Encode] == 0) {
				t.Errorf("the phases are %v", seen.phases)
			}
			if s := sorted(got.ran); s != tc.ran {
				t.Errorf("ran %q, want %q", s, tc.ran)
			}
			var reasons []string
			for _, s := range c.journals[len(c.journals)-1].Steps {
				reasons = append(reasons, s.Missed...)
			}
			if !strings.Contains(strings.Join(reasons, "\n"), tc.says) {
				t.Errorf("reasons are %q, want %q among them", reasons, tc.says)
			}
			want := newBench(t, 0, tc.then, img, other)
			if tc.bench != nil {
				tc.bench(want)
			}
			plain, err := engine.Build(context.Background(), want.Config)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := files(t, got.img), files(t, plain); a != b {
				t.Errorf("with the cache there are %s, without %s", a, b)
			}
			if len(c.warnings) > 0 {
				t.Errorf("warned %q", c.warnings)
			}
		})
	}
}

// causes is an observer that notes why steps were done, and in which phases.
type causes struct {
	mu     sync.Mutex
	all    []cachekey.Cause
	phases map[engine.Phase]int
}

func (c *causes) Stage(ctx context.Context, _ *plan.Stage) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (c *causes) Step(ctx context.Context, _ *plan.Stage, _ *plan.Step) (context.Context, io.Writer, func(engine.Outcome, error)) {
	return ctx, nil, func(out engine.Outcome, _ error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if out.Cause != "" {
			c.all = append(c.all, out.Cause)
		}
	}
}

func (c *causes) Phase(ctx context.Context, kind engine.Phase) (context.Context, func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phases == nil {
		c.phases = map[engine.Phase]int{}
	}
	c.phases[kind]++
	return ctx, func(error) {}
}

func (c *causes) Transfer(ctx context.Context, _ engine.Transfer) (context.Context, func(int64), func(error)) {
	return ctx, func(int64) {}, func(error) {}
}

// TestCache_byContent: a stage that is made anew, and comes to the same, changes
// nothing for what copies from it, nor for what is done after that.
func TestCache_byContent(t *testing.T) {
	for _, limit := range []int{0, 1} {
		base, img := image(t, map[string]string{"etc/x": "x"})
		c := newCached(t)
		c.limit = limit
		c.build(twoStages(base, "1"), img)
		got := c.build(twoStages(base, "2"), img)
		if s := sorted(got.ran); s != "write junk 2; write out made" {
			t.Errorf("ran %q", s)
		}
		// Both names of the entries are known now.
		if got := c.build(twoStages(base, "2"), img); len(got.ran) > 0 {
			t.Errorf("ran %q", got.ran)
		}
	}
}

// TestCache_lost: an entry was found, and its layer is not there or damaged.
func TestCache_lost(t *testing.T) {
	for _, limit := range []int{0, 1} {
		base, img := image(t, map[string]string{"etc/x": "x"})
		c := newCached(t)
		c.limit = limit
		first := c.build(twoStages(base, "1"), img)
		key := c.names["RUN write tool T"][0]
		c.entries[key].Layer.(*keptLayer).gone = &cache.LostError{Key: key, Err: errors.New("404")}
		second := c.with(twoStages(base, "1"), func(b *bench) { b.Exporter = &reader{} }, img)
		if s := sorted(second.ran); s != "write last L; write tool T" {
			t.Errorf("ran %q", s)
		}
		if a, b := files(t, second.img), files(t, first.img); a != b {
			t.Errorf("files are %s, were %s", a, b)
		}
		if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "404") {
			t.Errorf("warned %q", c.warnings)
		}
		if got := c.build(twoStages(base, "1"), img); len(got.ran) > 0 {
			t.Errorf("the entry was not made again: ran %q", got.ran)
		}
	}
}

// reader is an exporter that needs the bytes of layers.
type reader struct{}

func (reader) Layer(_ context.Context, l v1.Layer) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

func (reader) Image(context.Context, v1.Image) error { return nil }

// TestCache_outOfOrder: whatever the cache does, the build goes on, and it is told once.
func TestCache_outOfOrder(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	for name, c := range map[string]*cached{
		"does not answer": {cupboard: newCupboard(), t: t, copies: true},
		"takes nothing":   {cupboard: newCupboard(), t: t, copies: true},
	} {
		if name == "takes nothing" {
			c.full = errors.New("denied: quota exceeded")
		} else {
			c.fail = errors.New("connection refused")
		}
		got := c.build(twoStages(base, "1"), img)
		if want := "etc/x=x bin/out=made"; !strings.Contains(files(t, got.img), "bin/out=made") {
			t.Errorf("%s: files are %s, want %s", name, files(t, got.img), want)
		}
		if len(c.warnings) != 1 {
			t.Errorf("%s: warned %q", name, c.warnings)
		}
	}
}

// TestCache_readOnly: nothing is put, and no journal left.
func TestCache_readOnly(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	c.with(twoStages(base, "1"), func(b *bench) { b.Cache.ReadOnly = true }, img)
	if len(c.entries)+len(c.journals) > 0 {
		t.Errorf("%d entries, %d journals", len(c.entries), len(c.journals))
	}
}

// TestCache_failedBuild: what was done before a step failed is kept.
func TestCache_failedBuild(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	p := stages(stage(0, plan.Base{Image: base}, run("write", "a", "A"), run("fail", "3")))
	b := newBench(t, 0, p, img)
	b.Cache = &engine.Caching{Store: c.cupboard, Journals: c.cupboard, Runs: true}
	if _, err := engine.Build(context.Background(), b.Config); err == nil {
		t.Fatal("no error")
	}
	if len(c.names["RUN write a A"]) == 0 {
		t.Error("the first step was not kept")
	}
	if len(c.journals) != 1 || c.journals[0].Image != "" {
		t.Errorf("journals are %+v", c.journals)
	}
}

// TestCache_linkedOnAnotherBase: what COPY --link places is the same on any base.
func TestCache_linkedOnAnotherBase(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	otherBase, other := image(t, map[string]string{"etc/x": "y"})
	linked := func(on *plan.Image) *plan.Plan {
		s := copyStep(nil, "/opt/", "app")
		op := s.Op.(plan.Copy)
		op.Link = true
		s.Op = op
		return stages(stage(0, plan.Base{Image: on}, s))
	}
	c := newCached(t)
	c.build(linked(base), img)
	c.with(linked(otherBase), func(b *bench) { b.Exporter = &recorder{} }, &unreadable{Image: other})
	for _, s := range c.journals[1].Steps {
		if s.Use != cache.Hit {
			t.Errorf("%s: %s", s.Text, s.Use)
		}
	}
}

// TestCache_contextChangesMeanwhile: a file that is not any more what it was when the
// step was named must not be found under that name.
func TestCache_contextChangesMeanwhile(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	c.with(stages(stage(0, plan.Base{Image: base}, copyStep(nil, "/a/", "app"), run("write", "b", "B"))), func(b *bench) {
		b.Context = &restless{Tree: b.Context.(*tree.Tree)}
	}, img)
	if len(c.names) > 0 {
		t.Errorf("kept %v", c.names)
	}
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "changed") {
		t.Errorf("warned %q", c.warnings)
	}
}

// restless is a build context that somebody writes to.
type restless struct {
	*tree.Tree
	opened int
}

func (r *restless) Open(p tree.Path) (io.ReadCloser, error) {
	if r.opened++; r.opened == 2 {
		n, _ := r.Lookup(p)
		n.MTime = n.MTime.Add(time.Second)
		defer func() { r.Put(p, n); r.Keep(p, "APPLICATION") }()
	}
	return r.Tree.Open(p)
}

// TestCache_fit: an entry that was made on top of something else than the cache has now
// does not fit: another build has run a command again, and it came to something else.
func TestCache_fit(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	below := func(a string) *plan.Plan {
		up := stage(0, plan.Base{Image: base}, run("write", "a", a))
		return stages(up, stage(1, plan.Base{Stage: up}, run("copy", "a", "b"), run("write", "last", "L")))
	}
	for _, squash := range []bool{false, true} {
		for _, limit := range []int{0, 1} {
			t.Run(fmt.Sprint(squash, limit), func(t *testing.T) {
				c := newCached(t)
				c.limit, c.squash = limit, squash
				c.build(below("1"), img)
				old := c.entries[c.names["RUN write a 1"][0]]
				c.build(below("2"), img)
				// As if the first command had come to something else.
				old.Layer = c.entries[c.names["RUN write a 2"][0]].Layer
				got := c.build(below("1"), img)
				if s := sorted(got.ran); s != "copy a b; write last L" {
					t.Errorf("ran %q", s)
				}
				if s := files(t, got.img); s != "a=2 b=2 etc/x=x last=L" {
					t.Errorf("files are %s", s)
				}
				if again := c.build(below("1"), img); len(again.ran) > 0 {
					t.Errorf("ran %q", again.ran)
				}
			})
		}
	}
}

// TestCache_away: a cache that has entries, and then does not answer, is done without.
func TestCache_away(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	first := c.build(twoStages(base, "1"), img)
	journals := len(c.journals)
	key := c.names["RUN write tool T"][0]
	c.entries[key].Layer.(*keptLayer).gone = &cache.LostError{Key: key, Err: errors.New("502"), Away: true}
	second := c.with(twoStages(base, "1"), func(b *bench) { b.Exporter = &reader{} }, img)
	if s := sorted(second.ran); s != "write junk 1; write last L; write out made; write tool T" {
		t.Errorf("ran %q", s)
	}
	if a, b := files(t, second.img), files(t, first.img); a != b {
		t.Errorf("files are %s, were %s", a, b)
	}
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "without the layer cache") || len(c.journals) > journals {
		t.Errorf("warned %q, %d journals", c.warnings, len(c.journals))
	}
}

// TestCache_noCredentials: an address in an instruction goes into the cache without
// user and password.
func TestCache_noCredentials(t *testing.T) {
	base, img := image(t, map[string]string{"etc/x": "x"})
	c := newCached(t)
	s := run("write", "a", "A")
	s.Text = "RUN curl https://user:hunter2@example.com/x && git clone ssh://git:hunter2@h/p"
	c.build(stages(stage(0, plan.Base{Image: base}, s)), img)
	const want = "RUN curl https://…@example.com/x && git clone ssh://…@h/p"
	if c.names[want] == nil {
		t.Errorf("entries are %v", c.names)
	}
	if got := c.journals[0].Steps[0].Text; got != want {
		t.Errorf("the journal says %s", got)
	}
}
