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

func (r *report) leaveOut(load, who, why string) {
	if r.without == nil {
		r.without = map[string]string{}
	}
	r.without[load+"\n"+who] = why
}

func (r *report) cell(load, who string) *cell { return r.cells[load+"\n"+who] }

// The builder the others are compared with.
const reference = "buildah"

// print writes the table in Markdown, which reads well enough on a terminal.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", r.machine)
	fmt.Fprintln(w, "| workload | builder | n | wall s (min..max) | CPU s (min..max) | own process MB | largest process MB | wall ratio | CPU ratio | layers | image MB | pulled MB |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, load := range r.workloads {
		for _, b := range r.builders {
			c := r.cell(load.Name, b.Name)
			if c == nil {
				why, out := r.without[load.Name+"\n"+b.Name]
				if !out {
					why = "failed"
				}
				if why != "" {
					fmt.Fprintf(w, "| %s | %s | 0 | %s | | | | | | | | |\n", load.Name, b.Name, why)
				}
				continue
			}
			base := r.base(load, b)
			wall, cpu := c.column(func(s builder.Sample) float64 { return s.Wall }), c.column(func(s builder.Sample) float64 { return s.CPU })
			own, largest := c.column(func(s builder.Sample) float64 { return float64(s.Own) / 1e6 }), c.column(func(s builder.Sample) float64 { return float64(s.Largest) / 1e6 })
			ratioWall, ratioCPU := "", ""
			if base != nil {
				ratioWall = ratio(median(wall), median(base.column(func(s builder.Sample) float64 { return s.Wall })))
				ratioCPU = ratio(median(cpu), median(base.column(func(s builder.Sample) float64 { return s.CPU })))
			}
			fmt.Fprintf(w, "| %s | %s | %d | %s | %s | %.0f | %.0f | %s | %s | %d | %.1f | %.1f |\n", load.Name, b.Name, len(c.samples),
				spread(wall), spread(cpu), median(own), median(largest), ratioWall, ratioCPU, c.image.Layers, float64(c.image.Size)/1e6, median(c.column(func(s builder.Sample) float64 { return float64(s.Pulled) / 1e6 })))
		}
	}
	fmt.Fprintln(w, "\nWorkloads:")
	for _, load := range r.workloads {
		fmt.Fprintf(w, "* **%s**: %s.\n", load.Name, load.What)
	}
	fmt.Fprintln(w, "\nBuilders:")
	for _, b := range r.builders {
		fmt.Fprintf(w, "* **%s**: %s.\n", b.Name, b.What)
	}
}

// base is what a builder's figures on a workload are divided by; nil without that.
func (r *report) base(load Workload, b builder.Builder) *cell {
	if load.Against != "" {
		return r.cell(load.Against, b.Name)
	}
	if b.Name == reference {
		return nil
	}
	return r.cell(load.Name, reference)
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

func ratio(a, b float64) string { return fmt.Sprintf("%.2f", a/b) }

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
