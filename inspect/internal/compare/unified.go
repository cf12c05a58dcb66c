package compare

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxText is the size, in bytes, up to which a text file is compared line by line.
const MaxText = 1 << 20

const contextLines = 3

// isText reports whether content is what people read: UTF-8 without a zero byte.
func isText(content []byte) bool { return bytes.IndexByte(content, 0) < 0 && utf8.Valid(content) }

// unified is the unified diff of two texts, without the lines that name files.
func unified(a, b []byte) string {
	x, y := lines(a), lines(b)
	pairs := align(len(x), len(y), func(i, j int) bool { return x[i] == y[j] })
	var out strings.Builder
	for at := 0; at < len(pairs); {
		from, to := hunk(pairs, at)
		if from == to {
			break
		}
		writeHunk(&out, pairs, from, to, x, y)
		at = to
	}
	return out.String()
}

// lines are a text's lines; one without an end has a mark behind it.
func lines(text []byte) []string {
	all := strings.SplitAfter(string(text), "\n")
	if last := len(all) - 1; all[last] == "" {
		all = all[:last]
	} else {
		all[last] += "\n\\ No newline at end of file\n"
	}
	return all
}

func (p alignment) same() bool { return p.a >= 0 && p.b >= 0 }

// hunk is the next run of changes from a position on, with lines around it.
func hunk(pairs []alignment, at int) (from, to int) {
	first := at
	for first < len(pairs) && pairs[first].same() {
		first++
	}
	if first == len(pairs) {
		return at, at
	}
	from, to = max(at, first-contextLines), first
	for i, last := first, first; i < len(pairs) && i-last <= 2*contextLines; i++ {
		if !pairs[i].same() {
			last = i
			to = i + 1
		}
	}
	return from, min(len(pairs), to+contextLines)
}

func writeHunk(out *strings.Builder, pairs []alignment, from, to int, x, y []string) {
	var a, b int // lines before the hunk
	for _, p := range pairs[:from] {
		if p.a >= 0 {
			a++
		}
		if p.b >= 0 {
			b++
		}
	}
	var text strings.Builder
	var of, with int
	for _, p := range pairs[from:to] {
		switch {
		case p.same():
			of, with = of+1, with+1
			text.WriteString(" " + x[p.a])
		case p.a >= 0:
			of++
			text.WriteString("-" + x[p.a])
		default:
			with++
			text.WriteString("+" + y[p.b])
		}
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n%s", span(a, of), span(b, with), text.String())
}

// span is a range of lines as a hunk's head has it.
func span(before, count int) string {
	if count == 0 {
		return fmt.Sprintf("%d,0", before)
	}
	return fmt.Sprintf("%d,%d", before+1, count)
}
