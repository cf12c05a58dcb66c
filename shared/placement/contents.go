package placement

import (
	"iter"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Selected is an entry that a request takes from its Source.
type Selected struct {
	tree.Entry
	// As is what the request knows it by, if that is not its path: the name of a
	// link that leads to it or, with Parents, the path that is kept.
	As string
}

// Selected are the entries of Source that the request takes, by their paths there
// and in the order in which they are placed. What they become depends on them and
// on the request alone, and on what is at the destination.
func (r Request) Selected() iter.Seq2[Selected, error] {
	return func(yield func(Selected, error) bool) {
		s, err := newSelection(r)
		if err != nil {
			yield(Selected{}, err)
			return
		}
		all := s.named
		if r.Parents {
			all = s.withParents
		}
		for e, err := range all(r.Patterns) {
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (s selection) withParents(patterns []string) iter.Seq2[Selected, error] {
	return func(yield func(Selected, error) bool) {
		for k, err := range s.kept(patterns) {
			e := Selected{Entry: k.Entry}
			if k.to != k.Path {
				e.As = k.to.Abs()
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (s selection) named(patterns []string) iter.Seq2[Selected, error] {
	return func(yield func(Selected, error) bool) {
		found, err := s.matches(patterns)
		if err != nil {
			yield(Selected{}, err)
			return
		}
		for _, m := range found {
			for e, err := range s.content(m) {
				out := Selected{Entry: e}
				if e.Path == m.real && m.name != m.real.Base() {
					out.As = m.name
				}
				if !yield(out, err) || err != nil {
					return
				}
			}
		}
	}
}

// Contents are the files of Source whose bytes the request will read.
func (r Request) Contents() ([]tree.Path, error) {
	var files []tree.Path
	for e, err := range r.Selected() {
		if err != nil {
			return nil, err
		}
		if e.Node.Type == tree.File && e.Hard == "" {
			files = append(files, e.Path)
		}
	}
	return files, nil
}
