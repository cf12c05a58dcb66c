package dockerfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Ignore is a .dockerignore: the patterns that leave paths out of the build
// context. The last pattern that matches a path, or a directory above it,
// decides; a pattern with "!" takes back only what is left out where it matches.
// It may be used by several goroutines.
type Ignore struct {
	patterns []rule
	judges   sync.Pool
}

// rule is one pattern.
type rule struct {
	text  string // without the "!"
	again bool   // it had the "!"
	// first and last are what every path that the pattern matches begins and ends
	// with. They spare most paths the regular expressions that patterns become.
	first, last string
}

// ParseIgnore reads the text of a .dockerignore. name is for messages. A fault is
// an [*Error].
func ParseIgnore(name string, text []byte) (*Ignore, error) {
	lines, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, fault(Location{File: name}, "%w", err)
	}
	ig, err := compile(lines)
	if err != nil {
		return nil, fault(Location{File: name}, "%w", err)
	}
	return ig, nil
}

// NewIgnore is an Ignore of patterns that do not come from a file: none is a comment.
func NewIgnore(patterns []string) (*Ignore, error) {
	var lines []string
	for _, p := range patterns {
		text, again := strings.CutPrefix(strings.TrimSpace(p), "!")
		if text = strings.TrimSpace(text); text != "" {
			text = strings.TrimPrefix(path.Clean(text), "/")
		}
		if again {
			text = "!" + text
		}
		if text != "" {
			lines = append(lines, text)
		}
	}
	return compile(lines)
}

// Only is an Ignore that leaves out everything but what the pattern matches and
// what is below that. The pattern is taken as it is: a "!" is part of a name.
func Only(pattern tree.Path) (*Ignore, error) {
	ig := &Ignore{patterns: []rule{newRule("**", false)}}
	if err := ig.add(newRule(string(pattern), true)); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	ig.judges.New = func() any { return newJudge(ig.patterns) }
	return ig, nil
}

func compile(lines []string) (*Ignore, error) {
	ig := &Ignore{}
	for _, l := range lines {
		if !isText(l) {
			return nil, fmt.Errorf("pattern %q: %w", l, ErrNotText)
		}
		m, err := patternmatcher.New([]string{l})
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", l, err)
		}
		for _, p := range m.Patterns() {
			if err := ig.add(newRule(p.String(), p.Exclusion())); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", l, err)
			}
		}
	}
	ig.judges.New = func() any { return newJudge(ig.patterns) }
	return ig, nil
}

// add appends a rule once it has been seen to work: some patterns are found wrong
// only when they are compiled.
func (ig *Ignore) add(r rule) error {
	m, err := r.matcher()
	if err == nil {
		_, err = m.MatchesOrParentMatches("x")
	}
	ig.patterns = append(ig.patterns, r)
	return err
}

// wild are the characters of a pattern that do not stand for themselves.
const wild = `*?[]\`

func newRule(text string, again bool) rule {
	r := rule{text: text, again: again, first: text, last: text}
	if i := strings.IndexAny(text, wild); i >= 0 {
		r.first = text[:i]
		at := strings.LastIndexAny(text, wild)
		r.last = text[at+1:]
		if strings.HasSuffix(text[:at+1], "**") {
			// The slash after it may match nothing at all.
			r.last = strings.TrimPrefix(r.last, "/")
		}
	}
	return r
}

// matcher is what decides about the pattern alone.
func (r rule) matcher() (*patternmatcher.PatternMatcher, error) {
	return patternmatcher.New([]string{r.literal()})
}

// literal escapes what stands for itself in a pattern but not for the matcher: a
// "!" in front, spaces at the ends, and some characters that mean something in a
// regular expression.
func (r rule) literal() string {
	var w strings.Builder
	if strings.HasPrefix(r.text, "!") {
		w.WriteByte('\\')
	}
	class, escaped := false, false
	for i, c := range r.text {
		switch {
		case escaped:
			escaped = false
		case c == ' ' && !class && (i == 0 || i == len(r.text)-1):
			w.WriteString("[ ]")
			continue
		case c == '\\':
			escaped = true
		case c == '[':
			class = true
		case c == ']':
			class = false
		case !class && strings.ContainsRune("{}|^", c):
			w.WriteByte('\\')
		}
		w.WriteRune(c)
	}
	return w.String()
}

// judge decides about paths. Matchers are not safe for concurrent use, and the
// results for a path's directories are needed for what is below; both are here.
type judge struct {
	rules    []rule
	matchers []*patternmatcher.PatternMatcher
	no       patternmatcher.MatchInfo // of a directory that one pattern does not match
	err      error
	dirs     []verdictOn // a chain of directories, each the parent of the next
}

type verdictOn struct {
	path    tree.Path
	matched []bool // by each rule, at path or above
	out     bool
}

func newJudge(rules []rule) *judge {
	j := &judge{rules: rules}
	for _, r := range rules {
		m, err := r.matcher()
		if err != nil {
			return &judge{err: err}
		}
		j.matchers = append(j.matchers, m)
	}
	never, err := patternmatcher.New([]string{"a"})
	if err != nil {
		return &judge{err: err}
	}
	_, j.no, j.err = never.MatchesUsingParentResults("b", patternmatcher.MatchInfo{})
	return j
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
	n := len(j.dirs)
	for n > 0 && !p.Within(j.dirs[n-1].path) {
		n--
	}
	j.dirs = j.dirs[:n]
	at, out := tree.Root, false
	var above []bool
	if n > 0 {
		at, above, out = j.dirs[n-1].path, j.dirs[n-1].matched, j.dirs[n-1].out
	}
	for _, name := range p.Rel(at).Components() {
		at = at.Join(name)
		var matched []bool
		if n = len(j.dirs); n < cap(j.dirs) {
			matched = j.dirs[:n+1][n].matched[:0]
		}
		var err error
		if matched, out, err = j.decide(at, above, matched); err != nil {
			return false, fmt.Errorf("match %s against .dockerignore: %w", at, err)
		}
		j.dirs = append(j.dirs, verdictOn{at, matched, out})
		above = matched
	}
	return out, nil
}

// decide goes through the rules for p. above are the matches of its directory.
func (j *judge) decide(p tree.Path, above, matched []bool) (_ []bool, out bool, err error) {
	for i, r := range j.rules {
		match := above != nil && above[i]
		// A rule that would not change what is decided so far is not asked, and
		// counts as not matching also for what is below.
		if !match && r.again == out {
			if match, err = j.match(i, r, string(p)); err != nil {
				return nil, false, err
			}
		}
		matched = append(matched, match)
		if match {
			out = !r.again
		}
	}
	return matched, out, nil
}

func (j *judge) match(i int, r rule, p string) (bool, error) {
	if !strings.HasPrefix(p, r.first) || !strings.HasSuffix(p, r.last) {
		return false, nil
	}
	match, _, err := j.matchers[i].MatchesUsingParentResults(p, j.no)
	return match, err
}

// LeavesOut reports whether p is left out by itself: a directory may be, and
// something below it not. The root never is.
func (ig *Ignore) LeavesOut(p tree.Path) (bool, error) {
	j := ig.judges.Get().(*judge)
	defer ig.judges.Put(j)
	return j.excluded(p)
}

// Skip reports whether the entry at p may be left out with all that is below it.
// It has the form that a walk over a directory wants, so that what is ignored
// need not even be read; [Filter] must still be put on top, because an ignored
// directory from which a pattern takes something back is not skipped.
func (ig *Ignore) Skip(p tree.Path, t tree.Type) bool {
	out, err := ig.LeavesOut(p)
	return err == nil && out && (t != tree.Dir || !ig.mayReturn(p))
}

// Omits reports whether a source of COPY, as it is written, is left out for sure:
// it, or a directory above it, matches a pattern. Wildcards in it stand for
// themselves. It is false if any pattern has a "!", since something may then be
// taken back; and the whole context counts as left out only if a pattern says that
// of everything.
func (ig *Ignore) Omits(source string) bool {
	if slices.ContainsFunc(ig.patterns, func(r rule) bool { return r.again }) {
		return false
	}
	p := tree.Clean(source)
	if p == tree.Root {
		return slices.ContainsFunc(ig.patterns, func(r rule) bool { return r.text == "*" || r.text == "**" || r.text == "**/*" })
	}
	out, err := ig.LeavesOut(p)
	return err == nil && out
}

// mayReturn reports whether a pattern with "!" could match something below dir.
// When in doubt it could.
func (ig *Ignore) mayReturn(dir tree.Path) bool {
	names := dir.Components()
	for _, r := range ig.patterns {
		if r.again && reaches(strings.Split(r.text, "/"), names) {
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
	out, err := f.ignore.LeavesOut(p)
	if err != nil {
		return nil, err
	}
	if out {
		return nil, &fs.PathError{Op: "open", Path: p.Abs(), Err: fs.ErrNotExist}
	}
	return f.under.Open(p)
}

// Digest implements [tree.Digested].
func (f *filtered) Digest(p tree.Path) ([sha256.Size]byte, bool) { return tree.Digest(f.under, p) }

// Walk implements [tree.FS].
func (f *filtered) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return f.Prune(from, nil) }

// Prune implements [tree.Pruner].
func (f *filtered) Prune(from tree.Path, skip func(tree.Path, tree.Type) bool) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		j := f.ignore.judges.Get().(*judge)
		defer f.ignore.judges.Put(j)
		w := &filteredWalk{ignore: f.ignore, judge: j}
		some := false
		unread := func(p tree.Path, t tree.Type) bool { return skip != nil && skip(p, t) || w.unread(p, t) }
		for e, err := range tree.Prune(f.under, from, unread) {
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

// List implements [tree.Lister].
func (f *filtered) List(dir tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for e, err := range tree.List(f.under, dir) {
			if err == nil {
				// A directory that is left out is there if something below it is.
				_, err = tree.Stat(f, e.Path)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
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

// unread is what the walk need not even look at. An error is left to visit.
func (w *filteredWalk) unread(p tree.Path, t tree.Type) bool {
	out, err := w.judge.excluded(p)
	return err == nil && out && (t != tree.Dir || !w.ignore.mayReturn(p))
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
	out, err := w.ignore.LeavesOut(e.Hard)
	if err != nil || !out {
		return e.Hard, err
	}
	if w.moved == nil {
		w.moved = map[tree.Path]tree.Path{}
	}
	w.moved[e.Hard] = e.Path
	return "", nil
}
