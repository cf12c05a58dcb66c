// Package inplace is the sandbox driver for containers that allow nothing but to
// write files: it unpacks images over the root that the executor itself runs in
// and finds what a command changed by comparing inodes before and after.
//
// It owns the rule for what of that root may be lost, which paths are never
// touched, and what the disk holds at the moment. It refuses to run where
// something could be lost that nobody meant to lose.
package inplace

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Mode is how closely files are looked at (--snapshot-mode).
type Mode uint8

const (
	// Full compares inode, change time, links, size, mode, owner and times, and
	// then the content of what differs. A command can hide nothing from it.
	Full Mode = iota
	// Redo does without inode and change time: it misses what keeps size and time
	// of modification, and changes of attributes alone.
	Redo
	// Time sees nothing but the time of modification: it also misses changes of
	// mode and owner.
	Time
)

// Options say what the driver may do. The zero value is for our own image.
type Options struct {
	// Dir holds the executor, its spool and what the driver keeps; default
	// /kaniko. It is never touched by a build.
	Dir string
	// Work is the directory below Dir where the build has its own files, if it has: a command
	// that removes it ends the build.
	Work string
	// Keep are further absolute paths that a build neither changes nor captures:
	// the build context, --ignore-path.
	Keep []string
	// Ignored are paths of which layers have nothing that commands did there, although
	// Commit tells it (--ignore-path).
	Ignored []tree.Path
	// CaptureVarRun makes /var/run part of layers also where the runtime mounted
	// something into it (--ignore-var-run=false).
	CaptureVarRun bool
	Mode          Mode
	// Cleanup empties the root when the driver is closed.
	Cleanup bool
	// Force takes any root for one that may be lost.
	Force bool
	// Warn, if not nil, is told of what commands will not see as layers have it.
	Warn func(string)
	// Debug, if not nil, is told how much of the root was looked at after a command.
	Debug func(string)
}

// DefaultDir is where our image has the executor.
const DefaultDir = "/kaniko"

// Marker is the file in the executor's directory that says: nothing in this root
// is worth keeping. Our debug image ships it, and the driver leaves it in a root
// that it found to be empty.
const Marker = "disposable-root"

// RootError says that the root holds something a build would delete.
type RootError struct {
	Path   string // the first thing that would be lost
	Marker string // the file that would allow it
}

func (e *RootError) Error() string {
	return fmt.Sprintf("build in place: the build would delete %s, as all else in this root", e.Path)
}

// ExitCode is that of what this machine does not allow (EX_CONFIG).
func (e *RootError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *RootError) Hint() string {
	return "run the executor in its own image, which holds nothing else; use --isolation=namespaces; " +
		"or, if all of this root may go, say so with --force or by creating " + e.Marker
}
