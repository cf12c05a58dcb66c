package cachekey

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	// maxFiles and maxReasons bound how many files, and how many other things, an
	// explanation names; the rest are counted.
	maxFiles   = 8
	maxReasons = 12
)

// EarlierStep is what [Explain] says if nothing of the step itself is different.
const EarlierStep = "the step before changed: the cause is an earlier step"

// Explain says in words, for people, what after depends on that before does not, or
// not so: a sentence for each thing, those that tell most first, a few dozen at most.
// It is nil for equal definitions. The words of lines are those of package plan.
func Explain(before, after Definition) []string {
	if before == after {
		return nil
	}
	var unread []string
	a, err := parse(before)
	if err != nil {
		unread = append(unread, fmt.Sprintf("what the earlier result depends on cannot be read: %v", err))
	}
	b, err := parse(after)
	if err != nil {
		unread = append(unread, fmt.Sprintf("what the later result depends on cannot be read: %v", err))
	}
	if unread != nil {
		return unread
	}
	if one, other := op(a), op(b); one != nil && other != nil && one.fields[0] != other.fields[0] {
		return []string{"it is another instruction: " + change(shown(one.fields), shown(other.fields))}
	}
	return sentences(reasons(couples(a, b)))
}

// reasons are what pairs of lines come to.
func reasons(pairs []couple) []reason {
	var all []reason
	pairs, all = renamed(pairs)
	for _, p := range pairs {
		all = append(all, p.reason())
	}
	slices.SortStableFunc(all, func(a, b reason) int { return cmp.Compare(a.rank, b.rank) })
	return unique(all)
}

// unique leaves out what was said before. That something is in another place is said
// once: one line that moves can move all that belongs to it.
func unique(all []reason) []reason {
	said := map[string]bool{}
	return slices.DeleteFunc(all, func(r reason) bool {
		what := r.text
		if r.rank == order {
			what = "order"
		}
		known := said[what]
		said[what] = true
		return known
	})
}

// A reason is a sentence and how much it tells.
type reason struct {
	rank rank
	text string
}

// rank orders reasons: what the instruction says comes before what it finds, and
// what only follows from another comes last.
type rank uint8

const (
	instruction rank = iota
	base
	variable
	contents
	attribute
	elsewhere
	surroundings
	earlier
	unknown
	order
)

// isFile tells reasons of which there may be one for each file.
func (r rank) isFile() bool { return r == contents || r == attribute }

// sentences are the first of the reasons, with a count of the others where they would
// stand.
func sentences(all []reason) []string {
	var out []string
	var files, others int
	lastFile := 0
	for _, r := range all {
		switch {
		case r.rank.isFile():
			if files++; files <= maxFiles {
				out = append(out, r.text)
				lastFile = len(out)
			}
		default:
			if others++; others <= maxReasons {
				out = append(out, r.text)
			}
		}
	}
	if files > maxFiles {
		out = slices.Insert(out, lastFile, more(files-maxFiles, "file"))
	}
	if others > maxReasons {
		out = append(out, more(others-maxReasons, "difference"))
	}
	return out
}

func more(n int, what string) string {
	if n > 1 {
		what += "s"
	}
	return fmt.Sprintf("and %d more %s", n, what)
}
