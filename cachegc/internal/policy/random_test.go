package policy

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func now() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// world is a random cache: chains that branch, blobs that several have, journals, things
// whose age nobody knows, and parents that are not there or make a ring.
func world(r *rand.Rand) []Thing {
	things := make([]Thing, r.IntN(60))
	for i := range things {
		t := &things[i]
		t.ID, t.Key = fmt.Sprintf("sha256:%04x", i), fmt.Sprintf("%04x", i)
		t.Lineage = string(rune('a' + r.IntN(4)))
		t.Tags = []string{t.Key}
		if r.IntN(20) > 0 {
			t.Created = now().Add(-time.Duration(r.IntN(60*24)) * time.Hour)
			t.Used = t.Created
			if r.IntN(2) == 0 {
				t.Used = now().Add(-time.Duration(r.Int64N(int64(now().Sub(t.Created)) + 1)))
			}
		}
		switch r.IntN(10) {
		case 0:
			t.Parent = fmt.Sprintf("%04x", r.IntN(80)) // anything, itself and what is not there
		case 1, 2:
		default:
			if i > 0 {
				t.Parent = fmt.Sprintf("%04x", r.IntN(i))
			}
		}
		t.Hits = r.IntN(4)
		t.Lost = r.IntN(5) == 0
		if r.IntN(15) == 0 {
			t.Pinned = "because"
		}
		if r.IntN(6) == 0 {
			t.Journal, t.Told, t.Key, t.Parent = true, r.IntN(2) == 0, "", ""
		}
		for range r.IntN(4) {
			n := r.IntN(90)
			b := Blob{fmt.Sprintf("blob%d", n), int64(n * 10)}
			if !slices.Contains(t.Blobs, b) {
				t.Blobs = append(t.Blobs, b)
			}
		}
	}
	return things
}

func anyRules(r *rand.Rand) Rules {
	var x Rules
	x.Grace = time.Duration(r.IntN(48)) * time.Hour
	some := func() bool { return r.IntN(2) == 0 }
	if some() {
		x.TTL = time.Duration(1+r.IntN(60)) * day
	}
	if some() {
		x.UnusedFor = time.Duration(1+r.IntN(60)) * day
	}
	if some() {
		x.KeepPerLineage = r.IntN(5)
	}
	if some() {
		x.MaxBytes = int64(1 + r.IntN(30_000))
		x.TargetBytes = int64(r.IntN(int(x.MaxBytes) + 1))
	}
	if some() {
		x.Journals = time.Duration(1+r.IntN(60)) * day
	}
	x.Unreachable = some()
	if r.IntN(4) == 0 {
		x.Protect = regexp.MustCompile("3$")
	}
	return x
}

// bytesOf counts the blobs of things that are not deleted.
func bytesOf(things []Thing, out []Decision) int64 {
	seen, n := map[string]bool{}, int64(0)
	for i, t := range things {
		for _, b := range t.Blobs {
			if !out[i].Delete && !seen[b.Digest] {
				seen[b.Digest] = true
				n += b.Size
			}
		}
	}
	return n
}

// TestDecide_random holds what must be so of every outcome.
func TestDecide_random(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		things, rules := world(r), anyRules(r)
		got := Decide(things, rules, now())
		if wrong := broken(things, rules, got); len(wrong) > 0 {
			t.Fatalf("seed %d: %v", seed, wrong)
		}
		shuffled := slices.Clone(things)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again := Decide(shuffled, rules, now())
		if diff := cmp.Diff(byID(things, got), byID(shuffled, again), cmp.AllowUnexported(Decision{})); diff != "" {
			t.Fatalf("seed %d: another order of things, another outcome:\n%s", seed, diff)
		}
	}
}

// byID is an outcome without numbers of things.
func byID(things []Thing, o Outcome) any {
	type outcome struct {
		Decisions           map[string]Decision
		Order               []string
		Before, After, Over int64
	}
	x := outcome{map[string]Decision{}, nil, o.Before, o.After, o.Over}
	for i, d := range o.Decisions {
		x.Decisions[things[i].ID] = d
	}
	for _, i := range o.Order {
		x.Order = append(x.Order, things[i].ID)
	}
	return x
}

// broken are the promises that an outcome does not keep.
func broken(things []Thing, rules Rules, o Outcome) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	byKey := map[string]int{}
	for i, t := range things {
		if t.Key != "" {
			byKey[t.Key] = i
		}
	}
	deleted, freed := 0, int64(0)
	lineages := map[string][]int{}
	for i, t := range things {
		d := o.Decisions[i]
		if d.Reason == "" || d.Rule == "" {
			say("%s: no reason", t.ID)
		}
		if !t.Journal {
			lineages[t.Lineage] = append(lineages[t.Lineage], i)
		}
		p, made := byKey[t.Parent]
		if made && p != i && !d.Delete && o.Decisions[p].Delete && o.Decisions[i].keep {
			say("%s is kept, and what it was made on is deleted", t.ID)
		}
		if made && p != i && o.Decisions[p].Delete && !d.Delete {
			say("%s stays, on something that goes", t.ID)
		}
		if !d.Delete {
			if d.Freed != 0 {
				say("%s stays and frees something", t.ID)
			}
			continue
		}
		deleted++
		freed += d.Freed
		young := now().Sub(t.Used) < rules.Grace || now().Sub(t.Created) < rules.Grace
		switch {
		case t.Pinned != "":
			say("%s is pinned, and deleted", t.ID)
		case rules.Protect != nil && rules.Protect.MatchString(t.Tags[0]):
			say("%s is protected, and deleted", t.ID)
		case young:
			say("%s is young, and deleted", t.ID)
		case t.Created.IsZero():
			say("%s is of unknown age, and deleted", t.ID)
		case t.Journal && (!t.Told || rules.Journals == 0):
			say("%s is a journal that is needed, and deleted", t.ID)
		case rules.TTL == 0 && rules.UnusedFor == 0 && !rules.Unreachable && rules.MaxBytes == 0 && !t.Journal:
			say("%s is deleted without a rule", t.ID)
		}
	}
	for name, members := range lineages {
		left := 0
		for _, i := range members {
			if !o.Decisions[i].Delete {
				left++
			}
		}
		if left < min(rules.KeepPerLineage, len(members)) {
			say("of lineage %s are %d left", name, left)
		}
	}
	if deleted != len(o.Order) {
		say("%d are deleted, %d in order", deleted, len(o.Order))
	}
	if before := bytesOf(things, make([]Decision, len(things))); before != o.Before {
		say("before are %d bytes, not %d", o.Before, before)
	}
	if after := bytesOf(things, o.Decisions); after != o.After || o.Before-o.After != freed {
		say("after are %d bytes, not %d; freed %d", o.After, after, freed)
	}
	if rules.MaxBytes > 0 && o.After > rules.MaxBytes {
		if o.Over != o.After-rules.MaxBytes {
			say("over by %d, said to be by %d", o.After-rules.MaxBytes, o.Over)
		}
		for i, d := range o.Decisions {
			if !d.Delete && !d.keep && !things[i].Journal {
				say("%s could go, and it is still too much", things[i].ID)
			}
		}
	}
	return wrong
}

// TestDecide_lru: of a budget, those go that were used longest ago, and no more than needed.
func TestDecide_lru(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		things := world(r)
		rules := Rules{MaxBytes: int64(1 + r.IntN(20_000))}
		o := Decide(things, rules, now())
		if len(o.Order) == 0 {
			continue
		}
		last := o.Order[len(o.Order)-1]
		if o.After+o.Decisions[last].Freed <= rules.MaxBytes && o.Decisions[last].Rule == Budget {
			t.Errorf("seed %d: %s need not have gone", seed, things[last].ID)
		}
		if o.Before <= rules.MaxBytes {
			t.Errorf("seed %d: there were few enough bytes", seed)
		}
	}
}
