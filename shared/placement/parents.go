package placement

import (
	"errors"
	"io/fs"
	"iter"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// keptEntry is an entry of the source with the part of its path that is kept.
type keptEntry struct {
	tree.Entry
	to tree.Path
	// way marks a directory that is there only because of what is in it.
	way bool
}

// kept yields what the patterns of a request with Parents take. Whether something
// must be found is as for [selection.matches].
func (s selection) kept(patterns []string) iter.Seq2[keptEntry, error] {
	return func(yield func(keptEntry, error) bool) {
		for _, pattern := range patterns {
			found, more, err := s.keep(pattern, yield)
			if !more {
				return
			}
			if err == nil && !found {
				err = s.missed(pattern)
			}
			if err != nil {
				yield(keptEntry{}, err)
				return
			}
		}
	}
}

// keep yields what one pattern takes; more is false if that is enough.
func (s selection) keep(pattern string, yield func(keptEntry, error) bool) (found, more bool, err error) {
	base, rest, pivot := strings.Cut(pattern, "/./")
	if !pivot {
		base, rest = "", pattern
	}
	// What comes before the pivot is no source, so --exclude does not speak of it.
	dirs, err := s.expand(base, nil)
	if err != nil {
		return false, true, err
	}
	for _, dir := range dirs {
		if !dir.node.IsDir() {
			continue
		}
		for e, err := range s.branch(dir.real, tree.Clean(rest)) {
			if err != nil {
				return found, true, err
			}
			found = true
			e.Entry = outside(e.Entry, dir.real)
			if !yield(e, nil) {
				return found, false, nil
			}
		}
	}
	return found, true, nil
}

// branch yields what the pattern takes of the directory base, seen from there,
// with the directories on the way in front of the first entry below them.
func (s selection) branch(base, pattern tree.Path) iter.Seq2[keptEntry, error] {
	return func(yield func(keptEntry, error) bool) {
		fsys := tree.Sub(s.src, base)
		from := plainPart(pattern)
		way, err := wayTo(fsys, from)
		if err != nil || way == nil {
			if err != nil {
				yield(keptEntry{}, err)
			}
			return
		}
		only, err := onlyWhat(pattern)
		if err != nil {
			yield(keptEntry{}, err)
			return
		}
		first := true
		for e, err := range dockerfile.Filter(dockerfile.Filter(fsys, only), s.out).Walk(from) {
			if first && errors.Is(err, fs.ErrNotExist) {
				return
			}
			first = false
			k := keptEntry{Entry: e, to: e.Path}
			if err == nil && e.Node.IsDir() && only != nil && e.Path != tree.Root {
				k.way, err = only.LeavesOut(e.Path)
			}
			if err != nil {
				yield(keptEntry{}, err)
				return
			}
			for len(way) > 0 && !e.Path.Within(way[len(way)-1].Path) {
				way = way[:len(way)-1]
			}
			way = append(way, k)
			if k.way || only != nil && e.Path == tree.Root {
				continue
			}
			for _, k := range way {
				if (k.to != tree.Root || only == nil) && !yield(k, nil) {
					return
				}
			}
			way = way[:0]
		}
	}
}

// onlyWhat leaves out all but what the pattern matches; nil leaves out nothing.
func onlyWhat(pattern tree.Path) (*dockerfile.Ignore, error) {
	if pattern == tree.Root {
		return nil, nil
	}
	only, err := dockerfile.Only(pattern)
	if err != nil {
		return nil, &PatternError{err}
	}
	return only, nil
}

// plainPart is where all that the pattern can match is.
func plainPart(pattern tree.Path) tree.Path {
	at := tree.Root
	for _, name := range pattern.Components() {
		if hasMeta(name) {
			break
		}
		at = tree.Path(name).Below(at)
	}
	return at
}

// wayTo are the directories that lead to p; nil if one is not there.
func wayTo(fsys tree.FS, p tree.Path) ([]keptEntry, error) {
	way := []keptEntry{}
	at := tree.Root
	names := p.Components()
	for i := 0; i < len(names)-1; i++ {
		at = tree.Path(names[i]).Below(at)
		e, err := tree.Stat(fsys, at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err != nil:
			return nil, err
		case e.Node.Type == tree.Symlink:
			return nil, &NotFoundError{
				Pattern: string(p), advice: at.Abs() + " is a symbolic link, which --parents does not follow; name the directory it leads to",
			}
		case !e.Node.IsDir():
			return nil, nil
		}
		way = append(way, keptEntry{Entry: e, to: at, way: true})
	}
	return way, nil
}
