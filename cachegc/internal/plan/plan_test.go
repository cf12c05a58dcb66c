package plan

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
)

func now() time.Time { return time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) }

// stock has an entry for each age, in days.
func stock(ages ...int) *inventory.Inventory {
	i := &inventory.Inventory{Tags: len(ages) + 3, Others: 3, Damaged: []string{"odd"}, Dangling: []string{"none"}}
	for n, age := range ages {
		made := now().Add(-time.Duration(age) * 24 * time.Hour)
		digest := fmt.Sprintf("sha256:%064x", n)
		i.Items = append(i.Items, &inventory.Item{
			Digest: digest, Tags: []string{fmt.Sprintf("%064x", n)}, Used: made, Hits: n,
			Record: &inventory.Record{
				Kind: inventory.Entry, MediaType: types.OCIManifestSchema1, Created: made, Key: fmt.Sprintf("%064x", n), Lineage: "ab",
				Blobs: []inventory.Blob{{Digest: digest, Size: 10}, {Digest: "sha256:shared", Size: 100}},
			},
		})
	}
	return i
}

func cache(ages ...int) *Cache {
	return Make("registry.example/cache", stock(ages...), policy.Rules{TTL: 7 * 24 * time.Hour, Grace: time.Hour}, now())
}

func written(t *testing.T, p *Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMake(t *testing.T) {
	c := cache(5, 20, 10)
	want := Totals{Tags: 6, Others: 3, Entries: 3, Bytes: 130, Delete: 2, DeleteBytes: 20}
	if diff := cmp.Diff(want, c.Totals); diff != "" {
		t.Error(diff)
	}
	var order []string
	for _, e := range c.Entries {
		order = append(order, e.Decision+" "+e.Key[63:])
	}
	if got := strings.Join(order, ", "); got != "delete 1, delete 2, keep 0" {
		t.Errorf("the order is %s", got)
	}
	if e := c.Entries[0]; e.Size != 110 || e.Unique != 10 || e.Freed != 10 || e.MediaType == "" || c.Entries[2].MediaType != "" {
		t.Errorf("the first is %+v", e)
	}
}

// TestWrite: what is written is read again, and an entry is a line.
func TestWrite(t *testing.T) {
	for name, caches := range map[string][]*Cache{"none": nil, "empty": {cache()}, "one": {cache(20)}, "two": {cache(5, 20, 10), cache(30)}} {
		p := &Plan{Schema: Schema, Tool: "cachegc test", Made: now(), Caches: caches}
		for _, c := range caches {
			for _, e := range c.Victims() {
				e.Manifest = []byte(`{"a": 1}`)
			}
		}
		text := written(t, p)
		got, err := Read(strings.NewReader(text), "plan.json")
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		if again := written(t, got); again != text {
			t.Errorf("%s: written again it is another:\n%s", name, cmp.Diff(text, again))
		}
		if name == "two" {
			if n := strings.Count(text, "\n{\"digest\":"); n != 4 {
				t.Errorf("%d lines begin with an entry; want 4:\n%s", n, text)
			}
		}
	}
}

// TestRead_changed: what was to go and is said to stay stays, wherever it stands.
func TestRead_changed(t *testing.T) {
	text := written(t, &Plan{Made: now(), Caches: []*Cache{cache(20, 10, 5)}})
	text = strings.Replace(text, `"decision":"delete"`, `"decision":"keep"`, 1)
	p, err := Read(strings.NewReader(text), "plan.json")
	if err != nil {
		t.Fatal(err)
	}
	victims := p.Caches[0].Victims()
	if len(victims) != 1 || victims[0].Key[63:] != "1" || p.Caches[0].Totals.DeleteBytes != 10 {
		t.Errorf("to be deleted are %d, %+v", len(victims), p.Caches[0].Totals)
	}
}

func TestRead_wrong(t *testing.T) {
	good := written(t, &Plan{Made: now(), Caches: []*Cache{cache(20)}})
	for name, text := range map[string]string{
		"empty": "", "cut": good[:len(good)/2], "schema": strings.Replace(good, ".v1", ".v2", 1),
		"decision": strings.Replace(good, `"decision":"delete"`, `"decision":"burn"`, 1),
		"place":    strings.Replace(good, `"place":"registry.example/cache"`, `"place":""`, 1),
		"digest":   strings.Replace(good, `"digest":"sha256:`, `"was":"sha256:`, 1),
		"null":     `{"schema":"kaniko.cachegc.plan.v1","caches":[null]}`,
	} {
		var wrong *Error
		if _, err := Read(strings.NewReader(text), "plan.json"); !errors.As(err, &wrong) || wrong.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCeiling(t *testing.T) {
	for _, c := range []struct {
		ceiling string
		totals  Totals
		refused bool
	}{
		{"20%", Totals{Entries: 10, Delete: 10, Bytes: 10, DeleteBytes: 10}, false},
		{"20%", Totals{Entries: 100, Delete: 20, Bytes: 1000, DeleteBytes: 200}, false},
		{"20%", Totals{Entries: 100, Delete: 21, Bytes: 1000, DeleteBytes: 200}, true},
		{"20%", Totals{Entries: 100, Delete: 20, Bytes: 1000, DeleteBytes: 201}, true},
		{"20%", Totals{Entries: 60, Journals: 40, Delete: 20, Bytes: 1000, DeleteBytes: 2}, false},
		{"0%", Totals{Entries: 100, Delete: 11, Bytes: 1000, DeleteBytes: 2}, true},
		{"100%", Totals{Entries: 100, Delete: 100, Bytes: 1000, DeleteBytes: 1000}, false},
		{"5", Totals{Entries: 100, Delete: 5, Bytes: 1000, DeleteBytes: 1000}, false},
		{"5", Totals{Entries: 100, Delete: 6, Bytes: 1000, DeleteBytes: 6}, true},
	} {
		ceiling, err := ParseCeiling(c.ceiling)
		if err != nil {
			t.Fatal(err)
		}
		var large *LargeError
		err = ceiling.Check(&Cache{Totals: c.totals})
		if errors.As(err, &large) != c.refused {
			t.Errorf("%s of %+v: %v", c.ceiling, c.totals, err)
		}
		if ceiling.String() != c.ceiling {
			t.Errorf("%s is written %s", c.ceiling, ceiling)
		}
	}
	for _, text := range []string{"", "%", "-1%", "101%", "NaN%", "0", "-3", "1.5", "many"} {
		if c, err := ParseCeiling(text); err == nil {
			t.Errorf("%q is %s", text, c)
		}
	}
}
