// Package reaper runs one command and outlives everything that it started.
//
// The executor starts itself once more as a small first process ("init"), which
// may switch to another root, becomes the command's user, starts the command
// and, when that has ended, kills and collects every process left behind:
// only then are files still. What is to be done travels over a socket, so that
// neither environment nor arguments of init tell a command anything of the build.
//
// The package owns the life of processes and the mounts that live and die with
// them. It refuses to know why: which root, which mounts and which namespaces
// is the business of the drivers.
package reaper

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// Spec is a command and what surrounds it.
type Spec struct {
	// Process is the command. Its Mounts and Offline are for a driver to turn into
	// a Root and Namespaces; they are not looked at here.
	Process sandbox.Process
	// Root is the root to switch to; nil keeps the caller's. It needs a mount
	// namespace of its own among Namespaces.
	Root *Root
	// Namespaces are the CLONE_NEW… flags of the namespaces made for init. With a
	// new pid namespace the kernel itself ends what is left behind. In a new network
	// namespace the loopback is up.
	Namespaces uintptr
	// Capabilities are the numbers of those a command run by root keeps; nil
	// leaves them as they are. What set-id programs can regain is bounded too.
	Capabilities []int
	// SetupOnly makes and leaves all this without running a command.
	SetupOnly bool
}

// Root says how init makes its root.
type Root struct {
	At      string  // absolute path of an existing empty directory, the mount point
	Overlay Overlay // what is mounted there
	Mounts  []Mount // then made inside, in this order
	// Last are made after Mounts and after the command's working directory, which
	// is thus in the root even if one of them lies in it.
	Last []Mount
}

// Overlay is an overlay mount. The names in it may be relative to Dir, which
// keeps the list of many lower directories within the page that the kernel reads.
type Overlay struct {
	Dir     string   // absolute
	Lower   []string // topmost first
	Upper   string   // empty makes a read-only overlay
	Work    string
	Options string // further mount options, comma-separated
	Flags   uintptr
}

// Mount is one thing that a command finds in its root and no layer holds. A
// target that is missing is made, and taken away again after the command.
type Mount struct {
	// Type is "bind", "file", "restrict" (which binds Target onto itself, to give it
	// Flags), "symlink" or the type of a file system.
	Type string
	// Source is, for a bind, an absolute path in the caller's root, or a path in In
	// or Overlay if there is one of them; for a symlink its target.
	Source string
	// In is an absolute path in the caller's root. Links are followed in it, and none
	// from there on.
	In string
	// Target is an absolute path in the new root; links in it lead inside that root.
	Target string
	Flags  uintptr // MS_… flags; a bind may carry MS_REC, MS_RDONLY and the like
	// Data are alternatives for the file system's options, tried in order.
	Data []string
	// Alike gives a new file system's root the mode of the directory that it hides,
	// or 01777 if there is none.
	Alike bool
	// Overlay is mounted where no command sees it, for a bind to show a part of.
	// Links are not followed in it.
	Overlay *Overlay
	// Secret is the file that type "file" shows, which is kept in memory.
	Secret *sandbox.Secret
	// Optional makes a refusal, or a Source or Target that does not exist, no error.
	Optional bool
	// Existing skips the mount where Target does not exist.
	Existing bool
}

// SetupError says which step on the way to the command was refused.
type SetupError struct {
	Step string // such as "mount overlay", "pivot_root" or "run as user app"
	Err  error  // the kernel's answer, or the reason in words
	Help string // what the user can do; may be empty
	// Dockerfile says that the Dockerfile asks for what the image does not have: the
	// machine refused nothing.
	Dockerfile bool
}

func (e *SetupError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

func (e *SetupError) Unwrap() error { return e.Err }

// Hint says what can be done about it; it may be empty.
func (e *SetupError) Hint() string { return e.Help }

// ExitCode is 65 if the Dockerfile is at fault, else 78: the machine does not allow
// what was asked for.
func (e *SetupError) ExitCode() int {
	if e.Dockerfile {
		return 65
	}
	return 78
}
