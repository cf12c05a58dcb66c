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

	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

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
	if known, ok := tree.Digest(files, p); ok {
		*sum = known
		return nil
	}
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
