// Package inventory finds out what is in a cache: every entry and journal with its age,
// size and last use. What it learns of a manifest is kept from run to run, so that a
// manifest is asked for once. It decides nothing and deletes nothing.
package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// Bounds of what is read whole, in bytes.
const (
	// maxManifest is what registries take at most.
	maxManifest = 4 << 20
	// maxJournal is what shared/cache lets a journal have.
	maxJournal = 8 << 20
	// maxConfig is many times what an old kaniko's entry has.
	maxConfig = 1 << 20
)

// Options are what [Take] goes by.
type Options struct {
	Now time.Time
	// Foreign takes the entries of an old kaniko for ours.
	Foreign bool
	// At a time are so many requests under way; default 16.
	AtATime int
}

// Inventory is what a cache has.
type Inventory struct {
	// Items are the entries and journals, by digest.
	Items []*Item
	// Tags is how many tags there are, and Others how many of them are no cache's.
	Tags, Others int
	// Damaged are tags of what could not be understood, and was left alone.
	Damaged []string
	// Dangling are tags of the cache's that are listed and stand for nothing: what is left
	// where a registry was stopped while it deleted.
	Dangling []string
	// New is how many manifests were asked for.
	New int
}

// Item is one manifest with all its tags.
type Item struct {
	*Record
	Digest string
	Tags   []string // sorted
	// Used is when a build last had to do with it, or else when it was made; zero if
	// neither is known.
	Used time.Time
	// Hits is how many journals list it.
	Hits int
	// Pinned is why it must not be deleted, whatever the rules; empty if it may be.
	Pinned string
	// Lost tells that the entry of the step before was there once, and is not any more.
	Lost bool
	// Told tells of a journal that newer ones say all that it says.
	Told bool
}

// taking is an inventory on its way.
type taking struct {
	place place.Place
	state *State
	o     Options

	mu   sync.Mutex
	out  Inventory
	tags map[string][]string // by digest
}

// Take makes an inventory. What it learns goes into state, also if it ends early. The
// error means that it is incomplete, and nothing may be decided by it.
func Take(ctx context.Context, p place.Place, state *State, o Options) (*Inventory, error) {
	t := &taking{place: p, state: state, o: o, tags: map[string][]string{}}
	if t.o.AtATime < 1 {
		t.o.AtATime = 16
	}
	if err := t.list(ctx); err != nil {
		return nil, err
	}
	t.assemble()
	if state.Journals > 0 && !slices.ContainsFunc(t.out.Items, func(i *Item) bool { return i.Kind == Journal }) {
		return nil, &JournalsError{Place: p.String(), Before: state.Journals}
	}
	state.keep(t.out.Items, t.tags)
	return &t.out, nil
}

// JournalsError is a cache whose journals are all gone.
type JournalsError struct {
	Place  string
	Before int
}

func (e *JournalsError) Error() string {
	return fmt.Sprintf("take stock of %s: there were %d journals the last time, and now there is none: nothing would be known of the last use of anything", e.Place, e.Before)
}

// Hint says how to go on.
func (e *JournalsError) Hint() string {
	return "if they were deleted on purpose, begin anew with --state=none"
}

// ExitCode is that of what was refused for safety.
func (e *JournalsError) ExitCode() int { return 3 }

// list asks for all tags, and for the manifests of those that are new.
func (t *taking) list(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.o.AtATime)
	var second []kind.Tag // names of what has another, which is asked for first
	err := t.place.Tags(gctx, func(tag kind.Tag) error {
		t.out.Tags++
		switch {
		case tag.Name == "" || tag.Name == StateTag:
			return nil
		case moving(tag.Name):
			second = append(second, tag)
			return nil
		}
		g.Go(func() error { return t.look(gctx, tag) })
		return context.Cause(gctx)
	})
	if looked := g.Wait(); looked != nil || err != nil {
		return t.listed(looked, err)
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(t.o.AtATime)
	for _, tag := range second {
		g.Go(func() error { return t.look(gctx, tag) })
	}
	return g.Wait()
}

// listed is why a list ended early.
func (t *taking) listed(looked, err error) error {
	if looked != nil {
		err = looked // the list ended for its sake
	}
	if place.Missing(err) && t.out.Tags == 0 {
		return nil // nobody has used the cache yet
	}
	return err
}

// look finds out what a tag stands for.
func (t *taking) look(ctx context.Context, tag kind.Tag) error {
	digest, known := t.digest(tag)
	if !known && moving(tag.Name) {
		if image(tag.Name) {
			return nil // a journal's second name: its record says so
		}
		h, err := t.place.Current(ctx, tag.Name)
		if place.Missing(err) {
			t.dangling(tag.Name)
			return nil
		}
		if err != nil {
			return err
		}
		digest, known = h.String(), true
	}
	if r := t.state.record(digest); known && r != nil && (r.Kind != Foreign || r.Whole || !t.o.Foreign) {
		t.note(digest, tag)
		return nil
	}
	return t.ask(ctx, tag, digest)
}

// image tells whether a tag is one of those of journals by their images.
func image(tag string) bool {
	hex, ok := strings.CutPrefix(tag, cache.ImagePrefix)
	return ok && isKey(hex)
}

// digest is what the listing tells of a tag, or what it stood for the last time if it
// does not move.
func (t *taking) digest(tag kind.Tag) (string, bool) {
	if tag.Digest != (v1.Hash{}) {
		return tag.Digest.String(), true
	}
	if moving(tag.Name) {
		return "", false
	}
	return t.state.tag(tag.Name)
}

// ask asks for a manifest, and for a journal's text.
func (t *taking) ask(ctx context.Context, tag kind.Tag, digest string) error {
	ref := tag.Name
	if digest != "" {
		ref = digest
	}
	m, err := t.place.Manifest(ctx, ref, maxManifest)
	if place.Missing(err) {
		t.dangling(tag.Name)
		return nil
	}
	if errors.Is(err, registry.ErrTooLarge) {
		t.damaged(tag.Name)
		return nil
	}
	if err != nil {
		return err
	}
	r, err := read(m, tag.Name, t.o.Now)
	if err != nil {
		t.damaged(tag.Name)
		return nil
	}
	if err := t.complete(ctx, r, m); err != nil {
		return err
	}
	t.state.learn(m.Digest.String(), tag.Name, r)
	t.mu.Lock()
	t.out.New++
	t.mu.Unlock()
	t.note(m.Digest.String(), tag)
	return nil
}

// complete fetches what a manifest does not say. A blob that is not there is no error:
// what it would have said is unknown then, which is never old.
func (t *taking) complete(ctx context.Context, r *Record, m *registry.Manifest) error {
	if r.Kind != Journal && !(r.Kind == Foreign && t.o.Foreign) {
		return nil
	}
	config := r.Blobs[min(1, len(r.Blobs)-1)]
	h, err := v1.NewHash(config.Digest)
	if err != nil {
		return nil // of no form that a registry would have
	}
	limit := int64(maxJournal)
	if r.Kind == Foreign {
		limit = maxConfig
	}
	raw, err := t.place.Blob(ctx, h, limit)
	r.Whole = true
	switch {
	case place.Missing(err), errors.Is(err, registry.ErrTooLarge):
		return nil
	case err != nil:
		return fmt.Errorf("read the config of %s: %w", m.Digest, err)
	case r.Kind == Foreign:
		r.readConfig(raw)
	default:
		if r.readJournal(raw) != nil {
			r.Kind = Other // damaged, and nobody's to delete
		}
	}
	return nil
}

// dangling notes a tag that stands for nothing, if it is the cache's.
func (t *taking) dangling(tag string) {
	if !isKey(tag) && !strings.HasPrefix(tag, cache.JournalPrefix) && !strings.HasPrefix(tag, cache.LastPrefix) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Dangling = append(t.out.Dangling, tag)
}

func (t *taking) damaged(tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Damaged = append(t.out.Damaged, tag)
}

func (t *taking) note(digest string, tag kind.Tag) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags[digest] = append(t.tags[digest], tag.Name)
	if tag.Locked {
		t.tags[digest] = append(t.tags[digest], lockedTag)
	}
}

// lockedTag is no tag: it marks a digest that the registry was told to keep.
const lockedTag = "\x00locked"

// assemble makes the items, and says of each what others say of it.
func (t *taking) assemble() {
	slices.Sort(t.out.Damaged)
	slices.Sort(t.out.Dangling)
	members := map[string]bool{}
	for digest, tags := range t.tags {
		r := t.state.record(digest)
		slices.Sort(tags)
		tags = slices.Compact(tags)
		locked := slices.Contains(tags, lockedTag)
		tags = slices.DeleteFunc(tags, func(tag string) bool { return tag == lockedTag })
		t.tags[digest] = tags
		if !r.Kind.ours() || r.Kind == Foreign && !t.o.Foreign {
			t.out.Others += len(tags)
			for _, m := range r.Members {
				members[m] = true
			}
			continue
		}
		item := &Item{Record: r, Digest: digest, Tags: tags, Pinned: r.pinned(tags)}
		if locked {
			item.Pinned = "the registry was told to keep it"
		}
		t.out.Items = append(t.out.Items, item)
	}
	slices.SortFunc(t.out.Items, func(a, b *Item) int { return cmp.Compare(a.Digest, b.Digest) })
	t.refer(members)
	t.use()
}

// pinned says what is wrong with the tags of an item, if anything is.
func (r *Record) pinned(tags []string) string {
	for _, tag := range tags {
		switch {
		case r.Kind != Journal && tag == r.Key:
		case r.Kind == Journal && strings.HasPrefix(tag, cache.JournalPrefix):
		case r.Kind == Journal && tag == cache.LastPrefix+r.Lineage:
			return "it is the last journal of its lineage"
		case r.Kind == Journal && image(tag):
		default:
			return fmt.Sprintf("it has the tag %s, which is not the cache's", tag)
		}
	}
	return ""
}

// refer pins what others refer to: the members of indexes, and what has a list of
// referrers, or signatures, under a tag that is made of its digest.
func (t *taking) refer(members map[string]bool) {
	for _, tags := range t.tags {
		for _, tag := range tags {
			if digest, ok := Subject(tag); ok {
				members[digest] = true
			}
		}
	}
	for _, i := range t.out.Items {
		if members[i.Digest] {
			i.Pinned = "something else in the repository refers to it"
		}
	}
}

// Subject is the digest that a tag is made of under which its referrers, or its signature,
// are: sha256-DIGEST, and that with .sig and the like.
func Subject(tag string) (digest string, ok bool) {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	hex, _, _ = strings.Cut(hex, ".")
	return "sha256:" + hex, ok && isKey(hex)
}

// use reads the journals: when each entry was last used, which are without the entry
// they were made on, and which journals say nothing that newer ones do not.
func (t *taking) use() {
	byKey := map[string]*Item{}
	var journals []*Item
	for _, i := range t.out.Items {
		i.Used = i.Created
		switch {
		case i.Kind == Journal:
			journals = append(journals, i)
		default:
			byKey[i.Key] = i
		}
		if i.Kind == Foreign && i.Used.IsZero() {
			i.Used = i.Seen // since when it was known
		}
	}
	slices.SortFunc(journals, func(a, b *Item) int { // newest first
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Digest, b.Digest))
	})
	had, listed, lineages := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, j := range journals {
		j.Told = lineages[j.Lineage]
		for _, u := range j.Uses {
			e := byKey[u.Key]
			if e != nil {
				e.Hits++
				if j.Created.After(e.Used) {
					e.Used = j.Created
				}
				j.Told = j.Told && listed[u.Key]
			}
			if u.Entry {
				had[u.Key] = true
			}
		}
		for _, u := range j.Uses {
			listed[u.Key] = true
		}
		lineages[j.Lineage] = true
	}
	for _, i := range t.out.Items {
		i.Lost = i.Kind == Entry && i.Parent != "" && byKey[i.Parent] == nil && had[i.Parent]
	}
}
