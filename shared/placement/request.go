// Package placement decides what COPY, ADD and WORKDIR put where: it matches the
// sources, resolves the destination in the image's file system, and yields the
// changes in between. It reads metadata only; contents flow through the changes.
package placement

import (
	"fmt"
	"time"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Request is one COPY or ADD with everything expanded.
type Request struct {
	// Source is where Patterns are matched: the build context, a stage or an image.
	Source tree.FS
	// Patterns are paths or patterns as in [path.Match], from Source's root.
	Patterns []string
	// Inline are files from the Dockerfile itself.
	Inline []Inline

	Dest    tree.Path
	DestDir bool // Dest was written as a directory

	Owner *Owner                 // of everything placed; nil keeps the source's
	Mode  *dockerfile.ModeChange // of everything placed but links; nil keeps the source's
	// KeepOwner keeps the owners that Source knows, as COPY --from does; otherwise
	// what has no Owner belongs to root.
	KeepOwner bool
	// Unpack puts the content of local archives in their place, as ADD does.
	Unpack bool
	// Time is the modification time of what has none: made directories and Inline.
	Time time.Time
}

// Inline is a file given by its content.
type Inline struct {
	Name string
	Data string
}

// exitDockerfile is the exit code for what is wrong with a Dockerfile (EX_DATAERR).
const exitDockerfile = 65

// NotFoundError says that a source matches nothing.
type NotFoundError struct{ Pattern string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("source %q: no such file or directory", e.Pattern)
}

// ExitCode is that of a fault in the Dockerfile.
func (e *NotFoundError) ExitCode() int { return exitDockerfile }

// Hint says where to look.
func (e *NotFoundError) Hint() string {
	return "sources are looked up below the root of the build context (or of the stage that --from names); .dockerignore may leave the file out"
}

// ConflictError says that a directory and something else want the same path.
type ConflictError struct {
	Path tree.Path
	Is   string // what is there
	New  string // what should be put there
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("put %s at %s: a %s is there", e.New, e.Path.Abs(), e.Is)
}

// ExitCode is that of a fault in the Dockerfile.
func (e *ConflictError) ExitCode() int { return exitDockerfile }

// SeveralError says that several sources are to go to one file.
type SeveralError struct{ Dest tree.Path }

func (e *SeveralError) Error() string {
	return fmt.Sprintf("copy several sources: the destination %s must be a directory and end with a slash", e.Dest.Abs())
}

// ExitCode is that of a fault in the Dockerfile.
func (e *SeveralError) ExitCode() int { return exitDockerfile }

// OwnerError says that a user or group of --chown or USER is not known.
type OwnerError struct {
	Kind, Name string // "user" or "group"
	Err        error
}

func (e *OwnerError) Error() string { return fmt.Sprintf("look up %s %q: %v", e.Kind, e.Name, e.Err) }

func (e *OwnerError) Unwrap() error { return e.Err }

// ExitCode is that of a fault in the Dockerfile.
func (e *OwnerError) ExitCode() int { return exitDockerfile }
