package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

type report struct {
	n         int
	dir       string
	workloads []Workload
	rows      []Workload // of the table: these, and what one step costs
	builders  []builder.Builder
	cells     map[string]*cell
	without   map[string]string // why a builder takes no part in a workload; "" is not worth a row
	failed    int
	machine   string
	load      string // the machine's load before the first build
}

type cell struct {
	samples []builder.Sample
	image   fixture.Manifest
}

func (r *report) add(load, who string, s builder.Sample, m fixture.Manifest) {
	if r.cells == nil {
		r.cells = map[string]*cell{}
	}
	c := r.cells[load+"\n"+who]
	if c == nil {
		c = &cell{}
		r.cells[load+"\n"+who] = c
	}
	c.samples = append(c.samples, s)
	c.image = m
}

func (r *report) put(load, who string, c *cell) { r.cells[load+"\n"+who] = c }

func (r *report) leaveOut(load, who, why string) {
	if r.without == nil {
		r.without = map[string]string{}
	}
	r.without[load+"\n"+who] = why
}

func (r *report) cell(load, who string) *cell { return r.cells[load+"\n"+who] }

// print writes the table in Markdown, which reads well enough on a terminal.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", r.machine)
	fmt.Fprintln(w, "| workload | builder | n | wall s (min..max) | CPU s (min..max) | own process MB | largest process MB | wall / peer | CPU / peer | wall / floor | CPU / floor | targets | layers | image MB | pulled MB |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|")
	r.rows = slices.Clone(r.workloads)
	r.withSteps()
	var missed, targets int
	for _, load := range r.rows {
		for _, b := range r.builders {
			m, t := r.row(w, load, b)
			missed, targets = missed+m, targets+t
		}
		r.floorRows(w, load)
	}
	fmt.Fprintf(w, "\n%d of %d targets are missed.\n", missed, targets)
	r.legend(w)
}

// row writes what one builder cost on one workload, and says how many targets it missed of how many.
func (r *report) row(w io.Writer, load Workload, b builder.Builder) (missed, targets int) {
	c := r.cell(load.Name, b.Name)
	if c == nil {
		why, out := r.without[load.Name+"\n"+b.Name]
		if !out {
			why = "failed"
		}
		if why != "" {
			fmt.Fprintf(w, "| %s | %s | 0 | %s | | | | | | | | | | | |\n", load.Name, b.Name, why)
		}
		return 0, 0
	}
	own, largest := median(c.column(func(s builder.Sample) float64 { return float64(s.Own) })), median(c.column(func(s builder.Sample) float64 { return float64(s.Largest) }))
	peer, floor := r.base(load, b), r.floor(load)
	verdict := ""
	if ours(b.Name) && load.Against == "" {
		var list []string
		list, targets = misses(load, *c.cost(), own, peer, floor)
		missed = len(list)
		if verdict = "met"; missed > 0 {
			verdict = "**missed:** " + strings.Join(list, "; ")
		}
	}
	pulled := median(c.column(func(s builder.Sample) float64 { return float64(s.Pulled) }))
	fmt.Fprintf(w, "| %s | %s | %d | %s | %s | %.0f | %.0f | %s | %s | %s | %d | %.1f | %.1f |\n", load.Name, b.Name, len(c.samples),
		spread(c.column(wallOf)), spread(c.column(cpuOf)), own/1e6, largest/1e6, ratios(c.cost(), peer), ratios(c.cost(), floor), verdict, c.image.Layers, float64(c.image.Size)/1e6, pulled/1e6)
	return missed, targets
}

// floorRows writes what the parts of a workload's floor cost, and all of them together.
func (r *report) floorRows(w io.Writer, load Workload) {
	for _, p := range load.Floor {
		c := r.cell(load.Name, floorOf+": "+p.Name)
		if c == nil {
			continue
		}
		largest := median(c.column(func(s builder.Sample) float64 { return float64(s.Largest) }))
		fmt.Fprintf(w, "| %s | %s: %s | %d | %s | %s | | %.0f | | | | | | | | |\n", load.Name, floorOf, p.Name, len(c.samples), spread(c.column(wallOf)), spread(c.column(cpuOf)), largest/1e6)
	}
	if sum := r.floor(load); sum != nil {
		fmt.Fprintf(w, "| %s | %s | | **%.2f** | **%.2f** | | | | | | | | | | |\n", load.Name, floorOf, sum.wall, sum.cpu)
	}
}

// legend says what the names in the table are.
func (r *report) legend(w io.Writer) {
	fmt.Fprintln(w, "\nWorkloads:")
	for _, load := range r.workloads {
		fmt.Fprintf(w, "* **%s**: %s.\n", load.Name, load.What)
	}
	fmt.Fprintln(w, "\nBuilders:")
	for _, b := range r.builders {
		fmt.Fprintf(w, "* **%s**: %s.\n", b.Name, b.What)
	}
	seen := map[string]bool{}
	for _, load := range r.workloads {
		for _, p := range load.Floor {
			if r.cell(load.Name, floorOf+": "+p.Name) == nil || seen[p.Name+p.What] {
				continue
			}
			if len(seen) == 0 {
				fmt.Fprintln(w, "\nFloors:")
			}
			seen[p.Name+p.What] = true
			fmt.Fprintf(w, "* **%s**: %s.\n", p.Name, p.What)
		}
	}
}

// base is what a builder's figures on a workload are divided by: its own on another workload where that says so, else those of the better peer; nil without that, as of the peers themselves.
func (r *report) base(load Workload, b builder.Builder) *cost {
	if load.Against != "" {
		return r.cell(load.Against, b.Name).cost()
	}
	if !ours(b.Name) {
		return nil
	}
	return r.peer(load.Name)
}

func (c *cell) column(f func(builder.Sample) float64) []float64 {
	out := make([]float64, len(c.samples))
	for i, s := range c.samples {
		out[i] = f(s)
	}
	return out
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 1 {
		return v[n/2]
	} else {
		return (v[n/2-1] + v[n/2]) / 2
	}
}

func spread(v []float64) string {
	return fmt.Sprintf("**%.2f** (%.2f..%.2f)", median(v), slices.Min(v), slices.Max(v))
}

// ratios are two cells of a row; without a base they are empty.
func ratios(c, base *cost) string {
	if base == nil {
		return " | "
	}
	return fmt.Sprintf("%.2f | %.2f", c.wall/base.wall, c.cpu/base.cpu)
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

const begin, end = "<!-- bench:begin -->", "<!-- bench:end -->"

// into replaces what stands between the two marker lines of a file.
func (r *report) into(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(text, []byte(begin+"\n"))
	_, foot, ok2 := bytes.Cut(rest, []byte(end+"\n"))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %s and %s", file, begin, end)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(begin + "\n")
	r.print(&b)
	b.WriteString(end + "\n")
	b.Write(foot)
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// machine says in one paragraph what was measured on and with.
func machine(ctx context.Context, dir, executor, before string) string {
	out := func(name string, args ...string) string {
		b, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return "?"
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		return line
	}
	field := func(file, key, sep string) string {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, sep); ok && strings.TrimSpace(k) == key {
				return strings.Trim(strings.TrimSpace(v), `"`)
			}
		}
		return "?"
	}
	var mem syscall.Sysinfo_t
	_ = syscall.Sysinfo(&mem)
	parts := []string{
		fmt.Sprintf("Measured on %s: %d processors (%s)", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), field("/proc/cpuinfo", "model name", ":")),
		fmt.Sprintf("%.0f GB of memory", float64(mem.Totalram)*float64(mem.Unit)/1e9),
		field("/etc/os-release", "PRETTY_NAME", "="),
		"Linux " + out("uname", "-r"),
		"state on " + out("stat", "-f", "-c", "%T", dir),
		out("buildah", "--version"),
		out("podman", "--version"),
		"load average before the first build " + before,
	}
	if file, err := exec.LookPath("buildkitd"); err == nil {
		parts = append(parts, "buildkitd "+moduleVersion(file, "github.com/moby/buildkit"))
	}
	if executor != "" {
		parts = append(parts, "executor of commit "+out("git", "describe", "--always", "--dirty"))
	}
	return strings.Join(parts, "; ") + "."
}

// load is the machine's load average of the last minute: whether somebody else was at work.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// moduleVersion is the version of a module that a Go program was made of: what `go build` puts into a binary, even where the program itself was not told.
func moduleVersion(file, module string) string {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "?"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return m.Version
		}
	}
	return "?"
}
