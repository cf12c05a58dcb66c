// Package layer holds what an image layer is: a stream of changes to a file
// system. It reads and writes that stream as a tar archive, applies it to a
// [tree.Tree], compresses it once while hashing it, and keeps it in a spool file
// that may be read while it is still being written.
package layer

import (
	"io"
	"iter"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Kind says what a change does.
type Kind uint8

// The kinds of change.
const (
	Put    Kind = iota + 1 // the path becomes Node
	Delete                 // the path, and all below it, is gone
	Opaque                 // everything that lower layers have below the directory is gone
)

// A Change is one thing that a layer does to a file system.
type Change struct {
	Path tree.Path
	Kind Kind
	Node tree.Node // of a Put
	// Hard, when not empty, makes a Put another name of the file at that path,
	// which an earlier change of the same stream, or a lower layer, has put.
	// Node repeats that file's node.
	Hard tree.Path
	// Open reads the bytes of a Put regular file without Hard: exactly Node.Size
	// of them. It may be called once, before the stream moves on.
	Open func() (io.ReadCloser, error)
}

// Changes is a stream of changes in which a directory comes before what is in
// it and a file before its hard links. After an error the stream ends. It can be
// ranged over once unless its source says otherwise.
type Changes = iter.Seq2[Change, error]

// None is the stream without changes.
func None(func(Change, error) bool) {}

// Fail is the stream that yields only err.
func Fail(err error) Changes {
	return func(yield func(Change, error) bool) { yield(Change{}, err) }
}
