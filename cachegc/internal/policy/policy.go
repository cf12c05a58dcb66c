// Package policy decides what of a cache may go. It is a function of what there is, the
// rules and the time; it asks nobody and deletes nothing.
//
// Keeping goes before deleting. What is kept keeps what it was made on, so that it can
// still be found; what is deleted takes with it what was made on it, unless that is kept.
package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Thing is something that may be deleted: an entry of a cache, or a journal.
type Thing struct {
	// ID tells it apart, and is what ties are broken by.
	ID string
	// Journal is the journal of a build: only rules for journals hold for it.
	Journal bool
	Key     string // of an entry
	Parent  string // the key of the entry it was made on, if any
	Lineage string
	Created time.Time // zero if that is not known
	Used    time.Time // last; zero if that is not known
	Hits    int       // how many builds are known to have used it
	Tags    []string
	// Blobs are all that go with it unless something else has them too.
	Blobs []Blob
	// Pinned is why it must stay, whatever the rules; empty if it need not.
	Pinned string
	// Lost tells of an entry that what it was made on is gone.
	Lost bool
	// Told tells of a journal that newer ones say all that it says.
	Told bool
}

// Blob is a part of a thing.
type Blob struct {
	Digest string
	Size   int64 // in bytes
}

// Rules are what goes and what stays. The zero value deletes nothing.
type Rules struct {
	// Grace is how young a thing is that a build may be at work with.
	Grace time.Duration
	// Protect keeps what has a tag that it matches.
	Protect *regexp.Regexp
	// KeepPerLineage is how many entries of each lineage stay, those used last.
	KeepPerLineage int

	// TTL is how old an entry gets, and UnusedFor for how long it stays without being
	// used; 0 is for ever.
	TTL, UnusedFor time.Duration
	// Unreachable deletes entries whose parent is gone.
	Unreachable bool
	// Journals is for how long a journal stays of which newer ones say all that it says;
	// 0 is for ever.
	Journals time.Duration
	// MaxBytes is how much all blobs may take together; if it is more, entries go until it
	// is TargetBytes. 0 is any amount.
	MaxBytes, TargetBytes int64
}

// Rule is the name of what decided.
type Rule string

// The rules, in the order in which they are asked.
const (
	Pinned      Rule = "pinned"
	Protected   Rule = "protect-tags"
	Grace       Rule = "grace"
	Unknown     Rule = "unknown-age"
	PerLineage  Rule = "keep-per-lineage"
	Below       Rule = "needed" // by something that is kept
	TTL         Rule = "ttl"
	UnusedFor   Rule = "unused-for"
	Unreachable Rule = "unreachable"
	Compact     Rule = "journals"
	Above       Rule = "made-on-deleted"
	Budget      Rule = "max-bytes"
	Default     Rule = "default" // no rule wants it gone
)

// Decision is what becomes of a thing.
type Decision struct {
	Delete bool
	Rule   Rule
	Reason string // for people
	// Freed is how many bytes are no more needed, once all that is decided to go before
	// it is gone; 0 of what stays.
	Freed int64
	// Unique is how many bytes only this thing needs, as things are now.
	Unique int64
	keep   bool // a rule wants it
}

// Outcome is what is decided.
type Outcome struct {
	// Decisions are in the order of the things.
	Decisions []Decision
	// Order are the things to be deleted, by number, in the order in which to do it: the
	// one used longest ago first.
	Order []int
	// Before and After are the bytes of all blobs, each counted once.
	Before, After int64
	// Over is by how much After is more than wanted, since the rest is kept.
	Over int64
}

// deciding is an outcome on its way.
type deciding struct {
	things []Thing
	rules  Rules
	now    time.Time
	out    []Decision

	byKey    map[string]int
	children [][]int
	depth    []int
	used     []time.Time // last, of the thing or what was made on it
	needs    map[string]*need
	bytes    int64
}

// need is a blob, and how many things need it.
type need struct {
	size int64
	by   int
}

// Decide decides. Its outcome depends on nothing but its arguments, and not on the order of
// things.
func Decide(things []Thing, r Rules, now time.Time) Outcome {
	order := make([]int, len(things))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(things[a].ID, things[b].ID) })
	sorted := make([]Thing, len(things))
	for to, from := range order {
		sorted[to] = things[from]
	}
	o := decide(sorted, r, now)
	back := make([]Decision, len(things))
	for to, from := range order {
		back[from] = o.Decisions[to]
	}
	for n, i := range o.Order {
		o.Order[n] = order[i]
	}
	o.Decisions = back
	return o
}

func decide(things []Thing, r Rules, now time.Time) Outcome {
	d := &deciding{things: things, rules: r, now: now, out: make([]Decision, len(things))}
	d.relate()
	d.count()
	before := d.bytes
	d.keep()
	d.remove()
	order := d.spend()
	for i := range d.out {
		if d.out[i].Rule == "" {
			d.out[i].Rule, d.out[i].Reason = Default, "no rule wants it gone"
		}
	}
	o := Outcome{Decisions: d.out, Order: order, Before: before, After: d.bytes}
	if r.MaxBytes > 0 {
		o.Over = max(0, d.bytes-r.MaxBytes)
	}
	return o
}

// relate finds out what was made on what. A ring, which nobody makes in good faith, is cut
// open where it is met again.
func (d *deciding) relate() {
	n := len(d.things)
	d.byKey, d.children, d.depth, d.used = map[string]int{}, make([][]int, n), make([]int, n), make([]time.Time, n)
	for i, t := range d.things {
		d.used[i] = t.Used
		if t.Journal || t.Key == "" {
			continue
		}
		if other, ok := d.byKey[t.Key]; !ok || d.things[other].ID > t.ID {
			d.byKey[t.Key] = i
		}
	}
	for i := range d.things {
		if p, ok := d.parent(i); ok {
			d.children[p] = append(d.children[p], i)
		}
	}
	for i, t := range d.things {
		d.ancestors(i, func(p int) bool {
			d.depth[i]++
			if t.Used.After(d.used[p]) {
				d.used[p] = t.Used
			}
			return true
		})
	}
}

// parent is what a thing was made on, if that is there.
func (d *deciding) parent(i int) (int, bool) {
	if d.things[i].Journal || d.things[i].Parent == "" {
		return 0, false
	}
	p, ok := d.byKey[d.things[i].Parent]
	return p, ok && p != i
}

// maxDepth bounds how many steps a chain has; a Dockerfile has some hundred.
const maxDepth = 10_000

// ancestors gives f what a thing was made on, and what that was, as long as f is true.
func (d *deciding) ancestors(i int, f func(int) bool) {
	at := i
	for range maxDepth {
		p, ok := d.parent(at)
		if !ok || p == i || !f(p) {
			return
		}
		at = p
	}
}

// count counts all blobs, each once.
func (d *deciding) count() {
	d.needs = map[string]*need{}
	for _, t := range d.things {
		for _, b := range t.Blobs {
			n := d.needs[b.Digest]
			if n == nil {
				n = &need{size: b.Size}
				d.needs[b.Digest] = n
				d.bytes += b.Size
			}
			n.by++
		}
	}
	for i, t := range d.things {
		for _, b := range t.Blobs {
			if n := d.needs[b.Digest]; n.by == 1 {
				d.out[i].Unique += n.size
			}
		}
	}
}

// free counts the blobs that nobody needs once a thing is gone.
func (d *deciding) free(i int) {
	for _, b := range d.things[i].Blobs {
		n := d.needs[b.Digest]
		if n.by--; n.by == 0 {
			d.bytes -= n.size
			d.out[i].Freed += n.size
		}
	}
}

// keep finds what has to stay.
func (d *deciding) keep() {
	for i := range d.things {
		if rule, reason := d.protection(i); rule != "" {
			d.hold(i, rule, reason)
		}
	}
	d.keepLineages()
	for i := range d.things {
		if !d.out[i].keep || d.out[i].Rule == Below {
			continue
		}
		d.ancestors(i, func(p int) bool {
			if d.out[p].keep {
				return false // what that was made on is kept for its sake
			}
			d.hold(p, Below, fmt.Sprintf("%.12s, which stays, was made on it", d.things[i].Key))
			return true
		})
	}
}

func (d *deciding) hold(i int, rule Rule, reason string) {
	d.out[i].keep, d.out[i].Rule, d.out[i].Reason = true, rule, reason
}

// protection is why a thing has to stay whatever else there is.
func (d *deciding) protection(i int) (Rule, string) {
	t := &d.things[i]
	if t.Pinned != "" {
		return Pinned, t.Pinned
	}
	if r := d.rules.Protect; r != nil {
		for _, tag := range t.Tags {
			if r.MatchString(tag) {
				return Protected, fmt.Sprintf("its tag %s is protected", tag)
			}
		}
	}
	switch young := d.now.Sub(latest(t.Created, d.used[i])); {
	case t.Created.IsZero() && t.Used.IsZero():
		return Unknown, "nobody knows how old it is"
	case young < d.rules.Grace:
		return Grace, fmt.Sprintf("made or used %s ago: a build may be at work with it for %s", Age(young), Age(d.rules.Grace))
	}
	return "", ""
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// keepLineages keeps the entries of each lineage that were used last.
func (d *deciding) keepLineages() {
	if d.rules.KeepPerLineage <= 0 {
		return
	}
	lineages := map[string][]int{}
	for i, t := range d.things {
		if !t.Journal {
			lineages[t.Lineage] = append(lineages[t.Lineage], i)
		}
	}
	for _, members := range lineages {
		// Whoever was made on another counts before it, and keeps it too.
		slices.SortFunc(members, func(a, b int) int {
			x, y := &d.things[a], &d.things[b]
			return cmp.Or(y.Used.Compare(x.Used), d.depth[b]-d.depth[a], y.Hits-x.Hits, a-b)
		})
		for n, i := range members[:min(len(members), d.rules.KeepPerLineage)] {
			if !d.out[i].keep {
				d.hold(i, PerLineage, fmt.Sprintf("number %d of those of its lineage that were used last", n+1))
			}
		}
	}
}

// remove finds what is too old, and what goes with it.
func (d *deciding) remove() {
	for i := range d.things {
		if d.out[i].keep {
			continue
		}
		if rule, reason := d.wanted(i); rule != "" {
			d.drop(i, rule, reason)
		}
	}
	for i := range d.things {
		if d.out[i].Delete && d.out[i].Rule != Above {
			d.dropChildren(i)
		}
	}
}

func (d *deciding) drop(i int, rule Rule, reason string) {
	d.out[i].Delete, d.out[i].Rule, d.out[i].Reason = true, rule, reason
	d.free(i)
}

// dropChildren has go what was made on something that goes. What is kept keeps what it was
// made on, so it is never among them.
func (d *deciding) dropChildren(i int) {
	for todo := []int{i}; len(todo) > 0; todo = todo[1:] {
		for _, c := range d.children[todo[0]] {
			if d.out[c].Delete || d.out[c].keep {
				continue
			}
			d.drop(c, Above, fmt.Sprintf("%.12s, on which it was made, goes", d.things[todo[0]].Key))
			todo = append(todo, c)
		}
	}
}

// wanted is the rule that wants a thing gone.
func (d *deciding) wanted(i int) (Rule, string) {
	t := &d.things[i]
	age, unused := d.now.Sub(t.Created), d.now.Sub(d.used[i])
	r := &d.rules
	switch {
	case t.Journal && t.Told && r.Journals > 0 && !t.Created.IsZero() && age > r.Journals:
		return Compact, fmt.Sprintf("a journal of %s ago that says nothing newer ones do not", Age(age))
	case t.Journal:
	case r.TTL > 0 && !t.Created.IsZero() && age > r.TTL:
		return TTL, fmt.Sprintf("made %s ago, more than %s", Age(age), Age(r.TTL))
	case r.UnusedFor > 0 && !d.used[i].IsZero() && unused > r.UnusedFor:
		return UnusedFor, fmt.Sprintf("not used for %s, more than %s", Age(unused), Age(r.UnusedFor))
	case r.Unreachable && t.Lost:
		return Unreachable, fmt.Sprintf("%.12s, on which it was made, is gone", t.Parent)
	}
	return "", ""
}

// compare puts what was used longest ago first; among those used together what fewer
// builds used, then what was made on others before these.
func (d *deciding) compare(a, b int) int {
	x, y := &d.things[a], &d.things[b]
	if c := d.used[a].Compare(d.used[b]); c != 0 {
		return c
	}
	// What a parent is used by counts for it, so depth goes before hits: a child must not
	// come after what it was made on.
	if c := d.depth[b] - d.depth[a]; c != 0 {
		return c
	}
	if c := x.Hits - y.Hits; c != 0 {
		return c
	}
	switch {
	case x.ID < y.ID:
		return -1
	case x.ID > y.ID:
		return 1
	}
	return 0
}

// spend has entries go until there are few enough bytes, and puts all that goes in order.
func (d *deciding) spend() []int {
	all := make([]int, len(d.things))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, d.compare)
	if d.rules.MaxBytes > 0 && d.bytes > d.rules.MaxBytes {
		target := d.rules.TargetBytes
		if target <= 0 || target > d.rules.MaxBytes {
			target = d.rules.MaxBytes
		}
		over := d.bytes
		for _, i := range all {
			if d.bytes <= target {
				break
			}
			if d.out[i].keep || d.out[i].Delete || d.things[i].Journal {
				continue
			}
			d.drop(i, Budget, fmt.Sprintf("used longest ago, %s before, of %d bytes where %d are wanted", Age(d.now.Sub(d.used[i])), over, target))
			d.dropChildren(i)
		}
	}
	return slices.DeleteFunc(all, func(i int) bool { return !d.out[i].Delete })
}

// Age is a duration for people: whole days, hours, minutes or seconds.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d >= 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
