package engine

import (
	"context"
	"fmt"
	"io"
	"maps"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// layered is the file system that layers make together, known without being
// unpacked: its metadata, and where to find its contents when some are needed.
type layered struct {
	tree   *tree.Tree
	layers []v1.Layer
	// origins are the paths that hard links were made to, by the link's path: the
	// content stands there even if that name is gone by now.
	origins map[tree.Path]tree.Path
}

// accounts are the files kept in memory while layers pass, because --chown and
// USER ask for them.
func isAccounts(p tree.Path) bool { return p == "etc/passwd" || p == "etc/group" }

// maxKept bounds a file that is kept in memory, in bytes.
const maxKept = 8 << 20

// index reads through layers once, writing nothing.
func index(ctx context.Context, layers []v1.Layer) (*layered, error) {
	l := &layered{tree: &tree.Tree{}, origins: map[tree.Path]tree.Path{}}
	for _, one := range layers {
		if err := l.put(ctx, layer.Open(one)); err != nil {
			return nil, err
		}
		l.layers = append(l.layers, one)
	}
	return l, nil
}

// put lets one layer's changes take effect. Its content is added by whoever has it.
func (l *layered) put(ctx context.Context, changes layer.Changes) error {
	o := layer.NewOverlay(l.tree)
	for c, err := range changes {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = o.Add(c)
		}
		if err == nil {
			err = l.note(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *layered) note(c layer.Change) error {
	if c.Kind != layer.Put {
		return nil
	}
	delete(l.origins, c.Path)
	switch {
	case c.Hard != "":
		l.origins[c.Path] = c.Hard
		if from, ok := l.origins[c.Hard]; ok {
			l.origins[c.Path] = from
		}
	case isAccounts(c.Path) && c.Open != nil && c.Node.Size <= maxKept:
		r, err := c.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("read %s: %w", c.Path.Abs(), err)
		}
		l.tree.Keep(c.Path, string(text))
	}
	return nil
}

func (l *layered) clone() (*layered, error) {
	t, err := tree.Copy(l.tree)
	return &layered{tree: t, layers: l.layers[:len(l.layers):len(l.layers)], origins: maps.Clone(l.origins)}, err
}

// with makes the contents of files readable, passing through the layers once more.
func (l *layered) with(ctx context.Context, files []tree.Path, dir string) (kept, error) {
	s, err := newStore(dir)
	if err != nil {
		return kept{}, err
	}
	wanted := map[tree.Path]bool{}
	for _, p := range files {
		wanted[p] = true
		if from, ok := l.origins[p]; ok {
			wanted[from] = true
		}
	}
	for _, one := range l.layers {
		if err := s.take(ctx, layer.Open(one), wanted); err != nil {
			s.close()
			return kept{}, err
		}
	}
	return kept{l.tree, s}, nil
}

// take stores what changes put at the wanted paths; later layers win.
func (s *store) take(ctx context.Context, changes layer.Changes, wanted map[tree.Path]bool) error {
	for c, err := range changes {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if c.Kind != layer.Put || c.Node.Type != tree.File {
			continue
		}
		if at, ok := s.held[c.Hard]; ok && c.Hard != "" {
			// Wanted or not: a link that is may be made to it.
			s.held[c.Path] = at
			continue
		}
		delete(s.held, c.Path)
		if !wanted[c.Path] || c.Hard != "" {
			continue
		}
		r, err := c.Open()
		if err != nil {
			return err
		}
		if err := s.add(c.Path, r); err != nil {
			return err
		}
	}
	return nil
}
