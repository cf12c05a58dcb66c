// Package plan is what cachegc means to delete, and why: a document that people can read
// before anything is done, and that holds what it takes to undo it. docs/cachegc.md
// describes it.
package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
)

// Schema is the first thing that a plan says. What changes its meaning changes the number.
const Schema = "kaniko.cachegc.plan.v1"

// Plan is what is meant for some caches.
type Plan struct {
	Schema string    `json:"schema"`
	Tool   string    `json:"tool"`
	Made   time.Time `json:"made"`
	Caches []*Cache  `json:"caches"`
}

// Cache is what is meant for one.
type Cache struct {
	Place string `json:"place"`
	// Rules are those that decided, as flags have them.
	Rules map[string]string `json:"rules,omitempty"`
	// GraceSeconds is how young a blob in a directory is that is left alone.
	GraceSeconds int64  `json:"graceSeconds"`
	Totals       Totals `json:"totals"`
	// Damaged are tags of what could not be understood.
	Damaged []string `json:"damaged,omitempty"`
	// Dangling are tags that stand for nothing, and are removed.
	Dangling []string `json:"dangling,omitempty"`
	// Entries are those to be deleted, in the order in which that is done, and then those
	// that stay, in the order of their digests.
	Entries []*Entry `json:"entries"`
}

// Totals are numbers of a cache. Bytes count each blob once.
type Totals struct {
	Tags        int   `json:"tags"`
	Others      int   `json:"others"` // tags of what is no cache's
	Entries     int   `json:"entries"`
	Journals    int   `json:"journals"`
	Bytes       int64 `json:"bytes"`
	Delete      int   `json:"delete"`
	DeleteBytes int64 `json:"deleteBytes"`
	// Over is by how many bytes the cache stays larger than it should be.
	Over int64 `json:"over,omitempty"`
}

// Entry is one manifest and what becomes of it.
type Entry struct {
	Digest   string         `json:"digest"`
	Kind     inventory.Kind `json:"kind"`
	Key      string         `json:"key,omitempty"`
	Tags     []string       `json:"tags"`
	Size     int64          `json:"size"`            // of all its blobs, in bytes
	Unique   int64          `json:"unique"`          // of those that nothing else needs
	Freed    int64          `json:"freed,omitempty"` // when all before it is deleted
	Created  time.Time      `json:"created,omitzero"`
	Used     time.Time      `json:"used,omitzero"`
	Hits     int            `json:"hits,omitempty"`
	Lineage  string         `json:"lineage,omitempty"`
	Image    string         `json:"image,omitempty"`
	Decision string         `json:"decision"` // delete or keep
	Rule     policy.Rule    `json:"rule"`
	Reason   string         `json:"reason"`
	// MediaType and Manifest, in base64, are for restore; only of what is to be deleted.
	MediaType types.MediaType `json:"mediaType,omitempty"`
	Manifest  []byte          `json:"manifest,omitempty"`
}

// What becomes of an entry.
const (
	Delete = "delete"
	Keep   = "keep"
)

// Victims are the entries to be deleted, in their order.
func (c *Cache) Victims() []*Entry { return c.Entries[:c.Totals.Delete] }

// Grace is how young a blob in a directory is that is left alone.
func (c *Cache) Grace() time.Duration { return time.Duration(c.GraceSeconds) * time.Second }

// Make decides what becomes of a cache.
func Make(at string, stock *inventory.Inventory, rules policy.Rules, now time.Time) *Cache {
	things := make([]policy.Thing, len(stock.Items))
	for i, item := range stock.Items {
		things[i] = thing(item)
	}
	outcome := policy.Decide(things, rules, now)
	c := &Cache{Place: at, GraceSeconds: int64(rules.Grace / time.Second), Damaged: stock.Damaged, Dangling: stock.Dangling, Entries: make([]*Entry, 0, len(things))}
	c.Totals = Totals{
		Tags: stock.Tags, Others: stock.Others, Bytes: outcome.Before, Over: outcome.Over,
		Delete: len(outcome.Order), DeleteBytes: outcome.Before - outcome.After,
	}
	for _, i := range outcome.Order {
		c.Entries = append(c.Entries, entry(stock.Items[i], outcome.Decisions[i]))
	}
	for i, item := range stock.Items {
		if item.Kind == inventory.Journal {
			c.Totals.Journals++
		} else {
			c.Totals.Entries++
		}
		if !outcome.Decisions[i].Delete {
			c.Entries = append(c.Entries, entry(item, outcome.Decisions[i]))
		}
	}
	return c
}

// thing is an item as policies see it.
func thing(i *inventory.Item) policy.Thing {
	t := policy.Thing{
		ID: i.Digest, Journal: i.Kind == inventory.Journal, Key: i.Key, Parent: i.Parent, Lineage: i.Lineage,
		Created: i.Created, Used: i.Used, Hits: i.Hits, Tags: i.Tags, Pinned: i.Pinned, Lost: i.Lost, Told: i.Told,
		Blobs: make([]policy.Blob, len(i.Blobs)),
	}
	if i.Kind == inventory.Foreign && t.Created.IsZero() {
		t.Created = i.Seen // it is at least as old as we have known it
	}
	for n, b := range i.Blobs {
		t.Blobs[n] = policy.Blob(b)
	}
	return t
}

func entry(i *inventory.Item, d policy.Decision) *Entry {
	e := &Entry{
		Digest: i.Digest, Kind: i.Kind, Key: i.Key, Tags: i.Tags, Unique: d.Unique, Freed: d.Freed, Created: i.Created, Used: i.Used,
		Hits: i.Hits, Lineage: i.Lineage, Image: i.Image, Decision: Keep, Rule: d.Rule, Reason: d.Reason,
	}
	for _, b := range i.Blobs {
		e.Size += b.Size
	}
	if d.Delete {
		e.Decision, e.MediaType = Delete, i.MediaType
	}
	return e
}

// Write writes a plan: JSON with an entry on each line, so that two plans can be compared
// line by line.
func (p *Plan) Write(w io.Writer) error {
	head, err := json.Marshal(struct {
		Schema string    `json:"schema"`
		Tool   string    `json:"tool"`
		Made   time.Time `json:"made"`
	}{Schema, p.Tool, p.Made})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s,\"caches\":[", head[:len(head)-1]); err != nil {
		return err
	}
	for i, c := range p.Caches {
		if i > 0 {
			if _, err := io.WriteString(w, ","); err != nil {
				return err
			}
		}
		if err := c.write(w); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}

func (c *Cache) write(w io.Writer) error {
	bare := *c
	bare.Entries = nil
	head, err := json.Marshal(bare) // ends in "entries":null}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%s[", head[:len(head)-len("null}")]); err != nil {
		return err
	}
	for i, e := range c.Entries {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		end := ",\n"
		if i == len(c.Entries)-1 {
			end = "\n"
		}
		if i == 0 {
			raw = append([]byte("\n"), raw...)
		}
		if _, err := w.Write(append(raw, end...)); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "]}")
	return err
}

// maxPlan bounds a plan, in bytes: some million entries.
const maxPlan = 2 << 30

// Error is a file that is no plan.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("read the plan %s: %v", e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Hint says where plans come from.
func (e *Error) Hint() string { return "give a file that cachegc plan -o has written" }

// Read reads a plan; path is for errors, which are of type [Error].
func Read(r io.Reader, path string) (*Plan, error) {
	var p Plan
	d := json.NewDecoder(io.LimitReader(r, maxPlan))
	if err := d.Decode(&p); err != nil {
		return nil, &Error{path, err}
	}
	if p.Schema != Schema {
		return nil, &Error{path, fmt.Errorf("its schema is %.80q, not %s", p.Schema, Schema)}
	}
	for _, c := range p.Caches {
		if err := c.check(); err != nil {
			return nil, &Error{path, err}
		}
	}
	return &p, nil
}

// check finds what would be misunderstood of a plan that somebody has changed.
func (c *Cache) check() error {
	if c == nil || c.Place == "" {
		return errors.New("a cache has no place")
	}
	for _, e := range c.Entries {
		if e == nil || e.Digest == "" || e.Decision != Delete && e.Decision != Keep {
			return fmt.Errorf("an entry of %s has no digest or decision", c.Place)
		}
	}
	// A line whose decision people have changed may be anywhere.
	slices.SortStableFunc(c.Entries, func(a, b *Entry) int { return cmp.Compare(a.Decision, b.Decision) })
	c.Totals.Delete, c.Totals.DeleteBytes = 0, 0
	for _, e := range c.Entries {
		if e.Decision == Delete {
			c.Totals.Delete++
			c.Totals.DeleteBytes += e.Freed
		}
	}
	return nil
}
