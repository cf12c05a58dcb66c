package placement

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// selection finds what a request takes from its source.
type selection struct {
	src tree.FS
	out *dockerfile.Ignore // what --exclude leaves out; nil if nothing
	// unmatched is told of patterns that match nothing; it may be nil.
	unmatched func(pattern string)
}

func newSelection(r Request) (selection, error) {
	s := selection{src: r.Source, unmatched: r.Unmatched}
	if len(r.Exclude) == 0 {
		return s, nil
	}
	var err error
	if s.out, err = dockerfile.NewIgnore(r.Exclude); err != nil {
		return s, &PatternError{fmt.Errorf("--exclude: %w", err)}
	}
	return s, nil
}

// A match is one source: the name it was found by, and where it really is.
type match struct {
	name string // last component as the user would say it; "" for the root
	real tree.Path
	node tree.Node
}

// content yields the source and, of a directory, what is taken of what is below.
func (s selection) content(m match) iter.Seq2[tree.Entry, error] {
	if s.out == nil || !m.node.IsDir() {
		return s.src.Walk(m.real)
	}
	return func(yield func(tree.Entry, error) bool) {
		for e, err := range dockerfile.Filter(tree.Sub(s.src, m.real), s.out).Walk(tree.Root) {
			if !yield(outside(e, m.real), err) {
				return
			}
		}
	}
}

// outside turns an entry of a [tree.Sub] of dir into one of what dir is in.
func outside(e tree.Entry, dir tree.Path) tree.Entry {
	e.Path = e.Path.Below(dir)
	if e.Hard != "" {
		e.Hard = e.Hard.Below(dir)
	}
	return e
}

// matches expands the patterns, in their order. A plain path must exist; a pattern
// with wildcards that matches nothing is told of and is no error, as in BuildKit:
// that is how Dockerfiles copy what may or may not be there.
func (s selection) matches(patterns []string) ([]match, error) {
	var found []match
	for _, pattern := range patterns {
		out := s.out
		if !hasMeta(pattern) {
			out = nil // what is named outright is wanted
		}
		got, err := s.expand(pattern, out)
		if err != nil {
			return nil, err
		}
		if len(got) == 0 {
			if err := s.missed(pattern); err != nil {
				return nil, err
			}
		}
		found = append(found, got...)
	}
	return found, nil
}

// missed is what it means that a pattern matches nothing.
func (s selection) missed(pattern string) error {
	if !isWild(pattern) {
		return &NotFoundError{Pattern: pattern}
	}
	if s.unmatched != nil {
		s.unmatched(pattern)
	}
	return nil
}

// isWild reports whether a pattern can stand for more than one name.
func isWild(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// expand finds what one pattern matches, but for files whose names out leaves out.
func (s selection) expand(pattern string, out *dockerfile.Ignore) ([]match, error) {
	at := []tree.Path{tree.Root}
	for _, name := range tree.Clean(pattern).Components() {
		var next []tree.Path
		for _, dir := range at {
			names, err := children(s.src, dir, name)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		at = next
	}
	var found []match
	for _, p := range at {
		unwanted := false
		if out != nil {
			var err error
			if unwanted, err = out.LeavesOut(tree.Path(p.Base())); err != nil {
				return nil, err
			}
		}
		m, ok, err := s.follow(p)
		if unwanted && (!ok || !m.node.IsDir()) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, m)
		}
	}
	return found, nil
}

// follow finds what p is or leads to; ok is false if p itself does not exist.
func (s selection) follow(p tree.Path) (m match, ok bool, err error) {
	m = match{name: p.Base()}
	if m.real, err = tree.Resolve(s.src, p); err != nil {
		return m, false, err
	}
	e, err := tree.Stat(s.src, m.real)
	switch {
	case err == nil:
		m.node = e.Node
		return m, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return m, false, err
	}
	link, err := tree.ResolveParent(s.src, p)
	if err != nil {
		return m, false, err
	}
	if _, err := tree.Stat(s.src, link); err == nil {
		return m, false, &NotFoundError{
			Pattern: string(p), advice: p.Abs() + " is a symbolic link to " + m.real.Abs() + ", which is not there; --exclude can leave it out",
		}
	}
	return m, false, nil
}

// children are the entries of dir that one component of a pattern names.
func children(src tree.FS, dir tree.Path, pattern string) ([]tree.Path, error) {
	if !hasMeta(pattern) {
		return []tree.Path{dir.Join(pattern)}, nil
	}
	real, err := tree.Resolve(src, dir)
	if err != nil {
		return nil, err
	}
	var found []tree.Path
	for e, err := range tree.List(src, real) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		ok, err := path.Match(pattern, e.Path.Base())
		if err != nil {
			return nil, &PatternError{fmt.Errorf("source pattern %q: %w", pattern, err)}
		}
		if ok {
			found = append(found, dir.Join(e.Path.Base()))
		}
	}
	return found, nil
}
