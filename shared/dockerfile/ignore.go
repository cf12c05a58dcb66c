package dockerfile

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"sync"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Ignore is a .dockerignore: the patterns that leave paths out of the build
// context. The last pattern that matches a path, or a directory above it,
// decides. It may be used by several goroutines.
type Ignore struct {
	patterns []string
	again    []string // patterns with "!", without it
	judges   sync.Pool
}

// ParseIgnore reads the text of a .dockerignore. name is for messages.
func ParseIgnore(name string, text []byte) (*Ignore, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, badPattern(patterns, err))
	}
	ig := &Ignore{patterns: patterns}
	for _, p := range m.Patterns() {
		if p.Exclusion() {
			ig.again = append(ig.again, p.String())
		}
	}
	j := &judge{matcher: m}
	// Some patterns are found wrong only when they are compiled.
	for i := range patterns {
		one, err := patternmatcher.New(patterns[i : i+1])
		if err == nil {
			_, err = one.MatchesOrParentMatches("x")
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: pattern %q: %w", name, patterns[i], err)
		}
	}
	ig.judges.New = func() any {
		m, err := patternmatcher.New(patterns)
		return &judge{matcher: m, err: err}
	}
	ig.judges.Put(j)
	return ig, nil
}

// badPattern names the pattern that the matcher refuses.
func badPattern(patterns []string, err error) error {
	for _, p := range patterns {
		if _, e := patternmatcher.New([]string{p}); e != nil {
			return fmt.Errorf("pattern %q: %w", p, e)
		}
	}
	return err
}

// judge decides about paths. The matcher is neither safe for concurrent use nor
// fast without the results for a path's directories, which are kept here.
type judge struct {
	matcher *patternmatcher.PatternMatcher
	err     error
	dirs    []verdictOn // of a chain of directories, each the parent of the next
}

type verdictOn struct {
	path tree.Path
	info patternmatcher.MatchInfo
	out  bool
}

// excluded tells whether p is left out by itself, that is without regard to what
// is below it. The root never is.
func (j *judge) excluded(p tree.Path) (bool, error) {
	if j.err != nil {
		return false, j.err
	}
	if p == tree.Root {
		return false, nil
	}
	for len(j.dirs) > 0 && !p.Within(j.dirs[len(j.dirs)-1].path) {
		j.dirs = j.dirs[:len(j.dirs)-1]
	}
	at := tree.Root
	var info patternmatcher.MatchInfo
	var out bool
	if n := len(j.dirs); n > 0 {
		at, info, out = j.dirs[n-1].path, j.dirs[n-1].info, j.dirs[n-1].out
	}
	for _, name := range p.Rel(at).Components() {
		at = at.Join(name)
		var err error
		if out, info, err = j.matcher.MatchesUsingParentResults(string(at), info); err != nil {
			return false, fmt.Errorf("match %s against .dockerignore: %w", at, err)
		}
		j.dirs = append(j.dirs, verdictOn{at, info, out})
	}
	return out, nil
}

func (ig *Ignore) excluded(p tree.Path) (bool, error) {
	j := ig.judges.Get().(*judge)
	defer ig.judges.Put(j)
	return j.excluded(p)
}

// Skip reports whether the entry at p may be left out with all that is below it.
// It has the form that a walk over a directory wants, so that what is ignored
// need not even be read; [Filter] must still be put on top, because an ignored
// directory from which a pattern takes something back is not skipped.
func (ig *Ignore) Skip(p tree.Path, t tree.Type) bool {
	out, err := ig.excluded(p)
	return err == nil && out && (t != tree.Dir || !ig.mayReturn(p))
}

// mayReturn reports whether a pattern with "!" could match something below dir.
// When in doubt it could.
func (ig *Ignore) mayReturn(dir tree.Path) bool {
	names := dir.Components()
	for _, p := range ig.again {
		if reaches(strings.Split(p, "/"), names) {
			return true
		}
	}
	return false
}

func reaches(pattern, dir []string) bool {
	for i, name := range dir {
		if i == len(pattern) {
			return false
		}
		if strings.Contains(pattern[i], "**") || strings.ContainsAny(pattern[i], `[\`) {
			return true
		}
		if ok, err := path.Match(pattern[i], name); err == nil && !ok {
			return false
		}
	}
	return len(pattern) > len(dir)
}

// Filter hides from fsys what ig leaves out. A directory that is left out is
// still seen if something below it is not. A nil ig hides nothing.
func Filter(fsys tree.FS, ig *Ignore) tree.FS {
	if ig == nil || len(ig.patterns) == 0 {
		return fsys
	}
	return &filtered{fsys, ig}
}

type filtered struct {
	under  tree.FS
	ignore *Ignore
}

// Open implements [tree.FS].
func (f *filtered) Open(p tree.Path) (io.ReadCloser, error) {
	out, err := f.ignore.excluded(p)
	if err != nil {
		return nil, err
	}
	if out {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return f.under.Open(p)
}

// Walk implements [tree.FS].
func (f *filtered) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		j := f.ignore.judges.Get().(*judge)
		defer f.ignore.judges.Put(j)
		w := &filteredWalk{ignore: f.ignore, judge: j}
		some := false
		for e, err := range f.under.Walk(from) {
			if err != nil {
				yield(e, err)
				return
			}
			more, err := w.visit(e, func(e tree.Entry) bool {
				some = true
				return yield(e, nil)
			})
			if err != nil {
				yield(tree.Entry{}, err)
				return
			}
			if !more {
				if !w.stopped {
					break
				}
				return
			}
		}
		if !some {
			yield(tree.Entry{}, &fs.PathError{Op: "lstat", Path: from.Abs(), Err: fs.ErrNotExist})
		}
	}
}

// filteredWalk is the state of one walk.
type filteredWalk struct {
	ignore *Ignore
	judge  *judge
	// pending are directories that are left out and were not shown yet: each is
	// an ancestor of the next.
	pending []tree.Entry
	// pruned is a directory below which nothing is shown.
	pruned    tree.Path
	hasPruned bool
	// moved are files whose first name is hidden, by that name: the name under
	// which they were shown first.
	moved   map[tree.Path]tree.Path
	first   bool
	stopped bool // by the caller
}

// visit shows e, or not. more is false when the walk is over.
func (w *filteredWalk) visit(e tree.Entry, show func(tree.Entry) bool) (more bool, err error) {
	isFirst := !w.first
	w.first = true
	if w.hasPruned && e.Path.Within(w.pruned) {
		return true, nil
	}
	for len(w.pending) > 0 && !e.Path.Within(w.pending[len(w.pending)-1].Path) {
		w.pending = w.pending[:len(w.pending)-1]
	}
	out, err := w.judge.excluded(e.Path)
	if err != nil {
		return false, err
	}
	switch {
	case out && !e.Node.IsDir():
		return !isFirst, nil
	case out && !w.ignore.mayReturn(e.Path):
		w.pruned, w.hasPruned = e.Path, true
		return !isFirst, nil
	case out:
		w.pending = append(w.pending, e)
		return true, nil
	}
	for _, dir := range w.pending {
		if !show(dir) {
			w.stopped = true
			return false, nil
		}
	}
	w.pending = w.pending[:0]
	if e.Hard, err = w.hard(e); err != nil {
		return false, err
	}
	if !show(e) {
		w.stopped = true
		return false, nil
	}
	return true, nil
}

// hard is the name to which e is a hard link among the names shown.
func (w *filteredWalk) hard(e tree.Entry) (tree.Path, error) {
	if e.Hard == "" {
		return "", nil
	}
	if to, ok := w.moved[e.Hard]; ok {
		return to, nil
	}
	// Not through w.judge: its chain of directories is the walk's.
	out, err := w.ignore.excluded(e.Hard)
	if err != nil || !out {
		return e.Hard, err
	}
	if w.moved == nil {
		w.moved = map[tree.Path]tree.Path{}
	}
	w.moved[e.Hard] = e.Path
	return "", nil
}
