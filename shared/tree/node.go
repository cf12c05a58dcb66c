// Package tree describes a file system as metadata: what is where, with which
// mode, owner and time, and how to find a path through symbolic links.
//
// It owns the words in which all other packages speak of files ([Path], [Node],
// [Entry], [FS]) and an in-memory tree of them ([Tree]). It does no I/O.
package tree

import (
	"io"
	"iter"
	"maps"
	"time"
)

// Type says what a node is.
type Type uint8

// The types of node that an image layer can hold. Sockets are not among them:
// they mean nothing outside the process that listens.
const (
	File Type = iota + 1
	Dir
	Symlink
	Fifo
	CharDevice
	BlockDevice
)

// Mode is the permission bits of a node with set-user-ID (04000),
// set-group-ID (02000) and sticky (01000), as chmod(2) takes them.
type Mode uint16

// The mode bits beyond rwxrwxrwx.
const (
	SetUID   Mode = 0o4000
	SetGID   Mode = 0o2000
	Sticky   Mode = 0o1000
	ModeMask Mode = 0o7777
)

// Dev is the number of a character or block device.
type Dev struct{ Major, Minor uint32 }

// Xattrs are a node's extended attributes by full name ("security.capability").
type Xattrs map[string]string

// Node is everything a layer says of a file except where its bytes live.
// The zero values of the fields that do not apply to its type are kept.
type Node struct {
	Type     Type
	Mode     Mode
	UID, GID int
	Size     int64     // of a file, in bytes
	MTime    time.Time // layers keep whole seconds
	Link     string    // a symlink's target, as written
	Dev      Dev
	Xattrs   Xattrs

	// Fingerprint tells two contents of a file apart within one process (see
	// [NewFingerprint]); 0 while unknown. It is never stored.
	Fingerprint uint64
}

// IsDir reports whether n is a directory.
func (n Node) IsDir() bool { return n.Type == Dir }

// SameMetadata reports whether a layer would say the same of both nodes.
// Times are compared in whole seconds; contents are not compared.
func (n Node) SameMetadata(o Node) bool {
	return n.Type == o.Type && n.Mode == o.Mode && n.UID == o.UID && n.GID == o.GID &&
		n.Size == o.Size && n.Link == o.Link && n.Dev == o.Dev &&
		n.MTime.Unix() == o.MTime.Unix() && maps.Equal(n.Xattrs, o.Xattrs)
}

// Entry is a node in its place.
type Entry struct {
	Path Path
	Node Node
	// Hard, when not empty, is the path of an earlier entry of the same walk
	// that is the same file (a hard link). Node then repeats that file's node.
	Hard Path
}

// FS is anything that can be read as a file system: a directory, an archive,
// an image, a sandbox.
type FS interface {
	// Walk yields the entry at from and then, if it is a directory, everything
	// below it, in the order of [Compare] and without following links. A from
	// that does not exist yields one error that wraps [io/fs.ErrNotExist]. After
	// an error the walk ends. Stopping after the first entry costs no more than
	// looking up that entry.
	Walk(from Path) iter.Seq2[Entry, error]
	// Open reads the file at p; links are not followed.
	Open(p Path) (io.ReadCloser, error)
}
