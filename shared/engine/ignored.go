package engine

import (
	"slices"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// ignored are the paths of which the stage's commands leave nothing in the image. In
// a stage that is only copied from nothing is lost, for there others may look for it.
func (s *stage) ignored() []tree.Path {
	if !s.exported {
		return nil
	}
	return s.build.Ignored
}

// ignoredText is what definitions say of that; empty without.
func (s *stage) ignoredText() []string {
	var all []string
	for _, p := range s.ignored() {
		all = append(all, p.Abs())
	}
	return all
}

// without leaves out what is at or below paths. A file that has names elsewhere too
// is there under the first of those.
func without(paths []tree.Path, changes layer.Changes) layer.Changes {
	if len(paths) == 0 {
		return changes
	}
	return func(yield func(layer.Change, error) bool) {
		left := map[tree.Path]layer.Change{} // out, by path: files that may have other names
		moved := map[tree.Path]tree.Path{}   // where such a file is now
		for c, err := range changes {
			switch {
			case err != nil:
			case within(paths, c.Path):
				if c.Kind == layer.Put && c.Node.Type == tree.File {
					left[c.Path] = c
				}
				continue
			case moved[c.Hard] != "":
				c.Hard = moved[c.Hard]
			case c.Hard != "" && within(paths, c.Hard):
				first, ok := left[c.Hard]
				if !ok {
					break // a file of a layer below, which is in the image
				}
				moved[c.Hard] = c.Path
				c.Hard, c.Open, c.Node = first.Hard, first.Open, first.Node
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func within(paths []tree.Path, p tree.Path) bool {
	return slices.ContainsFunc(paths, p.Within)
}
