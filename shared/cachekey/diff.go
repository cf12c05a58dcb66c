package cachekey

import (
	"slices"
	"sort"
	"strings"
)

const (
	// maxTable bounds the table that finds the longest common subsequence of lines
	// of which none is the only one of its text, and maxDepth how often what lies
	// between two such lines is searched for more. Beyond, lines count as changed.
	maxTable = 1 << 20
	maxDepth = 64
)

// A Change is a line that only one of two definitions has in its place.
type Change struct {
	New  bool   // it is the second's; else the first's
	Line int    // its number there, from 1, which is that of the version
	Text string // without its end
}

// Diff is what has to go from a, and what has to come, for b to be left: in the order
// of the lines, what goes before what comes. It need not be the shortest such list,
// but takes time and memory hardly more than in proportion to the definitions' size.
// They need not be of a form that [Definition.Lines] reads.
func Diff(a, b Definition) []Change {
	if a == b {
		return nil
	}
	d := differ{a: splitLines(a), b: splitLines(b)}
	d.compare(span{0, len(d.a)}, span{0, len(d.b)}, 0)
	return d.changes
}

func splitLines(d Definition) []string {
	return slices.Collect(strings.Lines(string(d)))
}

type differ struct {
	a, b    []string
	changes []Change
}

// span is lines from one number up to another.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// compare goes by lines that each side has once, which are nearly all there are: they
// are the fixed points, and what lies between is compared in its turn.
func (d *differ) compare(a, b span, depth int) {
	a, b = d.trim(a, b)
	if a.len() == 0 || b.len() == 0 {
		d.replace(a, b)
		return
	}
	var fixed []pair
	if depth < maxDepth {
		fixed = increasing(d.once(a, b))
	}
	if len(fixed) == 0 {
		d.table(a, b)
		return
	}
	for _, p := range fixed {
		d.compare(span{a.from, p.a}, span{b.from, p.b}, depth+1)
		a.from, b.from = p.a+1, p.b+1
	}
	d.compare(a, b, depth+1)
}

// trim leaves out what both begin and end with.
func (d *differ) trim(a, b span) (span, span) {
	for a.len() > 0 && b.len() > 0 && d.a[a.from] == d.b[b.from] {
		a.from++
		b.from++
	}
	for a.len() > 0 && b.len() > 0 && d.a[a.to-1] == d.b[b.to-1] {
		a.to--
		b.to--
	}
	return a, b
}

// replace has all of a go, and all of b come.
func (d *differ) replace(a, b span) {
	for i := a.from; i < a.to; i++ {
		d.say(false, i)
	}
	for i := b.from; i < b.to; i++ {
		d.say(true, i)
	}
}

func (d *differ) say(isNew bool, i int) {
	lines := d.a
	if isNew {
		lines = d.b
	}
	d.changes = append(d.changes, Change{New: isNew, Line: i + 1, Text: strings.TrimSuffix(lines[i], "\n")})
}

// pair is the places of a line in both definitions.
type pair struct{ a, b int }

// once finds the lines that are exactly once in a and exactly once in b, in the order
// of a.
func (d *differ) once(a, b span) []pair {
	const several = -1
	place := func(lines []string, s span) map[string]int {
		at := make(map[string]int, s.len())
		for i := s.from; i < s.to; i++ {
			if _, ok := at[lines[i]]; ok {
				at[lines[i]] = several
			} else {
				at[lines[i]] = i
			}
		}
		return at
	}
	inA, inB := place(d.a, a), place(d.b, b)
	var found []pair
	for i := a.from; i < a.to; i++ {
		if inA[d.a[i]] == several {
			continue
		}
		if j, ok := inB[d.a[i]]; ok && j != several {
			found = append(found, pair{i, j})
		}
	}
	return found
}

// increasing is the longest of the sequences of pairs in which b grows as a does.
func increasing(pairs []pair) []pair {
	var ends []int // ends[n] is the pair with the least b that ends a sequence of n+1
	before := make([]int, len(pairs))
	for i, p := range pairs {
		n := sort.Search(len(ends), func(n int) bool { return pairs[ends[n]].b >= p.b })
		before[i] = -1
		if n > 0 {
			before[i] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, i)
		} else {
			ends[n] = i
		}
	}
	if len(ends) == 0 {
		return nil
	}
	longest := make([]pair, len(ends))
	for n, i := len(ends)-1, ends[len(ends)-1]; n >= 0; n, i = n-1, before[i] {
		longest[n] = pairs[i]
	}
	return longest
}

// table compares what has no line by which to go: by the longest common subsequence
// if that is affordable.
func (d *differ) table(a, b span) {
	if a.len()*b.len() > maxTable {
		d.replace(a, b)
		return
	}
	width := b.len() + 1
	longest := make([]int32, (a.len()+1)*width) // of what follows, for each two places
	for i := a.len() - 1; i >= 0; i-- {
		for j := b.len() - 1; j >= 0; j-- {
			if d.a[a.from+i] == d.b[b.from+j] {
				longest[i*width+j] = longest[(i+1)*width+j+1] + 1
			} else {
				longest[i*width+j] = max(longest[(i+1)*width+j], longest[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < a.len() && j < b.len() {
		switch {
		case d.a[a.from+i] == d.b[b.from+j]:
			i, j = i+1, j+1
		case longest[(i+1)*width+j] >= longest[i*width+j+1]:
			d.say(false, a.from+i)
			i++
		default:
			d.say(true, b.from+j)
			j++
		}
	}
	d.replace(span{a.from + i, a.to}, span{b.from + j, b.to})
}
