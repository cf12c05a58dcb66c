package compare

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// maxTexts bounds the texts of a layer that are in memory to be compared, in bytes of
// each side. What is beyond it is told without its lines.
const maxTexts = 64 << 20

// side is a layer of one side, read.
type side struct {
	*blob
	reading
}

// texts adds to the differences of contents the lines that differ, where both are
// texts of at most [MaxText] bytes.
func (p *pairing) texts(ctx context.Context, found []Difference, a, b side) error {
	ctx, done := p.entered(ctx, Content, p.platform)
	defer done()
	x, y := listOf(a.entries), listOf(b.entries)
	wanted := map[string]*Difference{}
	var left int64 = maxTexts
	for i := range found {
		d := &found[i]
		m, n := x.file(d.Path), y.file(d.Path)
		if d.Field != "content" || m == nil || n == nil || m.Size > MaxText || n.Size > MaxText {
			continue
		}
		if left -= max(m.Size, n.Size); left < 0 {
			p.note("more than %d bytes of text differ in layer %d: the rest is not shown by lines", maxTexts, a.n)
			break
		}
		wanted[d.Path] = d
	}
	if len(wanted) == 0 {
		return nil
	}
	var textsA, textsB map[string][]byte
	var err, other error
	both(func() { textsA, err = a.contents(ctx, x, wanted) }, func() { textsB, other = b.contents(ctx, y, wanted) })
	if err = errors.Join(err, other); err != nil {
		return err
	}
	for path, d := range wanted {
		if old, new := textsA[path], textsB[path]; isText(old) && isText(new) {
			d.Text = unified(old, new)
		}
	}
	return nil
}

// file is the last entry of a path, if it is a file with content of its own.
func (l list) file(p string) *treediff.Member {
	at := l.paths[p]
	if len(at) == 0 || !l.all[at[len(at)-1]].IsFile() {
		return nil
	}
	return &l.all[at[len(at)-1]]
}

// contents reads the contents of some files: of an indexed layer one by one, else in
// one pass over the archive.
func (s side) contents(ctx context.Context, l list, wanted map[string]*Difference) (map[string][]byte, error) {
	all := map[string][]byte{}
	if s.index != nil {
		for p := range wanted {
			text, err := content(ctx, s.index, l.file(p).Header.Name)
			if err != nil {
				return nil, s.failed(err)
			}
			all[p] = text
		}
		return all, nil
	}
	keep := func(name string, size int64) bool { return size <= MaxText && wanted[absolute(name)] != nil }
	err := s.stream(ctx, keep, func(m treediff.Member) error {
		if p := absolute(m.Header.Name); wanted[p] != nil && m.IsFile() {
			all[p] = m.Text // of several entries the last counts
		}
		return nil
	})
	return all, err
}
