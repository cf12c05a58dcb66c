//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

// table is the report.
type table struct {
	out     io.Writer
	verbose bool
	counts  map[string]map[string]int // builder, state
	open    int                       // unexplained differences
}

// row prints one verdict.
func (t *table) row(c *conformance.Case, v verdict) {
	if v.shown != "" {
		fmt.Fprintf(t.out, "%s, %s: %s\n", c.Name, v.builder, strings.ReplaceAll(v.shown, "\n", "\n    "))
	}
	if v.state == "" {
		return
	}
	if t.counts == nil {
		t.counts = map[string]map[string]int{}
	}
	if t.counts[v.builder] == nil {
		t.counts[v.builder] = map[string]int{}
	}
	t.counts[v.builder][v.state]++
	t.open += len(v.open)
	state := v.state
	if v.state == "explained" {
		state = fmt.Sprintf("explained (%d)", len(v.explained))
	}
	fmt.Fprintf(t.out, "%-44s %-9s %s\n", c.Name, v.builder, state)
	for _, l := range v.open {
		fmt.Fprintf(t.out, "    ! %s\n", strings.ReplaceAll(l, "\n", "\n      "))
	}
	if t.verbose {
		for _, l := range v.explained {
			fmt.Fprintf(t.out, "    - %s\n", strings.ReplaceAll(l, "\n", "\n      "))
		}
	}
}

// totals prints how many cases ended how, by builder.
func (t *table) totals(cases int, took time.Duration) {
	fmt.Fprintf(t.out, "\n%d cases in %s (left: the executor's, right: the other builder's)\n", cases, took.Round(time.Second))
	for _, b := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(t.out, "%-9s", b)
		for _, state := range []string{"same", "explained", "UNEXPLAINED", "skipped"} {
			fmt.Fprintf(t.out, "  %s %d", state, t.counts[b][state])
		}
		fmt.Fprintln(t.out)
	}
	fmt.Fprintf(t.out, "%d differences are unexplained\n", t.open)
}
