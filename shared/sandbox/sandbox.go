// Package sandbox is the door to the kernel: a root file system in which
// commands run and whose changes can be captured. It owns the interfaces that
// the drivers implement and what all drivers do alike ([State]); it makes no
// system call itself.
package sandbox

import (
	"context"
	"io"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Sandbox is one root file system and the right to run commands in it.
// Its methods are called by one goroutine at a time, except that [tree.FS] may be
// read by several at once while nothing else is called.
//
// As a tree.FS it shows what was last applied or committed, with the metadata
// that layers gave it; what a RUN did is seen only after Commit.
type Sandbox interface {
	tree.FS
	// Apply puts layers on top of each other onto the root.
	Apply(ctx context.Context, layers ...Layer) error
	// Run runs a command with this as its root, and ends every process it left
	// behind. A command that ends with a status other than 0 is an *[ExitError].
	Run(ctx context.Context, p Process) error
	// Commit captures what Run changed since the last Apply or Commit, and gives it
	// a key as Layer.Key does. The stream must be drained before the next call.
	Commit(ctx context.Context, key string) layer.Changes
	// Close frees what the sandbox holds. It is safe to call twice.
	Close() error
}

// A Layer is what Apply puts on a root.
type Layer struct {
	// Key identifies the content within one driver's life: two layers with the
	// same non-empty key are the same changes, so a driver may use again what it
	// already has.
	Key string
	// Changes opens the stream; it is not called when the driver has the key.
	Changes func(context.Context) layer.Changes
}

// A Driver makes sandboxes.
type Driver interface {
	New(ctx context.Context, name string) (Sandbox, error)
	// Limit says how many sandboxes may be open at once; 0 means any number.
	Limit() int
	// Check says, before anything runs, that commands with these needs can not run
	// here; what is asked for is told by the error.
	Check(n Needs) error
	// Close removes everything that the driver left on this machine and that is
	// not part of a root which the user asked to keep.
	Close() error
}

// Process is a command for Run.
type Process struct {
	Args []string  // the command; Args[0] is looked up in Env's PATH inside the root
	Env  []string  // the whole environment, "KEY=value"; HOME is added if missing
	Dir  tree.Path // working directory; made, owned by root, if it is missing
	// User is as in a USER instruction: "name", "uid", "name:group", "uid:gid";
	// names are looked up in the root's own passwd and group. Empty is root.
	User string
	// Files are readable by the command while it runs, under their absolute
	// paths below /dev/pipes; they are in no layer.
	Files []File
	// Mounts are there while the command runs, in the order given: a later one may
	// lie within an earlier one. What is in them is in no layer.
	Mounts []Mount
	// Offline gives the command a network of its own with a loopback only.
	Offline bool
	Output  io.Writer // standard output and error, in the order written; may be nil
}

// File is a small file that a Process sees.
type File struct {
	Name string // below /dev/pipes, without slashes
	Mode tree.Mode
	Data string
}

// Needs is what commands need beyond a root.
type Needs struct {
	Offline bool // of a [Process]
}
