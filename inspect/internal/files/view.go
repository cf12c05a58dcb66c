package files

import (
	"archive/tar"
	"context"
	"io/fs"
	"os"
	"path"
	"slices"
)

// view is layers one above the other, looked at from above. It reads the next one only
// when those above do not say what a path is.
type view struct {
	below   []*Layer // not yet looked at, the lowest first
	entries map[string]*Entry
	implied map[string]*Entry // directories that something is in
	gone    map[string]bool   // deleted by a layer looked at, with what is below
	closed  map[string]bool   // nothing of lower layers shows below it
	wanted  string            // whose content is wanted of a layer that has to be read whole
	keep    func() (*os.File, error)
}

func newView(layers []*Layer) *view {
	return &view{
		below: slices.Clone(layers), entries: map[string]*Entry{}, gone: map[string]bool{}, closed: map[string]bool{},
		implied: map[string]*Entry{"/": impliedDir("/", 0)},
	}
}

func impliedDir(p string, layer int) *Entry {
	return &Entry{Path: p, Header: &tar.Header{Typeflag: tar.TypeDir, Name: p, Mode: 0o755}, Layer: layer, Implied: true}
}

// lookup is what is at a path, no link followed.
func (v *view) lookup(ctx context.Context, p string) (*Entry, error) {
	for {
		if e := v.entries[p]; e != nil {
			return e, nil
		}
		if e := v.implied[p]; e != nil {
			return e, nil
		}
		if v.hidden(p) || len(v.below) == 0 {
			return nil, &fs.PathError{Op: "look up", Path: p, Err: fs.ErrNotExist}
		}
		if err := v.next(ctx); err != nil {
			return nil, err
		}
	}
}

// all reads all layers.
func (v *view) all(ctx context.Context) error {
	for len(v.below) > 0 {
		if err := v.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hidden tells whether layers looked at hide what lower ones have at a path.
func (v *view) hidden(p string) bool {
	if v.gone[p] {
		return true
	}
	for d := p; d != "/"; {
		d = path.Dir(d)
		if v.gone[d] || v.closed[d] {
			return true
		}
	}
	return false
}

// next looks at one more layer.
func (v *view) next(ctx context.Context) error {
	l := v.below[len(v.below)-1]
	if err := l.read(ctx, v.wanted, v.keep); err != nil {
		return err
	}
	v.below = v.below[:len(v.below)-1]
	for _, e := range l.list.order {
		if l.list.entries[e.Path] != e || v.hidden(e.Path) {
			continue // a mark, repeated later on, or not to be seen
		}
		above := v.implied[e.Path]
		if above != nil && above.Layer > l.N && e.Header.Typeflag != tar.TypeDir {
			continue // a layer above has a directory there
		}
		if v.entries[e.Path] == nil {
			v.entries[e.Path] = e
		}
		for d := path.Dir(e.Path); v.implied[d] == nil; d = path.Dir(d) {
			v.implied[d] = impliedDir(d, l.N)
		}
	}
	for _, p := range l.list.gone {
		v.gone[p] = true
	}
	for _, p := range l.list.closed {
		v.closed[p] = true
	}
	return nil
}
