package engine

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// work is a step at work: what it depends on, and what the cache has of it.
type work struct {
	*plan.Step
	// readings are what it reads; nil with known unset if that cannot be said.
	readings []listed
	known    bool
	below    state // before it, as planned is
	leaves   state // after it, likewise
	// planned is how the step is known before anything was done, found how it is
	// known by the content of what it copies from stages.
	planned definition
	found   definition

	entry  *cache.Entry
	why    string // of a miss, as the store says it
	missed []string
	use    cache.Use
	size   int64
}

// definition is a text with its key; the zero value is none.
type definition struct {
	text cachekey.Definition
	key  cachekey.Key
}

func defined(d cachekey.Definition) definition {
	if d == "" {
		return definition{}
	}
	return definition{d, d.Key()}
}

// state names the files of a stage as it goes on; unknown if a step before could not
// be named.
type state struct {
	plan.Identity
	unknown bool
}

// define names what every step depends on, from the stages below upward.
func (b *build) define(ctx context.Context) {
	b.prefetch(ctx)
	b.shareDigests()
	for _, s := range b.order {
		s.define(ctx)
	}
}

// shareDigests finds the build contexts of which several steps read.
func (b *build) shareDigests() {
	read := map[string]bool{}
	for _, s := range b.order {
		for _, w := range s.works {
			for _, r := range plan.Reads(w.Op) {
				if r.Remote != nil || r.From != nil && r.From.Context == "" {
					continue
				}
				if key := r.From.Key(); read[key] {
					b.digests.share(key)
				} else {
					read[key] = true
				}
			}
		}
	}
}

func (s *stage) define(ctx context.Context) {
	at := s.below()
	for _, w := range s.works {
		if _, ok := w.Op.(plan.Meta); ok {
			continue
		}
		w.readings, w.known = s.build.readings(ctx, w.Op)
		w.below = at
		w.planned, at = s.name(w, at, w.readings)
		w.leaves = at
	}
	s.planned = at
}

// below is the state that the stage begins with.
func (s *stage) below() state {
	switch from := s.plan.Base; {
	case from.Stage != nil:
		return s.build.stages[from.Stage].planned
	case from.Image != nil:
		return state{Identity: plan.Identity{Image: from.Image.Digest}}
	}
	return state{}
}

// name is the definition of a step with these readings in this state, and the state
// that it leaves.
func (s *stage) name(w *work, at state, readings []listed) (definition, state) {
	unknown := state{unknown: true}
	if !w.known || at.unknown && !linked(w.Op) {
		return definition{}, unknown
	}
	texts := make([]*plan.Listing, len(readings))
	for i, r := range readings {
		texts[i] = r.Listing
	}
	d := plan.DefinitionOf(w.Op, plan.Inputs{Below: at.Identity, Platform: s.plan.Platform, Clamp: s.build.clamp()}, texts)
	if at.unknown {
		return defined(d), unknown
	}
	return defined(d), state{Identity: plan.After(w.Op, at.Identity, d)}
}

// linked reports whether what an op makes is the same on any files.
func linked(op plan.Op) bool {
	c, ok := op.(plan.Copy)
	return ok && c.Link
}

// readings are what an op reads. That of a stage is named by how the stage is made.
// If something cannot be read, the step itself will say so, better.
func (b *build) readings(ctx context.Context, op plan.Op) ([]listed, bool) {
	var all []listed
	for _, r := range plan.Reads(op) {
		reading, err := b.reading(ctx, op, r)
		if err != nil {
			return nil, false
		}
		all = append(all, reading)
	}
	return all, true
}

func (b *build) reading(ctx context.Context, op plan.Op, r plan.Read) (listed, error) {
	switch {
	case r.Remote != nil:
		f := b.remote(ctx, *r.Remote)
		if f.err != nil {
			return listed{}, f.err
		}
		return b.list(ctx, "", f.files, placement.Request{Patterns: []string{literal(f.from)}}, false)
	case r.From != nil && r.From.Stage != nil:
		at := b.stages[r.From.Stage].planned
		if at.unknown {
			return listed{}, errUnnamed
		}
		return listed{Listing: plan.Made(at.Identity)}, nil
	case r.From != nil && r.From.Image != nil:
		return listed{Listing: plan.Made(plan.Identity{Image: r.From.Image.Digest})}, nil
	}
	files := b.Context
	if r.From != nil {
		files = b.Contexts[r.From.Context]
	}
	if files == nil {
		return listed{}, errUnnamed
	}
	return b.list(ctx, r.From.Key(), files, requested(r), keepsOwners(op, r.From))
}

var errUnnamed = errors.New("the files that it reads cannot be named")

// requested is what a step reads, in the words of package placement.
func requested(r plan.Read) placement.Request {
	if r.Exact {
		return placement.Request{Patterns: []string{literal(tree.Clean(r.Path))}}
	}
	return placement.Request{Patterns: r.Patterns, Parents: r.Parents, Exclude: r.Exclude}
}

// keepsOwners reports whether the owners of what an op reads matter to it.
func keepsOwners(op plan.Op, from *plan.Source) bool {
	c, ok := op.(plan.Copy)
	return !ok || c.Chown == "" && keepsOwner(from)
}

// keepsOwner reports whether COPY keeps the owners of what it takes from there.
func keepsOwner(from *plan.Source) bool { return from != nil && from.Context == "" }

// listed is what a step reads, as its definition has it.
type listed struct {
	*plan.Listing
	// print tells whether anything is different when it is looked at again: a hash of
	// the entries' metadata, of meaning in this process only.
	print uint64
}

// batch is how many files are listed before their contents are hashed.
const batch = 4096

// list is what a request takes of files, with the digests of contents. key tells file
// systems apart that do not change during a build; empty is one that may.
func (b *build) list(ctx context.Context, key string, files tree.FS, r placement.Request, owners bool) (listed, error) {
	out := listed{Listing: plan.NewListing(owners)}
	r.Source = files
	print := newPrint()
	links := plan.Links{}
	var some []plan.File
	flush := func() error {
		err := b.hash(ctx, key, files, some)
		for _, f := range some {
			out.Add(f)
		}
		some = some[:0]
		return err
	}
	for e, err := range r.Selected() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && len(some) == batch {
			err = flush()
		}
		if err != nil {
			return out, err
		}
		print.add(e)
		f := plan.File{Entry: e.Entry, As: e.As}
		links.Settle(&f)
		some = append(some, f)
	}
	out.print = print.Sum64()
	return out, flush()
}

// hash finds the digests of files.
func (b *build) hash(ctx context.Context, key string, files tree.FS, some []plan.File) error {
	var g errgroup.Group
	var next atomic.Int64
	for range b.Limits.Stages {
		g.Go(func() (err error) {
			for i := int(next.Add(1)) - 1; i < len(some) && err == nil && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if f := &some[i]; f.Node.Type == tree.File && f.Hard == "" {
					f.Digest, err = b.digests.of(key, files, f.Path)
				}
			}
			return err
		})
	}
	return errors.Join(g.Wait(), ctx.Err())
}

// fingerprint hashes what is known of entries without reading them.
type fingerprint struct {
	hash.Hash64
	line []byte
}

func newPrint() *fingerprint { return &fingerprint{Hash64: tree.NewFingerprint()} }

func (p *fingerprint) add(e placement.Selected) {
	n := e.Node
	p.line = p.line[:0]
	for _, text := range []string{string(e.Path), e.As, string(e.Hard), n.Link} {
		p.line = append(binary.AppendUvarint(p.line, uint64(len(text))), text...)
	}
	for _, number := range []int64{
		int64(n.Type), int64(n.Mode), int64(n.UID), int64(n.GID), n.Size, n.MTime.UnixNano(), int64(n.Dev.Major), int64(n.Dev.Minor),
	} {
		p.line = binary.AppendVarint(p.line, number)
	}
	if len(n.Xattrs) > 0 {
		p.line = fmt.Append(p.line, n.Xattrs) // in the order of names
	}
	p.Write(p.line)
}

// digests remembers the hashes of files that several steps read.
type digests struct {
	mu    sync.Mutex
	known map[string]map[tree.Path][sha256.Size]byte
}

// share makes d remember the files of a file system.
func (d *digests) share(key string) {
	if d.known == nil {
		d.known = map[string]map[tree.Path][sha256.Size]byte{}
	}
	if d.known[key] == nil {
		d.known[key] = map[tree.Path][sha256.Size]byte{}
	}
}

func (d *digests) of(key string, files tree.FS, p tree.Path) (string, error) {
	d.mu.Lock()
	known := d.known[key]
	sum, ok := known[p]
	d.mu.Unlock()
	if !ok {
		if err := digest(&sum, files, p); err != nil {
			return "", err
		}
	}
	if known != nil && !ok {
		d.mu.Lock()
		known[p] = sum
		d.mu.Unlock()
	}
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func digest(sum *[sha256.Size]byte, files tree.FS, p tree.Path) error {
	r, err := files.Open(p)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("read %s: %w", p.Abs(), err)
	}
	h.Sum(sum[:0])
	return nil
}
