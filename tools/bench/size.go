package main

import "fmt"

// sizes are how much the large workloads are of, after what a quick run divides them by.
type sizes struct {
	files     int // of the build context of a million
	layer     int // bytes of the layer of ten gigabytes
	layerFile int // bytes of a file of the forty layers
	push      int // bytes of each of the twenty layers that are pushed
	unchanged int // files of the base that nothing is changed on
}

// sized are the sizes divided by a number, which is at least 1. What is counted by the name of a workload, layers and stages, is never less.
func sized(shrink int) sizes {
	part := func(whole int) int { return max(whole/shrink, 1) }
	return sizes{files: part(1_000_000), layer: part(10 << 30), layerFile: part(20 << 10), push: part(1 << 20), unchanged: part(100_000)}
}

// inUnits is a number of bytes for people: three digits of it.
func inUnits(n int) string {
	for _, unit := range []struct {
		size int
		name string
	}{{1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "kB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
