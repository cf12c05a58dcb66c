// Package placement decides what COPY, ADD and WORKDIR put where: it matches the
// sources, resolves the destination in the image's file system, and yields the
// changes in between. It reads metadata only; contents flow through the changes.
package placement

import (
	"fmt"
	"time"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Request is one COPY or ADD with everything expanded.
type Request struct {
	// Source is where Patterns are matched: the build context, a stage or an image.
	Source tree.FS
	// Patterns are paths or patterns as in [path.Match], from Source's root.
	Patterns []string
	// Unmatched, if not nil, is told of patterns that match nothing.
	Unmatched func(pattern string)
	// Inline are files from the Dockerfile itself.
	Inline []Inline

	// Parents keeps the directories of a pattern's path, those after a "/./" in it,
	// below Dest, which is a directory then. Links among them are not followed, and
	// "**" stands for any number of directories.
	Parents bool
	// Exclude are patterns as in a .dockerignore of what is left out. For what is
	// in a directory they are seen from that directory, with Parents from where
	// the path that is kept begins. Files that a wildcard matches are left out by
	// their name; a file that is named outright is not, but for Parents.
	Exclude []string

	Dest    tree.Path
	DestDir bool // Dest was written as a directory

	Owner *Owner                 // of everything placed; nil keeps the source's
	Mode  *dockerfile.ModeChange // of everything placed but links; nil keeps the source's
	// KeepOwner keeps the owners that Source knows, as COPY --from does; otherwise
	// what has no Owner belongs to root.
	KeepOwner bool
	// Unpack puts the content of archives in their place, as ADD does. Modes are
	// theirs even if Mode is given.
	Unpack bool
	// Link places without regard to what is there: links in Dest are not followed,
	// the directories that lead to it are made anew, and what is in the way is
	// replaced. So the changes are the same on every image.
	Link bool
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
type NotFoundError struct {
	Pattern string
	advice  string // "" for the usual one
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("source %q: no such file or directory", e.Pattern)
}

// ExitCode is that of a fault in the Dockerfile.
func (e *NotFoundError) ExitCode() int { return exitDockerfile }

// Hint says where to look.
func (e *NotFoundError) Hint() string {
	if e.advice != "" {
		return e.advice
	}
	return "sources are looked up below the root of the build context (or of the stage that --from names); .dockerignore or --exclude may leave the file out"
}

// PatternError says that a pattern of --exclude or of a source is none.
type PatternError struct{ Err error }

func (e *PatternError) Error() string { return e.Err.Error() }

func (e *PatternError) Unwrap() error { return e.Err }

// ExitCode is that of a fault in the Dockerfile.
func (e *PatternError) ExitCode() int { return exitDockerfile }

// ReservedError says that a file has a name that no image layer can hold.
type ReservedError struct{ Path tree.Path }

func (e *ReservedError) Error() string {
	return fmt.Sprintf("put %q in the image: %v", e.Path.Abs(), layer.ErrReservedName)
}

func (e *ReservedError) Unwrap() error { return layer.ErrReservedName }

// ExitCode is that of input that cannot be built.
func (e *ReservedError) ExitCode() int { return exitDockerfile }

// Hint says how to do without the file.
func (e *ReservedError) Hint() string {
	return "leave it out with --exclude or .dockerignore, or rename it"
}

// ArchiveError says that a source that begins as an archive is damaged.
type ArchiveError struct {
	Archive tree.Path
	Err     error
}

func (e *ArchiveError) Error() string { return fmt.Sprintf("unpack %s: %v", e.Archive.Abs(), e.Err) }

func (e *ArchiveError) Unwrap() error { return e.Err }

// ExitCode is that of input that cannot be built.
func (e *ArchiveError) ExitCode() int { return exitDockerfile }

// Hint says how to have the file as it is.
func (e *ArchiveError) Hint() string { return "ADD --unpack=false and COPY place an archive as it is" }

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
