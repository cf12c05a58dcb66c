package inventory

import (
	"cmp"
	"slices"
	"time"
)

// Stats are numbers of a cache. Bytes count each blob once.
type Stats struct {
	Place    string `json:"place"`
	Tags     int    `json:"tags"`
	Others   int    `json:"others"`
	Entries  int    `json:"entries"`
	Foreign  int    `json:"foreign"`
	Journals int    `json:"journals"`
	Bytes    int64  `json:"bytes"`
	// Hits are how often journals list an entry, and Unused how many none lists.
	Hits   int `json:"hits"`
	Unused int `json:"unused"`
	// Made and Used are how many entries there are of each age, and not used for so long.
	Made []Span `json:"made"`
	Used []Span `json:"used"`
	// Lineages are the largest first.
	Lineages []Lineage `json:"lineages"`
}

// Span is how many entries are younger than an age and older than that of the span before.
type Span struct {
	Under   string `json:"under"` // the last has "older", and what has no time is "unknown"
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

// Lineage is what builds that belong together have in a cache.
type Lineage struct {
	Lineage  string    `json:"lineage"`
	Entries  int       `json:"entries"`
	Journals int       `json:"journals"`
	Bytes    int64     `json:"bytes"`
	Hits     int       `json:"hits"`
	Used     time.Time `json:"used,omitzero"`
}

// spans are the ages that are told apart.
func spans() []struct {
	name string
	age  time.Duration
} {
	const day = 24 * time.Hour
	return []struct {
		name string
		age  time.Duration
	}{{"1h", time.Hour}, {"1d", day}, {"7d", 7 * day}, {"14d", 14 * day}, {"30d", 30 * day}, {"90d", 90 * day}}
}

// Count makes the numbers of an inventory.
func Count(at string, i *Inventory, now time.Time) Stats {
	s := Stats{Place: at, Tags: i.Tags, Others: i.Others, Made: noSpans(), Used: noSpans()}
	seen := map[string]bool{}
	lineages := map[string]*Lineage{}
	for _, item := range i.Items {
		var size, own int64
		for _, b := range item.Blobs {
			size += b.Size
			if !seen[b.Digest] {
				seen[b.Digest] = true
				own += b.Size
			}
		}
		s.Bytes += own
		l := lineages[item.Lineage]
		if l == nil {
			l = &Lineage{Lineage: item.Lineage}
			lineages[item.Lineage] = l
		}
		l.Bytes += own
		if item.Used.After(l.Used) {
			l.Used = item.Used
		}
		if item.Kind == Journal {
			s.Journals++
			l.Journals++
			continue
		}
		if item.Kind == Foreign {
			s.Foreign++
		}
		s.Entries++
		l.Entries++
		l.Hits += item.Hits
		s.Hits += item.Hits
		if item.Hits == 0 {
			s.Unused++
		}
		into(s.Made, item.Created, now, size)
		into(s.Used, item.Used, now, size)
	}
	for _, l := range lineages {
		s.Lineages = append(s.Lineages, *l)
	}
	slices.SortFunc(s.Lineages, func(a, b Lineage) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Lineage, b.Lineage))
	})
	return s
}

func noSpans() []Span {
	var all []Span
	for _, s := range spans() {
		all = append(all, Span{Under: s.name})
	}
	return append(all, Span{Under: "older"}, Span{Under: "unknown"})
}

// into counts an entry where it belongs.
func into(all []Span, t, now time.Time, size int64) {
	at := len(all) - 1
	if !t.IsZero() {
		at = len(all) - 2
		for n, s := range spans() {
			if now.Sub(t) < s.age {
				at = n
				break
			}
		}
	}
	all[at].Entries++
	all[at].Bytes += size
}
