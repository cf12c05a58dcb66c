package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
	"github.com/kaniko-suite/kaniko/tools/bench/floor"
	"github.com/kaniko-suite/kaniko/tools/bench/latency"
)

// roundTrip is how far the far registry is.
const roundTrip = 50 * time.Millisecond

// A Part is something that no builder can do a workload without, done alone: package floor has the programs.
type Part struct {
	Name string
	What string
	Args func(g ground) []string // of `bench floor`
}

// ground is what the parts of a workload work on.
type ground struct {
	layers        []string // files of the base images' compressed layers
	bytes         int64    // of these
	context       string
	root, written string // directories: what is unpacked, and what a script writes
	near, far     string // addresses to send to
}

func received() Part {
	return Part{"loopback", "as many bytes as the base's layers have, copied through the loopback", func(g ground) []string {
		return []string{"send", g.near, strconv.FormatInt(g.bytes, 10)}
	}}
}

func sent(n int64, far bool) Part {
	what := fmt.Sprintf("%s copied through the loopback", inUnits(int(n)))
	if far {
		what += fmt.Sprintf(" with %d ms latency", roundTrip/time.Millisecond)
	}
	return Part{"loopback", what, func(g ground) []string {
		if far {
			return []string{"send", g.far, strconv.FormatInt(n, 10)}
		}
		return []string{"send", g.near, strconv.FormatInt(n, 10)}
	}}
}

func unpacked() Part {
	return Part{"untar", "the base's layers decompressed for tar(1), one after the other", func(g ground) []string { return append([]string{"untar", g.root}, g.layers...) }}
}

// hashed is of the base's layers, and of what a script has written.
func hashed(written bool) Part {
	return Part{"sha256", "of the base's compressed layers, and of what the commands wrote", func(g ground) []string {
		args := append([]string{"sha256"}, g.layers...)
		if written {
			args = append(args, g.written)
		}
		return args
	}}
}

func contextHashed() Part {
	return Part{"sha256", "of the build context's files", func(g ground) []string { return []string{"sha256", g.context} }}
}

// allHashed is of the base's layers and of the build context.
func allHashed() Part {
	return Part{"sha256", "of the base's compressed layers and the build context's files", func(g ground) []string {
		return append(append([]string{"sha256"}, g.layers...), g.context)
	}}
}

// compressed is of the build context, or of what a script has written.
func compressed(context bool) Part {
	return Part{"compressor", "the executor's own, alone, on the files that become a layer", func(g ground) []string {
		if context {
			return []string{"compress", g.context}
		}
		return []string{"compress", g.written}
	}}
}

// walked asks of the build context, or of what was unpacked.
func walked(context bool) Part {
	return Part{"walk", "statx(2) of every file, once", func(g ground) []string {
		if context {
			return []string{"walk", g.context}
		}
		return []string{"walk", g.root}
	}}
}

func script(name, text string) Part {
	return Part{name, "what RUN does, without a builder", func(g ground) []string { return []string{"sh", g.written, text} }}
}

// floorOf is the name that the parts of a workload have together, in the place of a builder's.
const floorOf = "floor"

// parts measures what is the floor of a workload.
func (b *bench) parts(ctx context.Context, w prepared, round int) error {
	dir := filepath.Join(b.env.Dir, fmt.Sprintf("%s-floor-%d", w.Slug(), round))
	g := ground{layers: w.layers, bytes: w.bytes, context: w.context, root: filepath.Join(dir, "root"), written: filepath.Join(dir, "written"), near: b.sink.Addr, far: b.farSink.Addr}
	defer builder.Remove(dir)
	for _, p := range w.Floor {
		state := filepath.Join(dir, "part-"+p.Name)
		if err := os.MkdirAll(state, 0o755); err != nil {
			return err
		}
		log, err := os.Create(filepath.Join(b.env.Dir, fmt.Sprintf("%s-floor-%s-%d.log", w.Slug(), p.Name, round)))
		if err != nil {
			return err
		}
		syscall.Sync() // as before each build
		limited, cancel := context.WithTimeout(ctx, b.limit)
		s, err := builder.Part(limited, builder.Job{Env: b.env, State: state, Log: log}, p.Args(g))
		cancel()
		log.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.report.failed++
			fmt.Fprintf(os.Stderr, "%-13s %s %s: failed: %v\n%s", w.Name, floorOf, p.Name, err, tail(log.Name()))
			return nil
		}
		fmt.Fprintf(os.Stderr, "%-14s %-18s wall %6.2f s  cpu %6.2f s  largest %s\n", w.Name, floorOf+": "+p.Name, s.Wall, s.CPU, mb(s.Largest))
		b.report.add(w.Name, floorOf+": "+p.Name, s, fixture.Manifest{})
	}
	return nil
}

// openFloors starts what parts send to, and what makes the registry and that far. What it returns undoes that.
func (b *bench) openFloors() (closing func() error, err error) {
	if b.sink, err = floor.StartSink(); err != nil {
		return nil, err
	}
	if b.farSink, err = latency.Start(b.sink.Addr, roundTrip); err != nil {
		return nil, errors.Join(err, b.sink.Close())
	}
	if b.farRegistry, err = latency.Start(b.registry.Addr, roundTrip); err != nil {
		return nil, errors.Join(err, b.farSink.Close(), b.sink.Close())
	}
	return func() error { return errors.Join(b.farRegistry.Close(), b.farSink.Close(), b.sink.Close()) }, nil
}
