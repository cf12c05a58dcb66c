package main

import (
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
)

// The targets: ratios of medians of one run, and what one process of the builder may have at its peak.
const (
	ofPeer       = 0.7
	ofFloor      = 1.5
	peakMemory   = 150e6 // bytes, where a workload does not say otherwise
	stepSeconds  = 0.05  // of a RUN that changes nothing
	oursAreNamed = "executor"
)

// A cost is what is compared: medians, in seconds.
type cost struct{ wall, cpu float64 }

// Seconds of a sample.
func wallOf(s builder.Sample) float64 { return s.Wall }
func cpuOf(s builder.Sample) float64  { return s.CPU }

func (c *cell) cost() *cost {
	if c == nil {
		return nil
	}
	return &cost{median(c.column(wallOf)), median(c.column(cpuOf))}
}

// peer is the better of the other builders, by wall and by CPU time each for itself; nil if there is none.
func (r *report) peer(load string) *cost {
	best := cost{math.Inf(1), math.Inf(1)}
	for _, b := range r.builders {
		if c := r.cell(load, b.Name).cost(); c != nil && !ours(b.Name) {
			best = cost{min(best.wall, c.wall), min(best.cpu, c.cpu)}
		}
	}
	if math.IsInf(best.wall, 1) {
		return nil
	}
	return &best
}

func ours(builder string) bool { return strings.HasPrefix(builder, oursAreNamed) }

// floor is what all the parts of a workload's floor cost: their processor time is added up. What can be done at the same time takes as long as the longest of it, and not less than its processor time on
// all processors. nil if there is none, or a part was not measured.
func (r *report) floor(load Workload) *cost {
	var sum cost
	for _, p := range load.Floor {
		c := r.cell(load.Name, floorOf+": "+p.Name).cost()
		if c == nil {
			return nil
		}
		sum.cpu += c.cpu
		sum.wall = max(sum.wall, c.wall)
	}
	if len(load.Floor) == 0 {
		return nil
	}
	sum.wall = max(sum.wall, sum.cpu/float64(runtime.NumCPU()))
	return &sum
}

// steps is what one of the workload's further steps cost with a builder: its rounds less those of the workload without the steps. A round that failed in one of them leaves the last ones without a partner.
func (r *report) steps(load Workload, who string) *cell {
	more, less := r.cell(load.Name, who), r.cell(load.Less, who)
	if load.Steps == 0 || more == nil || less == nil {
		return nil
	}
	each := &cell{image: more.image}
	for i := range min(len(more.samples), len(less.samples)) {
		a, b := more.samples[i], less.samples[i]
		each.samples = append(each.samples, builder.Sample{
			Wall: (a.Wall - b.Wall) / float64(load.Steps), CPU: (a.CPU - b.CPU) / float64(load.Steps), Own: a.Own, Largest: a.Largest,
		})
	}
	return each
}

// stepWorkload is the row for what one step costs, with only the part of the floor that each step needs.
func (load Workload) stepWorkload() Workload {
	step := Workload{Name: load.Name + ", a step", What: load.What, Memory: load.Memory}
	for _, p := range load.Floor {
		if p.Name == load.Step {
			step.Floor = append(step.Floor, p)
		}
	}
	return step
}

// withSteps adds the rows of steps to what was measured.
func (r *report) withSteps() {
	for _, load := range r.workloads {
		if load.Steps == 0 {
			continue
		}
		step := load.stepWorkload()
		for _, b := range r.builders {
			if c := r.steps(load, b.Name); c != nil {
				r.put(step.Name, b.Name, c)
			} else {
				r.leaveOut(step.Name, b.Name, "")
			}
		}
		for _, p := range step.Floor {
			if c := r.cell(load.Name, floorOf+": "+p.Name); c != nil {
				r.put(step.Name, floorOf+": "+p.Name, c)
			}
		}
		step.PerStep = true
		r.rows = append(r.rows, step)
	}
}

// misses are the targets that a builder of ours misses on a workload, and how many it has there. The memory is bytes.
func misses(load Workload, c cost, memory float64, peer, floor *cost) (missed []string, targets int) {
	check := func(what string, got, most float64, unit string) {
		targets++
		if got > most {
			missed = append(missed, fmt.Sprintf("%s %.2f > %.2f%s", what, got, most, unit))
		}
	}
	if peer != nil {
		check("wall", c.wall/peer.wall, ofPeer, " of the peer")
		check("CPU", c.cpu/peer.cpu, ofPeer, " of the peer")
	}
	if floor != nil {
		check("wall", c.wall/floor.wall, ofFloor, " of the floor")
		check("CPU", c.cpu/floor.cpu, ofFloor, " of the floor")
	}
	if load.PerStep {
		check("wall", c.wall*1000, stepSeconds*1000, " ms")
		return missed, targets
	}
	most := float64(peakMemory)
	if load.Memory > 0 {
		most = float64(load.Memory)
	}
	targets++
	if memory > most {
		missed = append(missed, fmt.Sprintf("%.0f > %.0f MB", memory/1e6, most/1e6))
	}
	return missed, targets
}
