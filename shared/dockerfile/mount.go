package dockerfile

import (
	"errors"
	"fmt"
	"math"
	"path"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// MountType is what RUN --mount shows to a command.
type MountType string

// The types of mounts.
const (
	MountBind   MountType = "bind"   // files of the build context, a stage or an image
	MountCache  MountType = "cache"  // a directory that outlives the build
	MountTmpfs  MountType = "tmpfs"  // an empty directory
	MountSecret MountType = "secret" // a file, or a variable, that is in no image
	MountSSH    MountType = "ssh"    // the socket of an ssh agent
)

// Sharing is what becomes of a cache mount that another RUN is using.
type Sharing string

// The ways of sharing; without a word it is shared.
const (
	SharingShared  Sharing = "shared"  // both have it
	SharingPrivate Sharing = "private" // the second has another one
	SharingLocked  Sharing = "locked"  // the second waits
)

// Mount is one RUN --mount, variables expanded and defaults filled in.
type Mount struct {
	Type MountType
	From string // a stage, its number, a named context or an image; empty without
	// Source is a path in From, or in the build context; of a secret it is empty.
	Source   string
	Target   string // a path, to be seen from the working directory; empty for a secret that is only a variable
	ReadOnly bool
	Size     int64 // of a tmpfs, in bytes; 0 is as the kernel has it
	ID       string
	Sharing  Sharing
	Required bool
	Env      string // the variable that holds a secret; empty without
	Mode     tree.Mode
	UID, GID int
}

const (
	secretsDir  = "/run/secrets/"
	agentSocket = "/run/buildkit/ssh_agent."
	defaultID   = "default" // of an ssh agent
)

// Mounts reads the instruction's mounts. expand is given each value that may have
// variables in it.
func (r *Run) Mounts(expand func(string) (string, error)) ([]Mount, error) {
	if r.parsed == nil {
		return nil, nil
	}
	if err := r.parsed.Expand(expand); err != nil {
		return nil, fault(r.At, "RUN --mount: %w", err)
	}
	var mounts []Mount
	agents := 0
	for _, m := range instructions.GetMounts(r.parsed) {
		out, err := mount(m, agents)
		if err != nil {
			return nil, fault(r.At, "RUN --mount=type=%s: %w", m.Type, err)
		}
		if out.Type == MountSSH {
			agents++
		}
		mounts = append(mounts, out)
	}
	return mounts, nil
}

// mount makes our mount of the parser's; agents is how many ssh agents were
// mounted before it.
func mount(m *instructions.Mount, agents int) (Mount, error) {
	out := Mount{
		Type: MountType(m.Type), From: m.From, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly,
		Size: m.SizeLimit, ID: m.CacheID, Sharing: Sharing(m.CacheSharing), Required: m.Required,
		UID: id(m.UID), GID: id(m.GID),
	}
	if err := checkIDs(m); err != nil {
		return out, err
	}
	mode := uint64(0o400)
	switch out.Type {
	case MountBind, MountTmpfs:
		mode = 0
		if m.Target == "" {
			return out, errors.New("target is missing")
		}
	case MountCache:
		mode = 0o755
		if m.Target == "" {
			return out, errors.New("target is missing")
		}
		if out.Sharing == "" {
			out.Sharing = SharingShared
		}
		if out.ID == "" {
			out.ID = path.Clean(out.Target)
		}
	case MountSecret:
		secret(&out, m)
	case MountSSH:
		mode = 0o600
		if out.ID == "" {
			out.ID = defaultID
		}
		if out.Target == "" {
			out.Target = fmt.Sprintf("%s%d", agentSocket, agents)
		}
	}
	if m.Mode != nil {
		mode = *m.Mode
	}
	if mode > uint64(tree.ModeMask) {
		return out, fmt.Errorf("mode %o: %w", mode, ErrMode)
	}
	out.Mode = tree.Mode(mode)
	return out, nil
}

// secret fills in what a secret's mount leaves out: its id is the last part of its
// target, its target a file of that name, unless it is to be a variable only.
func secret(out *Mount, m *instructions.Mount) {
	if out.ID == "" {
		out.ID = out.Source
	}
	if out.ID == "" {
		out.ID = path.Base(out.Target)
	}
	out.Source = ""
	if m.Env != nil {
		if out.Env = *m.Env; out.Env == "" {
			out.Env = out.ID
		}
		return
	}
	if out.Target == "" {
		out.Target = secretsDir + path.Base(out.ID)
	}
}

func id(n *uint64) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

func checkIDs(m *instructions.Mount) error {
	for _, n := range []*uint64{m.UID, m.GID} {
		if n != nil && *n >= math.MaxUint32 {
			return fmt.Errorf("id %d is larger than an id can be", *n)
		}
	}
	return nil
}

// Froms are what the instruction's mounts take their files from: names of stages,
// their numbers, named contexts or images. No variables are expanded in them.
func (r *Run) Froms() []string {
	if r.parsed == nil {
		return nil
	}
	var names []string
	for _, m := range instructions.GetMounts(r.parsed) {
		if m.From != "" {
			names = append(names, m.From)
		}
	}
	return names
}
