// Bench compares the executor with other builders on the same Dockerfiles, in interleaved runs, and prints medians.
//
//	bench [-n 3] [-run REGEXP] [-builders REGEXP] [-shrink N] -executor FILE [-warmer FILE] [-markdown FILE] [WORKLOAD...]
//	bench compare [-run REGEXP] [-builders REGEXP] -executor FILE -treediff FILE [-explain FILE]
//
// The second form compares what they build instead of what it costs. tools/bench/run.sh makes what it needs and starts it. How things are measured is written in docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
	"github.com/kaniko-suite/kaniko/tools/bench/floor"
	"github.com/kaniko-suite/kaniko/tools/bench/latency"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "measure" {
		if err := builder.Measure(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench measure:", err)
			os.Exit(70)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		if err := floor.Main(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench floor:", err)
			os.Exit(70)
		}
		return
	}
	job := run
	if len(os.Args) > 1 && os.Args[1] == "compare" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		job = compare
	}
	// A closed pipe (| head) must not keep the state directory from being removed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := job(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	n, shrink         int
	only, who         *regexp.Regexp
	names             []string // of workloads; none is all
	executor, warmer  string
	markdown          string
	treediff, explain string
	dir               string
	list, keep, needs bool
	limit             time.Duration
}

func flags() (options, error) {
	var o options
	var only, who string
	flag.IntVar(&o.n, "n", 3, "runs of each builder on each workload")
	flag.IntVar(&o.shrink, "shrink", 1, "divide the sizes of the large workloads by `N`, for a quick run")
	flag.StringVar(&only, "run", "", "only workloads whose name matches this `regexp`")
	flag.StringVar(&who, "builders", "", "only builders whose name matches this `regexp`")
	flag.StringVar(&o.executor, "executor", "", "the executor `binary` to measure")
	flag.StringVar(&o.warmer, "warmer", "", "the warmer `binary` that fills directories of base images")
	flag.StringVar(&o.markdown, "markdown", "", "put the table into this `file`, between its bench:begin and bench:end lines")
	flag.StringVar(&o.treediff, "treediff", "", "compare: the treediff `binary`")
	flag.StringVar(&o.explain, "explain", "", "compare: `file` of expected differences")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "`directory` for all state, on the file system to measure on")
	flag.BoolVar(&o.list, "list", false, "list workloads and builders")
	flag.BoolVar(&o.needs, "fixtures", false, "print what tools/fixtures/build.sh has to make for the workloads")
	flag.BoolVar(&o.keep, "keep", false, "keep the state directory (logs of all builds)")
	flag.DurationVar(&o.limit, "timeout", 30*time.Minute, "of one build")
	flag.Parse()
	o.names = flag.Args()
	if o.n < 1 || o.shrink < 1 {
		return o, errors.New("-n and -shrink must be at least 1")
	}
	for _, name := range o.names {
		if !slices.ContainsFunc(workloads(sized(o.shrink)), func(w Workload) bool { return w.called(name) }) {
			return o, fmt.Errorf("there is no workload %q; see -list", name)
		}
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, err
	}
	o.who, err = regexp.Compile(who)
	return o, err
}

// workloads are those that the options name, and those that they need.
func (o options) workloads() []Workload {
	return chosen(workloads(sized(o.shrink)), func(w Workload) bool {
		return o.only.MatchString(w.Name) && (len(o.names) == 0 || slices.ContainsFunc(o.names, w.called))
	})
}

// fixtures are what tools/fixtures/build.sh has to make for them.
func (o options) fixtures() []string {
	var all []string
	for _, w := range o.workloads() {
		all = append(append(all, w.Fixtures...), w.Dirs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func run(ctx context.Context) (err error) {
	o, err := flags()
	if err != nil {
		return err
	}
	if o.list {
		for _, w := range workloads(sized(o.shrink)) {
			fmt.Printf("%-14s %s\n", w.Name, w.What)
		}
		for _, b := range builder.All() {
			fmt.Printf("%-18s %s\n", b.Name, b.What)
		}
		fmt.Printf("%-18s %s\n", floorOf, "what no builder can do without, each part alone")
		return nil
	}
	if o.needs {
		fmt.Println(strings.Join(o.fixtures(), "\n"))
		return nil
	}
	b, closing, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	r := b.report
	for _, w := range o.workloads() {
		if w.Warm && b.env.Warmer == "" {
			fmt.Fprintf(os.Stderr, "leaving out %s: no -warmer\n", w.Name)
			continue
		}
		if err := b.prepare(ctx, w); err != nil {
			return err
		}
	}
	b.choose(ctx, o.who)
	if len(r.workloads) == 0 || len(r.builders) == 0 && !b.floors {
		return errors.New("nothing to run; see -list")
	}
	if err := b.all(ctx, o.n); err != nil {
		return err
	}
	r.machine = machine(ctx, o.dir, b.env.Executor, r.load)
	if o.shrink > 1 {
		r.machine += fmt.Sprintf(" The sizes of the large workloads are divided by %d.", o.shrink)
	}
	r.print(os.Stdout)
	if o.markdown != "" {
		if err := r.into(o.markdown); err != nil {
			return err
		}
	}
	if r.failed > 0 {
		return fmt.Errorf("%d builds failed", r.failed)
	}
	return nil
}

// open makes the state directory and the registry. What it returns second undoes that.
func open(ctx context.Context, o options) (*bench, func() error, error) {
	if os.Getuid() != 0 {
		return nil, nil, errors.New("the builders need root")
	}
	fixtures, err := fixture.Dir()
	if err != nil {
		return nil, nil, err
	}
	e := &builder.Env{}
	if e.Self, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	if e.Executor, err = program(o.executor); err != nil {
		return nil, nil, err
	}
	if e.Warmer, err = program(o.warmer); err != nil {
		return nil, nil, err
	}
	if e.Dir, err = os.MkdirTemp(o.dir, "kaniko-bench"); err != nil {
		return nil, nil, err
	}
	closing := func() error { return builder.Remove(e.Dir) }
	if o.keep {
		fmt.Fprintln(os.Stderr, "state in", e.Dir)
		closing = func() error { return nil }
	}
	reg, err := fixture.StartRegistry(ctx, e.Dir)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	e.Registry = reg.Addr
	b := &bench{env: e, registry: reg, fixtures: fixtures, limit: o.limit, report: &report{n: o.n, dir: o.dir, load: load()}}
	closeFloors, err := b.openFloors()
	if err != nil {
		return nil, nil, errors.Join(err, reg.Close(), closing())
	}
	e.Far = b.farRegistry.Addr
	return b, func() error { return errors.Join(closeFloors(), reg.Close(), closing()) }, nil
}

// program is the absolute path of a binary that must exist, or nothing.
func program(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	_, err = os.Stat(file)
	return file, err
}

// choose takes the builders that match and work here, and the floors if their name does.
func (b *bench) choose(ctx context.Context, who *regexp.Regexp) {
	b.floors = who.MatchString(floorOf)
	for _, x := range builder.All() {
		if !who.MatchString(x.Name) {
			continue
		}
		if strings.HasPrefix(x.Name, "executor") && b.env.Executor == "" {
			fmt.Fprintf(os.Stderr, "leaving out %s: no -executor\n", x.Name)
			continue
		}
		if err := x.Ready(ctx, b.env); err != nil {
			fmt.Fprintf(os.Stderr, "leaving out %s: %v\n", x.Name, err)
			continue
		}
		b.report.builders = append(b.report.builders, x)
	}
}

type bench struct {
	env      *builder.Env
	registry *fixture.Registry
	fixtures string
	limit    time.Duration
	report   *report
	prepared []prepared
	pushed   map[string]string // fixture tag or name of what is made of it → reference
	floors   bool              // floors are measured too
	sink     *floor.Sink
	// What is far: the sink and the registry.
	farSink, farRegistry *latency.Proxy
}

type prepared struct {
	Workload
	dockerfile, context string
	warm                string   // the directory that warmer filled
	layers              []string // files of its bases' layers
	bytes               int64    // of these
}

// prepare pushes the workload's bases and writes its Dockerfile.
func (b *bench) prepare(ctx context.Context, w Workload) error {
	if b.pushed == nil {
		b.pushed = map[string]string{}
	}
	text := w.Dockerfile
	for _, tag := range w.Fixtures {
		if err := b.push(tag, func() (string, error) { return b.registry.Push(ctx, tag) }); err != nil {
			return err
		}
		text = strings.ReplaceAll(text, "@"+tag+"@", b.pushed[tag])
	}
	for _, m := range w.Made {
		if err := b.push(m.Name, func() (string, error) { return b.registry.PushMade(ctx, m) }); err != nil {
			return err
		}
		text = strings.ReplaceAll(text, "@"+m.Name+"@", b.pushed[m.Name])
	}
	dir := filepath.Join(b.env.Dir, "workload-"+w.Slug())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p := prepared{Workload: w, dockerfile: filepath.Join(dir, "Dockerfile")}
	if err := os.WriteFile(p.dockerfile, []byte(text), 0o644); err != nil {
		return err
	}
	var err error
	if p.context, err = w.Context(dir, b.fixtures); err != nil {
		return err
	}
	if _, err := os.Stat(p.context); err != nil {
		return fmt.Errorf("build context of %s (made by tools/fixtures/build.sh): %w", w.Name, err)
	}
	if w.Warm {
		if p.warm, err = b.warm(ctx, dir, p.dockerfile); err != nil {
			return err
		}
	}
	if err := b.stat(ctx, &p); err != nil {
		return err
	}
	b.prepared = append(b.prepared, p)
	b.report.workloads = append(b.report.workloads, w)
	return nil
}

// push puts a base image into the registry, once.
func (b *bench) push(name string, push func() (string, error)) (err error) {
	if b.pushed[name] == "" {
		b.pushed[name], err = push()
	}
	return err
}

// stat finds the layers of the workload's bases: of those that are made, if there are any.
func (b *bench) stat(ctx context.Context, p *prepared) error {
	names := p.Fixtures
	if len(p.Made) > 0 {
		names = nil
		for _, m := range p.Made {
			names = append(names, m.Name)
		}
	}
	for _, name := range names {
		m, err := b.registry.Stat(ctx, "fixtures/"+name, "1")
		if err != nil {
			return fmt.Errorf("look at the base image %s: %w", name, err)
		}
		p.layers = append(p.layers, b.registry.BlobFiles(m)...)
		p.bytes += m.Size
	}
	return nil
}

// warm has warmer fill a directory with the images that a Dockerfile names.
func (b *bench) warm(ctx context.Context, dir, dockerfile string) (string, error) {
	dir = filepath.Join(dir, "warm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, b.env.Warmer, "--cache-dir="+dir, "--dockerfile="+dockerfile).CombinedOutput(); err != nil {
		return "", fmt.Errorf("warmer: %w\n%s", err, out)
	}
	return dir, nil
}

// fits says why a builder takes no part in a workload. ok is false too where that needs no mention.
func fits(ctx context.Context, w Workload, x builder.Builder) (why string, ok bool) {
	if w.Warm && !x.Warm {
		return "", false
	}
	if w.Cache != "" && x.Caches != nil {
		if err := x.Caches(ctx); err != nil {
			return err.Error(), false
		}
	}
	return "", true
}

// all runs every builder on every workload n times. Builders take turns on a workload, and each round another one begins.
func (b *bench) all(ctx context.Context, n int) error {
	for round := range n {
		for _, w := range b.prepared {
			for i := range b.report.builders {
				x := b.report.builders[(i+round)%len(b.report.builders)]
				if err := b.one(ctx, w, x, round); err != nil {
					return err
				}
			}
			if b.floors {
				if err := b.parts(ctx, w, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// one runs one build for its cost. A build that fails is reported and the benchmark goes on; only an interrupt ends it.
func (b *bench) one(ctx context.Context, w prepared, x builder.Builder, round int) error {
	if why, ok := fits(ctx, w.Workload, x); !ok {
		b.report.leaveOut(w.Name, x.Name, why)
		return nil
	}
	t := target{name: fmt.Sprintf("%s-%s-%d", w.Slug(), x.Slug(), round), tag: "1"}
	t.repo = "bench/" + t.name
	if w.Cache != "" {
		t.repo = fmt.Sprintf("bench/%s-%s-%d", w.Cache, x.Slug(), round)
		t.tag = w.Slug()
	}
	s, m, err := b.build(ctx, w, x, t)
	if err == nil && w.Check != nil {
		err = b.check(ctx, w, t, m)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%-14s %-18s %v\n", w.Name, x.Name, err)
		b.report.failed++
		return nil
	}
	fmt.Fprintf(os.Stderr, "%-14s %-18s wall %6.2f s  cpu %6.2f s  own %s  largest %s  pulled %s  %d layers %s\n",
		w.Name, x.Name, s.Wall, s.CPU, mb(s.Own), mb(s.Largest), mb(s.Pulled), m.Layers, mb(m.Size))
	b.report.add(w.Name, x.Name, s, m)
	return nil
}

// check has the workload look at an image, and at what the first workload of the same cache has left in the repository.
func (b *bench) check(ctx context.Context, w prepared, t target, m fixture.Manifest) error {
	first := m
	for _, o := range b.prepared {
		if o.Cache != w.Cache {
			continue
		}
		if o.Name != w.Name {
			var err error
			if first, err = b.registry.Stat(ctx, t.repo, o.Slug()); err != nil {
				return fmt.Errorf("the image of %s: %w", o.Name, err)
			}
		}
		break
	}
	if err := w.Check(ctx, image{first, t.repo, b.registry}, image{m, t.repo, b.registry}); err != nil {
		return fmt.Errorf("wrong image: %w", err)
	}
	return nil
}

// A target is where a build goes: a name for its state and log, and what it pushes to.
type target struct {
	name, repo, tag string
	reproducible    bool
}

// build runs one build and looks at what arrived.
func (b *bench) build(ctx context.Context, w prepared, x builder.Builder, t target) (builder.Sample, fixture.Manifest, error) {
	j := builder.Job{
		Env: b.env, Dockerfile: w.dockerfile, Context: w.context, Reproducible: t.reproducible, Warm: w.warm,
		Destination: b.env.Registry + "/" + t.repo + ":" + t.tag,
		State:       filepath.Join(b.env.Dir, t.name),
	}
	if w.Far {
		j.Destination = b.env.Far + "/" + t.repo + ":" + t.tag
	}
	if w.Cache != "" {
		j.Cache = b.env.Registry + "/" + t.repo + "/cache"
	}
	if err := os.MkdirAll(j.State, 0o755); err != nil {
		return builder.Sample{}, fixture.Manifest{}, err
	}
	log, err := os.Create(filepath.Join(b.env.Dir, t.name+".log"))
	if err != nil {
		return builder.Sample{}, fixture.Manifest{}, err
	}
	defer log.Close()
	j.Log = log
	syscall.Sync() // what an earlier build left to write back is not this one's
	limited, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	s, err := b.pulling(func() (builder.Sample, error) { return x.Build(limited, j) })
	var m fixture.Manifest
	if err == nil {
		m, err = b.registry.Stat(ctx, t.repo, t.tag)
	}
	if err != nil {
		err = fmt.Errorf("failed: %w\n%s", err, tail(log.Name()))
	}
	return s, m, errors.Join(err, builder.Remove(j.State))
}

// pulling notes what the registry sends while a build runs.
func (b *bench) pulling(build func() (builder.Sample, error)) (builder.Sample, error) {
	before, err := b.registry.Sent()
	if err != nil {
		return builder.Sample{}, err
	}
	s, err := build()
	if err != nil {
		return s, err
	}
	after, err := b.registry.Sent()
	s.Pulled = after - before
	return s, err
}

func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	const most = 2000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\n    ") + "\n"
}
