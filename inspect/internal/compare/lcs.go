package compare

// alignment is a pair of positions, one in each of two lists; -1 where there is no
// counterpart.
type alignment struct{ a, b int }

// maxTable bounds the cells of the table that align fills, 4 bytes each. Longer lists
// are aligned from their ends only.
const maxTable = 16 << 20

// align matches the elements of two lists, n and m long, by a longest common
// subsequence, so that one more in either does not shift the rest. What has no
// counterpart comes before what follows it, of the first list first.
func align(n, m int, equal func(a, b int) bool) []alignment {
	var head, tail []alignment
	a, b := 0, 0
	for a < n && b < m && equal(a, b) {
		head = append(head, alignment{a, b})
		a, b = a+1, b+1
	}
	for n > a && m > b && equal(n-1, m-1) {
		n, m = n-1, m-1
		tail = append(tail, alignment{n, m})
	}
	head = append(head, middle(a, n, b, m, equal)...)
	for i := len(tail) - 1; i >= 0; i-- {
		head = append(head, tail[i])
	}
	return head
}

func middle(a, n, b, m int, equal func(a, b int) bool) []alignment {
	rows, columns := n-a+1, m-b+1
	var out []alignment
	if rows*columns <= maxTable {
		longest := make([]int32, rows*columns)
		for i := rows - 2; i >= 0; i-- {
			for j := columns - 2; j >= 0; j-- {
				at := i*columns + j
				if equal(a+i, b+j) {
					longest[at] = longest[at+columns+1] + 1
				} else {
					longest[at] = max(longest[at+columns], longest[at+1])
				}
			}
		}
		i, j := 0, 0
		for i < rows-1 && j < columns-1 {
			at := i*columns + j
			switch {
			case equal(a+i, b+j):
				out = append(out, alignment{a + i, b + j})
				i, j = i+1, j+1
			case longest[at+columns] >= longest[at+1]:
				out = append(out, alignment{a + i, -1})
				i++
			default:
				out = append(out, alignment{-1, b + j})
				j++
			}
		}
		a, b = a+i, b+j
	}
	for ; a < n; a++ {
		out = append(out, alignment{a, -1})
	}
	for ; b < m; b++ {
		out = append(out, alignment{-1, b})
	}
	return out
}

// gap is a run of elements that have no counterpart, from one matched pair to the next.
type gap struct{ a, b []int }

// pairUp matches what align left: elements of a gap that are alike first, then those
// at the same place, if a gap has as many of one list as of the other, and last
// whatever is left of both, in order.
func pairUp(pairs []alignment, alike func(a, b int) bool) []alignment {
	var out []alignment
	var g gap
	flush := func() {
		out = append(out, g.pair(alike)...)
		g = gap{}
	}
	for _, p := range pairs {
		switch {
		case p.a >= 0 && p.b >= 0:
			flush()
			out = append(out, p)
		case p.a >= 0:
			g.a = append(g.a, p.a)
		default:
			g.b = append(g.b, p.b)
		}
	}
	flush()
	return out
}

func (g gap) pair(alike func(a, b int) bool) []alignment {
	var out []alignment
	var rest gap
	inOrder := func() {
		for i := range max(len(rest.a), len(rest.b)) {
			p := alignment{-1, -1}
			if i < len(rest.a) {
				p.a = rest.a[i]
			}
			if i < len(rest.b) {
				p.b = rest.b[i]
			}
			out = append(out, p)
		}
		rest = gap{}
	}
	for _, p := range align(len(g.a), len(g.b), func(i, j int) bool { return alike(g.a[i], g.b[j]) }) {
		switch {
		case p.a >= 0 && p.b >= 0:
			inOrder()
			out = append(out, alignment{g.a[p.a], g.b[p.b]})
		case p.a >= 0:
			rest.a = append(rest.a, g.a[p.a])
		default:
			rest.b = append(rest.b, g.b[p.b])
		}
	}
	inOrder()
	return out
}
