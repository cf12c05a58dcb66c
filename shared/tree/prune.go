package tree

import "iter"

// Pruner is an [FS] that can walk without even reading what is not wanted.
// [Prune] does without, but has to walk all of it.
type Pruner interface {
	// Prune is Walk without the entries for which skip is true and what is below
	// them. Skip is not asked about from itself, and asked in the order of the
	// walk. An entry's Hard is a name that was not skipped.
	Prune(from Path, skip func(Path, Type) bool) iter.Seq2[Entry, error]
}

// Prune walks as [Pruner] does. A nil skip leaves nothing out.
func Prune(fsys FS, from Path, skip func(Path, Type) bool) iter.Seq2[Entry, error] {
	if skip == nil {
		return fsys.Walk(from)
	}
	if p, ok := fsys.(Pruner); ok {
		return p.Prune(from, skip)
	}
	return func(yield func(Entry, error) bool) {
		cut := cutter{from: from, skip: skip}
		for e, err := range fsys.Walk(from) {
			if err == nil && !cut.keep(&e) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// cutter leaves out of a walk what is skipped.
type cutter struct {
	from  Path
	skip  func(Path, Type) bool
	below Path // what was skipped last
	some  bool
	// moved are the files whose first name was skipped, by that name: "" until
	// another name of it is met.
	moved map[Path]Path
}

func (c *cutter) keep(e *Entry) bool {
	out := c.some && e.Path.Within(c.below)
	if !out && e.Path != c.from && c.skip(e.Path, e.Node.Type) {
		c.below, c.some, out = e.Path, true, true
	}
	if out {
		if e.Node.Type == File && e.Hard == "" {
			if c.moved == nil {
				c.moved = map[Path]Path{}
			}
			c.moved[e.Path] = ""
		}
		return false
	}
	if first, ok := c.moved[e.Hard]; ok {
		if first == "" {
			c.moved[e.Hard] = e.Path
		}
		e.Hard = first
	}
	return true
}
