//go:build linux

// Command oracle builds the conformance corpus with the executor, BuildKit and
// buildah, compares what they make, and prints a table of the differences, each
// explained or not. tools/oracle/conformance.sh starts it; docs/conformance.md is
// its manual.
//
//	oracle -cases DIR -executor FILE -registry HOST:PORT [-run REGEXP] [-update] …
//
// It ends with status 1 if a difference is unexplained, 2 if it could not tell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	open, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	if open > 0 {
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	cases, executor, registry, explain, bin string
	run                                     *regexp.Regexp
	jobs                                    int
	update, verbose, show                   bool
	builders                                []string
}

func flags() (o options, err error) {
	flag.StringVar(&o.cases, "cases", "", "`directory` of the cases")
	flag.StringVar(&o.executor, "executor", "", "the executor's `binary`")
	flag.StringVar(&o.registry, "registry", "", "`host:port` of a registry that takes any push")
	flag.StringVar(&o.explain, "explain", "", "`file` of differences that every case may have")
	flag.StringVar(&o.bin, "buildkit", "", "`directory` of buildkitd and buildctl; empty looks for them in PATH")
	pattern := flag.String("run", "", "only cases whose names match this `regexp`")
	flag.IntVar(&o.jobs, "jobs", 3, "build this many cases at once")
	flag.BoolVar(&o.update, "update", false, "write what BuildKit makes into the cases")
	flag.BoolVar(&o.show, "show", false, "print what each builder makes, the executor too")
	flag.BoolVar(&o.verbose, "v", false, "print what explained differences are, and what failed builds said")
	who := flag.String("builders", conformance.BuildKit+","+conformance.Buildah, "`names` to compare with")
	flag.Parse()
	if o.cases == "" || o.executor == "" || o.registry == "" || flag.NArg() > 0 {
		return o, errors.New("needs -cases, -executor and -registry, and takes no arguments")
	}
	o.builders = strings.Split(*who, ",")
	o.run, err = regexp.Compile(*pattern)
	return o, err
}

// run compares all cases, and returns how many differences are unexplained.
func run(ctx context.Context) (open int, err error) {
	o, err := flags()
	if err != nil {
		return 0, err
	}
	cases, err := conformance.Load(o.cases, o.run)
	if err != nil {
		return 0, err
	}
	var general []conformance.Differ
	if o.explain != "" {
		if general, err = conformance.ReadDiffers(o.explain); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "kaniko-conformance-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove(dir)) }()
	start := time.Now()
	site, err := conformance.Open(ctx, o.registry)
	if err != nil {
		return 0, err
	}
	defer site.Close()
	builders, stop, err := startAll(ctx, o, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	t := &table{out: os.Stdout, verbose: o.verbose}
	j := &judge{options: o, site: site, dir: dir, start: start, builders: builders, general: general, table: t}
	if err := j.all(ctx, cases); err != nil {
		return 0, err
	}
	t.totals(len(cases), time.Since(start))
	return t.open, nil
}

// startAll starts the builders: the executor first, then the others.
func startAll(ctx context.Context, o options, dir string) (all []builder, stop func() error, err error) {
	all = []builder{&executor{exe: o.executor}}
	stop = func() error { return nil }
	for _, name := range o.builders {
		switch name {
		case conformance.BuildKit:
			b, err := startBuildKit(ctx, o.bin, dir, o.registry)
			if err != nil {
				return nil, nil, err
			}
			all, stop = append(all, b), b.stop
		case conformance.Buildah:
			all = append(all, &buildah{dir: dir})
		default:
			return nil, nil, fmt.Errorf("unknown builder %q", name)
		}
	}
	return all, stop, nil
}

// all judges the cases, a few at once, and reports them in their order.
func (j *judge) all(ctx context.Context, cases []*conformance.Case) error {
	results := make([]chan []verdict, len(cases))
	for i := range results {
		results[i] = make(chan []verdict, 1)
	}
	errs := make([]error, len(cases))
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, j.options.jobs) {
		wg.Go(func() {
			for i := range next {
				v, err := j.one(ctx, cases[i])
				errs[i] = err
				results[i] <- v
			}
		})
	}
	go func() {
		for i := range cases {
			next <- i
		}
		close(next)
	}()
	for i, c := range cases {
		for _, v := range <-results[i] {
			j.table.row(c, v)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
