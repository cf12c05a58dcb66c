package cachekey

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// apply does to a definition what Diff says.
func apply(t *testing.T, a Definition, changes []Change) Definition {
	t.Helper()
	old, at := splitLines(a), 0
	var out []string
	keep := func(n int) {
		for ; n > 0; n-- {
			out = append(out, old[at])
			at++
		}
	}
	for _, c := range changes {
		if c.New {
			keep(c.Line - 1 - len(out))
			out = append(out, c.Text+"\n")
			continue
		}
		keep(c.Line - 1 - at)
		if got := strings.TrimSuffix(old[at], "\n"); got != c.Text {
			t.Fatalf("line %d is %q, said to be %q", c.Line, got, c.Text)
		}
		at++
	}
	keep(len(old) - at)
	return Definition(strings.Join(out, ""))
}

func lines(all ...string) Definition { return Definition(strings.Join(all, "\n") + "\n") }

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Definition
		want string
	}{
		{"equal", lines("a", "b"), lines("a", "b"), ""},
		{"one changed", lines("a", "b", "c"), lines("a", "x", "c"), "-2 b, +2 x"},
		{"one new", lines("a", "c"), lines("a", "b", "c"), "+2 b"},
		{"one gone", lines("a", "b", "c"), lines("a", "c"), "-2 b"},
		{"all", lines("a", "b"), lines("x", "y"), "-1 a, -2 b, +1 x, +2 y"},
		{"swapped", lines("a", "b"), lines("b", "a"), "-1 a, +2 a"},
		{"block moved", lines("a", "b", "c", "d", "e"), lines("d", "e", "a", "b", "c"), "+1 d, +2 e, -4 d, -5 e"},
		{"doubles", lines("a", "a", "b", "b"), lines("a", "b", "a", "b"), "-2 a, +3 a"},
		{"nothing to go by", lines("a", "a", "b", "b", "c"), lines("b", "b", "a", "a", "d"), "-1 a, -2 a, -5 c, +3 a, +4 a, +5 d"},
		{"between fixed lines", lines("1", "x", "x", "2", "y", "3"), lines("1", "x", "2", "y", "y", "3"), "-3 x, +4 y"},
		{"from nothing", "", lines("a"), "+1 a"},
	} {
		changes := Diff(c.a, c.b)
		var got []string
		for _, ch := range changes {
			got = append(got, fmt.Sprintf("%s%d %s", map[bool]string{false: "-", true: "+"}[ch.New], ch.Line, ch.Text))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
		if got := apply(t, c.a, changes); got != c.b {
			t.Errorf("%s: applied makes %q, not %q", c.name, got, c.b)
		}
	}
}

func TestDiff_random(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		letters := 1 + r.IntN(12)
		random := func() []string {
			all := make([]string, r.IntN(30))
			for i := range all {
				all[i] = fmt.Sprint(r.IntN(letters))
			}
			return all
		}
		a, b := random(), random()
		if r.IntN(2) == 0 { // or nearly the same
			b = slices.Clone(a)
			for range r.IntN(4) {
				at := r.IntN(len(b) + 1)
				b = slices.Insert(b, at, fmt.Sprint(r.IntN(letters)))
			}
		}
		one, two := lines(a...), lines(b...)
		changes := Diff(one, two)
		if got := apply(t, one, changes); got != two {
			t.Fatalf("%q to %q: applied makes %q", one, two, got)
		}
		if (one == two) != (len(changes) == 0) || len(changes) > len(splitLines(one))+len(splitLines(two)) {
			t.Fatalf("%q to %q: %d changes", one, two, len(changes))
		}
	}
}

// Definitions of a hundred thousand files are compared in no time, whatever is in them.
func TestDiff_large(t *testing.T) {
	const n = 100_000
	list := func(text func(i int) string) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = text(i)
		}
		return all
	}
	file := func(i int) string { return fmt.Sprintf("file 0644 sha256:%064x src/%06d", i, i) }
	base := list(file)
	edited := slices.Clone(base)
	for i := 0; i < n; i += 1000 {
		edited[i] += ".new"
	}
	reversed := slices.Clone(base)
	slices.Reverse(reversed)
	for name, c := range map[string]struct {
		b    []string
		want int // changes
	}{
		"some edited":       {edited, 2 * n / 1000},
		"all other":         {list(func(i int) string { return file(i + n) }), 2 * n},
		"reversed":          {reversed, 2 * (n - 1)},
		"the same line":     {list(func(int) string { return "x" }), 2 * n},
		"half of them gone": {base[n/2:], n / 2},
		"few kinds":         {list(func(i int) string { return fmt.Sprint(i % 7) }), 2 * n},
	} {
		changes := Diff(lines(base...), lines(c.b...))
		if len(changes) != c.want {
			t.Errorf("%s: %d changes, want %d", name, len(changes), c.want)
		}
		if got := apply(t, lines(base...), changes); got != lines(c.b...) {
			t.Errorf("%s: what was applied makes something else", name)
		}
	}
	// Texts made to have few fixed lines, and those far apart.
	nested := func(outer, inner string) Definition {
		var w strings.Builder
		for i := range n {
			fmt.Fprintf(&w, "%s %d\n%s %d\n", outer, i%(n/3), inner, i%5)
		}
		return Definition(w.String())
	}
	a, b := nested("x", "y"), nested("y", "x")
	if got := apply(t, a, Diff(a, b)); got != b {
		t.Error("nested: what was applied makes something else")
	}
}
