package compare

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// squashed compares the trees that containers start from. Where all layers are the
// same archives, so are the trees, and nothing is read.
func (p *pairing) squashed(ctx context.Context) error {
	ctx, done := p.entered(ctx, Files, p.platform)
	defer done()
	if p.sameLayers() {
		return nil
	}
	for _, i := range []*image{p.a, p.b} {
		if !archives(i.layers) {
			return nil // statements have no tree
		}
	}
	indexed := p.allIndexed()
	var a, b *treediff.Tree
	var err, other error
	read := func() error {
		both(func() { a, err = p.a.tree(ctx, indexed) }, func() { b, other = p.b.tree(ctx, indexed) })
		return errors.Join(err, other)
	}
	if err := read(); err != nil {
		if !indexed || ctx.Err() != nil {
			return err
		}
		p.note("layers were read whole, not by their indexes: %v", err)
		indexed = false
		if err := read(); err != nil {
			return err
		}
	}
	for i := range p.layers {
		if l := &p.layers[i]; l.State == LayerDiffers {
			l.Read = readArchive
			if indexed {
				l.Read = readIndex
			}
		}
	}
	found := trees(a, b)
	if p.bare {
		// Most layers say nothing of the root directory itself, and every directory has it.
		found = slices.DeleteFunc(found, func(d Difference) bool {
			return d.Path == "/" && (d.Field == "added" || d.Field == "removed")
		})
	}
	if p.Level >= Content {
		if err := p.treeTexts(ctx, found); err != nil {
			return err
		}
	}
	p.found(found...)
	return nil
}

func (p *pairing) sameLayers() bool {
	if len(p.a.layers) != len(p.b.layers) {
		return false
	}
	for i, l := range p.a.layers {
		if !l.same(p.b.layers[i]) {
			return false
		}
	}
	return true
}

// allIndexed reports whether all layers of both have an index: times of files are
// whole seconds in one, and must not be compared with those of an archive.
func (p *pairing) allIndexed() bool {
	for _, i := range []*image{p.a, p.b} {
		for _, l := range i.layers {
			if !l.indexed() {
				return false
			}
		}
	}
	return true
}

// tree is the tree that an image's layers come to.
func (i *image) tree(ctx context.Context, indexed bool) (*treediff.Tree, error) {
	t := treediff.NewTree()
	for _, l := range i.layers {
		var entries []treediff.Member
		var err error
		if indexed {
			var x *toc.Index
			if x, err = l.readIndex(ctx); err == nil {
				entries = x.Members()
			}
			err = l.failed(err)
		} else {
			entries, err = l.archived(ctx)
		}
		if err != nil {
			return nil, err
		}
		if err := t.Apply(sequence(entries), l.n); err != nil {
			return nil, l.failed(err)
		}
	}
	return t, nil
}

func sequence(all []treediff.Member) iter.Seq2[treediff.Member, error] {
	return func(yield func(treediff.Member, error) bool) {
		for _, m := range all {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// trees lists what differs between two trees, in path order.
func trees(a, b *treediff.Tree) []Difference {
	nextA, stopA := iter.Pull(a.Entries())
	defer stopA()
	nextB, stopB := iter.Pull(b.Entries())
	defer stopB()
	x, inA := nextA()
	y, inB := nextB()
	var out []Difference
	for inA || inB {
		switch {
		case !inB || inA && x.Path < y.Path:
			out = append(out, sided(Difference{Level: Files, Path: x.Path, Field: "removed"}, false, ofEntry(x).String()))
			x, inA = nextA()
		case !inA || y.Path < x.Path:
			out = append(out, sided(Difference{Level: Files, Path: y.Path, Field: "added"}, true, ofEntry(y).String()))
			y, inB = nextB()
		default:
			out = append(out, differ(x.Path, ofEntry(x), ofEntry(y), nil, nil)...)
			x, inA = nextA()
			y, inB = nextB()
		}
	}
	return out
}

// treeTexts adds the lines that differ, in another pass over the layers.
func (p *pairing) treeTexts(ctx context.Context, found []Difference) error {
	wanted := map[string]*Difference{}
	for i := range found {
		if found[i].Field == "content" {
			wanted[found[i].Path] = &found[i]
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	var a, b map[string][]byte
	var err, other error
	both(func() { a, err = p.a.treeContents(ctx, wanted) }, func() { b, other = p.b.treeContents(ctx, wanted) })
	if err = errors.Join(err, other); err != nil {
		return err
	}
	for path, d := range wanted {
		old, inA := a[path]
		new, inB := b[path]
		if inA && inB && isText(old) && isText(new) {
			d.Text = unified(old, new)
		}
	}
	return nil
}

// treeContents are the contents that the highest layer with it gives each path; paths
// with content that is large, or more than can be kept, are left out.
func (i *image) treeContents(ctx context.Context, wanted map[string]*Difference) (map[string][]byte, error) {
	all := map[string][]byte{}
	var left int64 = maxTexts
	for _, l := range i.layers {
		keep := func(name string, size int64) bool {
			return size <= MaxText && size <= left && wanted[absolute(name)] != nil
		}
		err := l.stream(ctx, keep, func(m treediff.Member) error {
			p := absolute(m.Header.Name)
			if wanted[p] == nil || !m.IsFile() {
				return nil
			}
			delete(all, p)
			if int64(len(m.Text)) == m.Size {
				all[p] = m.Text
				left -= m.Size
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
