package engine

import (
	"context"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// squashed runs the stage's steps and makes one layer of what they left
// (--single-snapshot). The history still has them all.
func (s *stage) squashed(ctx context.Context) error {
	if s.lastOfFiles() != nil {
		if err := s.catchUp(ctx); err != nil {
			return &BaseError{Stage: s.plan, Err: err}
		}
	}
	before, err := tree.Copy(s.files())
	if err != nil {
		return err
	}
	var parts []v1.Layer
	last, at := s.lastOfFiles(), 0
	for i, w := range s.works {
		out, err := s.step(ctx, i, w, false)
		if err != nil {
			return err
		}
		if out.Layer != nil {
			parts = append(parts, out.Layer)
		}
		if w == last {
			at = len(s.history)
		}
		s.history = append(s.history, record{step: w.Step})
	}
	if len(parts) == 0 {
		return s.remember(last, nil)
	}
	c := &capture{
		stage: s, key: fmt.Sprintf("stage:%d", s.plan.Index), export: s.exported, index: s.build.keeps(), shown: true,
	}
	inside, end := s.build.Observer.Phase(ctx, Capture)
	err = s.squash(inside, c, before, parts)
	end(err)
	if err != nil {
		return err
	}
	if c.blob == nil {
		return s.remember(last, nil)
	}
	s.history[at].layer = c.blob // where it is as well if the cache has it
	s.layers = append(s.layers, keyed{c.key, c.blob})
	s.applied = len(s.layers)
	if s.known != nil {
		s.known.add(c.blob, true)
	}
	s.offerSquashed(c)
	return s.remember(last, c.blob)
}

// squash encodes, as one layer on top of before, what parts do one after the other.
func (s *stage) squash(ctx context.Context, c *capture, before *tree.Tree, parts []v1.Layer) error {
	after := &layered{origins: map[tree.Path]tree.Path{}, layers: parts}
	var err error
	if after.tree, err = tree.Copy(before); err != nil {
		return err
	}
	touched := map[tree.Path]bool{}
	for _, part := range parts {
		if err := after.put(ctx, touch(layer.Open(part), after.tree, touched)); err != nil {
			return err
		}
	}
	paths := make([]tree.Path, 0, len(touched))
	var files []tree.Path
	for p := range touched {
		paths = append(paths, p)
		if n, ok := after.tree.Lookup(p); ok && n.Type == tree.File {
			files = append(files, p)
		}
	}
	slices.SortFunc(paths, tree.Compare)
	contents, err := after.with(ctx, files, s.build.Spool)
	if err != nil {
		return err
	}
	defer contents.store.close()
	return c.encode(ctx, difference(before, contents, paths, touched), drain)
}

// touch notes which paths changes concern; a path that stops being a directory
// concerns all that was below it.
func touch(changes layer.Changes, t *tree.Tree, touched map[tree.Path]bool) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		for c, err := range changes {
			if err == nil {
				if c.Kind != layer.Put || !c.Node.IsDir() {
					for e, err := range t.Walk(c.Path) {
						if err != nil {
							break
						}
						touched[e.Path] = true
					}
				}
				touched[c.Path] = true
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// difference yields what the paths, in order, became between two file systems.
func difference(before *tree.Tree, after kept, paths []tree.Path, touched map[tree.Path]bool) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		put := map[tree.Path]bool{}
		// A link can be made to a file already put, or to one of a lower layer.
		linkable := func(q tree.Path) bool { return put[q] || !touched[q] }
		gone := tree.Path("\x00") // the directory whose deletion covers what follows
		for _, p := range paths {
			n, ok := after.Lookup(p)
			if !ok {
				if _, was := before.Lookup(p); !was || p.Within(gone) {
					continue
				}
				gone = p
				if !yield(layer.Change{Path: p, Kind: layer.Delete}, nil) {
					return
				}
				continue
			}
			c := layer.Change{Path: p, Kind: layer.Put, Node: n}
			if n.Type == tree.File {
				names := after.Links(p)
				if i := slices.IndexFunc(names, linkable); i >= 0 {
					c.Hard = names[i]
				} else {
					put[p] = true
					c.Open = func() (io.ReadCloser, error) { return after.Open(p) }
				}
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

func drain(changes layer.Changes) error {
	for _, err := range changes {
		if err != nil {
			return err
		}
	}
	return nil
}
