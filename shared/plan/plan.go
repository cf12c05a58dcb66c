// Package plan turns a Dockerfile and the configs of its base images into what
// has to be done: stages of steps, each with the image config it leaves behind.
// It is pure: nothing has run and no layer was fetched when a Plan is made.
//
// It owns what an instruction means for an image's config and for the steps of a
// stage. How a step is done is the engine's; what a Dockerfile looks like is
// package dockerfile's.
package plan

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Plan is a Dockerfile compiled for one target.
type Plan struct {
	Stages   []*Stage // those that Target and Also need, in the Dockerfile's order
	Target   *Stage   // whose image is the build's
	Also     []*Stage // built although Target takes nothing from them
	Warnings []dockerfile.Warning
}

// A Stage is a base and the steps on top of it.
type Stage struct {
	Index    int    // among the Dockerfile's stages, from 0
	Name     string // as written after AS; empty without
	Base     Base
	Steps    []*Step
	Platform v1.Platform
	Config   v1.ConfigFile // what the stage's image says of itself; rootfs and history are the base's
	// StartInterval is HEALTHCHECK's, which has no place in a v1.Config; 0 if
	// the Dockerfile says nothing of it.
	StartInterval time.Duration
	At            dockerfile.Location
}

// Base is what FROM names: at most one field is set; none means scratch.
type Base struct {
	Stage *Stage
	Image *Image
}

// Image is an image in a registry (or a store in front of one), resolved.
type Image struct {
	Ref      string  // as written, arguments expanded
	Digest   v1.Hash // of the manifest for Platform
	Platform v1.Platform
	Config   *v1.ConfigFile
	// Unknown says that the image was not looked at, and Digest and Config say
	// nothing: so it is for [Lint], never in a Plan.
	Unknown bool
}

// A Step is one instruction that leaves something in the image.
type Step struct {
	Op     Op
	Config v1.Config // in force after the step
	// CreatedBy is the text for the image's history.
	CreatedBy string
	// Text is the instruction as the user wrote it, on one line, for people.
	Text string
	At   dockerfile.Location
}

// Op is what a step does to files. The set is closed: [Run], [Copy], [Dir] and
// [Meta]. Switch on it; it has no behaviour of its own.
type Op interface{ op() }

// Run runs a command.
type Run struct {
	Args []string
	Env  []string // whole environment of the command: image's ENV and the arguments in scope
	// Unkeyed names the variables of Env on which the result does not depend: the
	// predefined proxy arguments. They belong in no key and in no history.
	Unkeyed []string
	Dir     string // absolute
	User    string
	Files   []sandbox.File
	Mounts  []Mount
	Offline bool // no network but a loopback
}

// Copy puts files into the image: COPY and ADD.
type Copy struct {
	// From says where Sources are; nil is the build context.
	From *Source
	// Sources are patterns relative to From's root, arguments expanded.
	Sources []string
	// Remotes are what ADD fetches, copied after Sources.
	Remotes []Remote
	// Inline are files given as heredocs in the Dockerfile, copied after Remotes.
	Inline []Inline
	// Dest is absolute. DestDir is set when it was written with a trailing slash
	// (or as "." or ending in "/."), and so names a directory.
	Dest    string
	DestDir bool
	Chown   string                 // "user", "user:group", ":group" or ids; empty is 0:0
	Chmod   *dockerfile.ModeChange // changes the mode of everything copied
	// Unpack is ADD's way with a local archive: its content is copied.
	Unpack bool
	// Parents keeps the directories of a source's path below Dest; those before a
	// "/./" in it are left out.
	Parents bool
	Exclude []string // patterns of what is left out
	// Link makes the layer independent of what is below it: links in Dest are not
	// followed, and what is in the way is replaced.
	Link bool
}

// Source is where COPY --from or a mount looks: exactly one field is set.
type Source struct {
	Stage *Stage
	Image *Image
	// Context is the name of a build context other than the main one.
	Context string
}

// Key tells sources apart: two with the same key have the same files. That of the
// build context is a nil Source's.
func (s *Source) Key() string {
	switch {
	case s == nil:
		return "context"
	case s.Stage != nil:
		return fmt.Sprintf("stage %d", s.Stage.Index)
	case s.Context != "":
		return "context " + s.Context
	}
	return "image " + s.Image.Digest.String()
}

// Remote is a source of ADD that has to be fetched.
type Remote struct {
	// URL is of a file or, if Git is set, names a repository and what of it.
	URL string
	Git bool
	// Name is the file's, by the URL; empty if it has none, as a repository.
	Name string
	// Checksum is what a file's content, "sha256:…", or a repository's commit must be.
	Checksum   string
	Unpack     bool  // a file that is an archive is unpacked
	KeepGitDir *bool // of a repository's .git; nil is what URL says
}

// Mount is something that a command finds in its root and that is in no layer.
type Mount struct {
	Type dockerfile.MountType
	// From says where Source is; nil is the build context for a bind, and for a
	// cache nothing.
	From     *Source
	Source   string // relative to From's root
	Target   string // absolute; empty for a secret that is only a variable
	ReadOnly bool
	Size     int64 // of a tmpfs, in bytes; 0 is as the kernel has it
	ID       string
	Sharing  dockerfile.Sharing
	Required bool
	Env      string // the variable that holds a secret; empty without
	Mode     tree.Mode
	UID, GID int
}

// Inline is a file whose content stands in the Dockerfile.
type Inline struct {
	Name string
	Data string
}

// Dir makes a directory where there is none: WORKDIR.
type Dir struct {
	Path string // absolute
	User string // owner of what is made, as USER has it
}

// Meta changes the config only.
type Meta struct{}

func (Run) op()  {}
func (Copy) op() {}
func (Dir) op()  {}
func (Meta) op() {}
