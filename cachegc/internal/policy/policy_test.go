package policy

import (
	"regexp"
	"testing"
	"time"
)

// chain is base ← lib ← app, with two apps on lib; each of 100 bytes of its own.
func chain() []Thing {
	thing := func(key, parent string, made, used time.Duration) Thing {
		return Thing{
			ID: "sha256:" + key, Key: key, Parent: parent, Lineage: "l", Tags: []string{key},
			Created: now().Add(-made), Used: now().Add(-used), Blobs: []Blob{{"layer of " + key, 100}, {"shared", 10}},
		}
	}
	return []Thing{
		thing("base", "", 40*day, 1*day),
		thing("lib", "base", 30*day, 1*day),
		thing("app1", "lib", 20*day, 20*day),
		thing("app2", "lib", 10*day, 1*day),
		thing("other", "", 5*day, 5*day),
	}
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]Thing) []Thing
		rules  Rules
		want   map[string]Rule // of those deleted
		kept   map[string]Rule
	}{
		"no rule": {
			want: map[string]Rule{}, kept: map[string]Rule{"base": Default, "app1": Default},
		},
		"unused": {
			rules: Rules{UnusedFor: 14 * day},
			want:  map[string]Rule{"app1": UnusedFor},
		},
		"old takes what was made on it": {
			rules: Rules{TTL: 25 * day},
			want:  map[string]Rule{"base": TTL, "lib": TTL, "app1": Above, "app2": Above},
			kept:  map[string]Rule{"other": Default},
		},
		"what is kept keeps what it was made on": {
			rules: Rules{TTL: 25 * day, Protect: regexp.MustCompile("^app2$")},
			want:  map[string]Rule{},
			kept:  map[string]Rule{"app2": Protected, "lib": Below, "base": Below, "app1": Default},
		},
		"grace": {
			rules: Rules{TTL: time.Hour, Grace: 2 * day},
			want:  map[string]Rule{"app1": TTL, "other": TTL},
			kept:  map[string]Rule{"base": Grace, "lib": Grace, "app2": Grace},
		},
		"keep per lineage": {
			rules: Rules{UnusedFor: time.Hour, KeepPerLineage: 1},
			want:  map[string]Rule{"lib": UnusedFor, "app1": UnusedFor, "app2": UnusedFor, "other": UnusedFor},
			change: func(all []Thing) []Thing {
				all[0].Used = now() // more than what was made on it
				all[3].Used = now().Add(-2 * day)
				return all
			},
			kept: map[string]Rule{"base": PerLineage},
		},
		"budget": {
			rules: Rules{MaxBytes: 400, TargetBytes: 330},
			want:  map[string]Rule{"app1": Budget, "other": Budget},
		},
		"unreachable": {
			rules:  Rules{Unreachable: true},
			change: func(all []Thing) []Thing { all[1].Lost = true; return all },
			want:   map[string]Rule{"lib": Unreachable, "app1": Above, "app2": Above},
		},
		"unknown is never old": {
			rules: Rules{TTL: 1, UnusedFor: 1, MaxBytes: 1},
			change: func(all []Thing) []Thing {
				for i := range all {
					all[i].Created, all[i].Used = time.Time{}, time.Time{}
				}
				return all
			},
			want: map[string]Rule{},
			kept: map[string]Rule{"base": Unknown, "other": Unknown},
		},
		"journals": {
			rules: Rules{Journals: 7 * day, TTL: day},
			change: func([]Thing) []Thing {
				return []Thing{
					{ID: "told", Journal: true, Told: true, Created: now().Add(-10 * day), Used: now().Add(-10 * day)},
					{ID: "young", Journal: true, Told: true, Created: now().Add(-5 * day), Used: now().Add(-5 * day)},
					{ID: "needed", Journal: true, Created: now().Add(-10 * day), Used: now().Add(-10 * day)},
				}
			},
			want: map[string]Rule{"told": Compact},
		},
	} {
		t.Run(name, func(t *testing.T) {
			things := chain()
			if c.change != nil {
				things = c.change(things)
			}
			o := Decide(things, c.rules, now())
			for i, thing := range things {
				name, d := thing.Key, o.Decisions[i]
				if name == "" {
					name = thing.ID
				}
				rule, want := c.want[name]
				if d.Delete != want || want && d.Rule != rule {
					t.Errorf("%s: delete %t by %s (%s), want %t by %s", name, d.Delete, d.Rule, d.Reason, want, rule)
				}
				if rule, ok := c.kept[name]; ok && d.Rule != rule {
					t.Errorf("%s is kept by %s (%s), want %s", name, d.Rule, d.Reason, rule)
				}
			}
		})
	}
}

// TestDecide_blobs: what two have is counted once, and is only free when both are gone.
func TestDecide_blobs(t *testing.T) {
	o := Decide(chain(), Rules{UnusedFor: 3 * day}, now())
	if o.Before != 510 || o.After != 310 {
		t.Errorf("%d bytes become %d; want 510 and 310", o.Before, o.After)
	}
	if d := o.Decisions[2]; d.Unique != 100 || d.Freed != 100 {
		t.Errorf("app1 alone needs %d and frees %d bytes; want 100 of each", d.Unique, d.Freed)
	}
}
