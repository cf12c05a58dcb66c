package engine

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// layered is the file system that layers make together, known without being
// unpacked: its metadata, and where to find its contents when some are needed. Not
// even the metadata is looked at before load is called.
type layered struct {
	layers []v1.Layer
	// begin, if not nil, is the file system of the first layers, which others know too.
	begin func(context.Context) (*layered, error)

	mu     sync.Mutex // for what follows, while it is loaded
	loaded int        // how many of the layers the tree shows
	tree   *tree.Tree
	// origins are the paths that hard links were made to, by the link's path: the
	// content stands there even if that name is gone by now.
	origins map[tree.Path]tree.Path
}

func newLayered(layers ...v1.Layer) *layered {
	return &layered{layers: layers, tree: &tree.Tree{}, origins: map[tree.Path]tree.Path{}}
}

// load brings the tree up to the last layer. Layers with an index are not read for
// that; others are read through once, and nothing is written.
func (l *layered) load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begin != nil {
		below, err := l.begin(ctx)
		if err != nil {
			return err
		}
		if l.tree, err = tree.Copy(below.tree); err != nil {
			return err
		}
		l.origins, l.loaded, l.begin = maps.Clone(below.origins), below.loaded, nil
	}
	for l.loaded < len(l.layers) {
		if err := l.put(ctx, layer.Metadata(l.layers[l.loaded])); err != nil {
			return err
		}
		l.loaded++
	}
	return nil
}

// isLoaded reports whether the tree shows all layers.
func (l *layered) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begin == nil && l.loaded == len(l.layers)
}

// add appends a layer; shown tells that its changes were put already.
func (l *layered) add(one v1.Layer, shown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.layers = append(l.layers, one)
	if shown {
		l.loaded++
	}
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
	case layer.IsAccounts(c.Path) && c.Open != nil && c.Node.Size <= layer.MaxAccounts:
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
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := tree.Copy(l.tree)
	return &layered{
		layers: l.layers[:len(l.layers):len(l.layers)], begin: l.begin,
		loaded: l.loaded, tree: t, origins: maps.Clone(l.origins),
	}, err
}

// source is a file system in which a COPY finds what it asks for.
func (l *layered) source(ctx context.Context, what placement.Request, dir string) (tree.FS, func(), error) {
	if err := l.load(ctx); err != nil {
		return nil, nil, err
	}
	what.Source = l.tree
	files, err := what.Contents()
	if err != nil {
		return nil, nil, err
	}
	k, err := l.with(ctx, files, dir)
	if err != nil {
		return nil, nil, err
	}
	return k, func() { k.store.close() }, nil
}

// with makes the contents of files readable, passing once more through those
// layers that may have them.
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
		holds, err := concerns(one, wanted)
		if err == nil && holds {
			err = s.take(ctx, layer.Open(one), wanted)
		}
		if err != nil {
			s.close()
			return kept{}, err
		}
	}
	return kept{l.tree, s}, nil
}

// concerns reports whether a layer may put any of the paths, or another name of
// them, which is wanted then too.
func concerns(l v1.Layer, wanted map[tree.Path]bool) (bool, error) {
	if len(wanted) == 0 {
		return false, nil
	}
	i, ok := layer.As[layer.Indexed](l)
	if !ok {
		return true, nil
	}
	changes, ok := i.Index()
	if !ok {
		return true, nil
	}
	found := false
	for c, err := range changes {
		if err != nil {
			return false, err
		}
		if c.Kind != layer.Put {
			continue
		}
		if c.Hard != "" && wanted[c.Hard] {
			wanted[c.Path] = true
		}
		found = found || wanted[c.Path]
	}
	return found, nil
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
