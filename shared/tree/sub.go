package tree

import (
	"crypto/sha256"
	"io"
	"iter"
)

// Sub is the file system below the directory dir of fsys, with dir as its root.
func Sub(fsys FS, dir Path) FS {
	if dir == Root {
		return fsys
	}
	return &sub{fsys, dir}
}

type sub struct {
	under FS
	dir   Path
}

// Below is p, a path of a [Sub] of dir, seen from outside.
func (p Path) Below(dir Path) Path {
	switch {
	case dir == Root:
		return p
	case p == Root:
		return dir
	}
	return dir + "/" + p
}

func (s *sub) at(p Path) Path { return p.Below(s.dir) }

// Walk implements [FS].
func (s *sub) Walk(from Path) iter.Seq2[Entry, error] { return s.shift(s.under.Walk(s.at(from))) }

// Prune implements [Pruner].
func (s *sub) Prune(from Path, skip func(Path, Type) bool) iter.Seq2[Entry, error] {
	return s.shift(Prune(s.under, s.at(from), func(p Path, t Type) bool { return skip(p.Rel(s.dir), t) }))
}

// List implements [Lister].
func (s *sub) List(dir Path) iter.Seq2[Entry, error] { return s.shift(List(s.under, s.at(dir))) }

// Open implements [FS].
func (s *sub) Open(p Path) (io.ReadCloser, error) { return s.under.Open(s.at(p)) }

// Digest implements [Digested].
func (s *sub) Digest(p Path) ([sha256.Size]byte, bool) { return Digest(s.under, s.at(p)) }

func (s *sub) shift(entries iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				e.Path = e.Path.Rel(s.dir)
				if e.Hard != "" {
					e.Hard = e.Hard.Rel(s.dir)
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
