// Package isolated is the sandbox driver on namespaces and overlayfs. Every layer
// lies in a directory of its own, written once however many stages use it; a
// command sees the layers' overlay with a fresh upper directory on top, and what
// it changed is what it left there.
//
// Mounting needs a mount namespace that this process is root of. [Probe] finds
// out by trying whether there can be one, and a directory fit for an upper
// directory; [Enter] starts this program once more inside; there, [Main] says so
// and [New] makes the driver. All mounts die with the namespace, however the
// program ends.
//
// The package refuses to guess: what a machine is called, or which runtime made
// the container, is never looked at.
package isolated

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Grant is what [Probe] found to be allowed. It is what [New] builds upon.
type Grant struct {
	// Dir is the existing directory below which layers are kept.
	Dir string
	// Method is how the namespace is entered.
	Method Method
	// IDs is how many user ids there are inside.
	IDs int64
	// Options are the overlay's mount options, but for directories.
	Options string
	// UserXattr says that the overlay keeps its marks in user.overlay.…, as it
	// must where trusted.… is refused.
	UserXattr bool
	// Carry is what the program that calls [Enter] hands to the one inside. It is not
	// looked at.
	Carry []byte
	// Since is when that program began with what the one inside goes on with. It is not
	// looked at.
	Since time.Time
	// Namespaces are the CLONE_NEW… flags for a command's first process.
	Namespaces uintptr
	// FreshProc says that a command can have a /proc and a pid namespace of its own.
	FreshProc bool
	// NoNetwork says why a command cannot have a network of its own; it is empty if
	// it can.
	NoNetwork string
}

// String says in a few words what the grant is.
func (g *Grant) String() string {
	s := g.Method.String()
	if g.Method.User {
		s += fmt.Sprintf(" of %d user ids", g.IDs)
	}
	return s + " on " + g.Dir
}

// SingleID says that files and commands can belong to one user only.
func (g *Grant) SingleID() bool { return g.IDs == 1 }

// Method is a way to a mount namespace of one's own.
type Method struct {
	User bool // in a new user namespace
	// UIDs and GIDs are the namespace's maps.
	UIDs, GIDs []IDRange
	// Helpers says that the maps are written by newuidmap and newgidmap.
	Helpers bool
}

// IDRange is a line of a user namespace's map.
type IDRange struct{ Inside, Outside, Count int64 }

func (m Method) String() string {
	switch {
	case !m.User:
		return "mount namespace"
	case m.Helpers:
		return "user namespace made by newuidmap"
	}
	return "user namespace"
}

func count(rs []IDRange) int64 {
	var n int64
	for _, r := range rs {
		n += r.Count
	}
	return n
}

// NoNetworkError says that a command cannot be kept from the network.
type NoNetworkError struct{ Reason string }

func (e *NoNetworkError) Error() string {
	return "run a command without network: no network namespace can be had: " + e.Reason
}

// ExitCode is that of what this machine does not allow (EX_CONFIG).
func (e *NoNetworkError) ExitCode() int { return 78 }

// Hint says what helps.
func (e *NoNetworkError) Hint() string {
	return "build where network namespaces are allowed, or let the command have the network"
}

// Refused says that namespaces cannot be used, and how that was found out.
type Refused struct {
	Attempts []Attempt
}

// Attempt is one try of [Probe].
type Attempt struct {
	Method string
	Dir    string // the directory tried; empty if it did not come to that
	Err    error  // its text names the step that was refused
}

func (e *Refused) Error() string {
	if len(e.Attempts) == 0 {
		return "use namespaces: there is no way to try"
	}
	var b strings.Builder
	b.WriteString("use namespaces: every way was refused")
	for _, a := range e.Attempts {
		fmt.Fprintf(&b, "\n  %s", a.Method)
		if a.Dir != "" {
			fmt.Fprintf(&b, ", %s", a.Dir)
		}
		fmt.Fprintf(&b, ": %v", a.Err)
	}
	return b.String()
}

// Unwrap gives the errors of all attempts.
func (e *Refused) Unwrap() []error {
	var errs []error
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
	}
	return errs
}

// ExitCode is that of what this machine does not allow (EX_CONFIG).
func (e *Refused) ExitCode() int { return 78 }

// Hint says what would help.
func (e *Refused) Hint() string {
	for _, a := range e.Attempts {
		if a.Dir != "" {
			return "a namespace was granted, but no directory fit for layers: mount a volume (an emptyDir, not the container's own file system) and name it with --kaniko-dir"
		}
	}
	return "allow user namespaces (in Docker a seccomp profile that lets clone and mount pass, in Kubernetes no RuntimeDefault profile), or use --isolation=in-place"
}

// StateDirs are the directories to try for layers, in order. One that was named
// explicitly is the only one.
func StateDirs(explicit string) []StateDir {
	if explicit != "" {
		return []StateDir{{Path: explicit, Make: true, Memory: true}}
	}
	dirs := []StateDir{{Path: "/kaniko"}}
	if d, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, StateDir{Path: filepath.Join(d, "kaniko"), Make: true})
	}
	if d := os.Getenv("TMPDIR"); d != "" {
		dirs = append(dirs, StateDir{Path: d})
	}
	return append(dirs, StateDir{Path: "/var/tmp"})
}

// StateDir is a directory that may be fit for layers.
type StateDir struct {
	Path   string
	Make   bool // make it if it is missing
	Memory bool // take it even if it is kept in memory
}
