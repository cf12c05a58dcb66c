package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Host gives commands what is in no image: secrets, ssh agents, and directories
// that outlive the build. It is asked by several stages at once.
type Host interface {
	// Secret is the value of a secret; ok is false if there is none of that id.
	Secret(id string) (value []byte, ok bool, err error)
	// Agent talks to the ssh agent of that id; ok is false if there is none.
	Agent(id string) (serve func(context.Context, io.ReadWriteCloser), ok bool)
	// Cache opens a directory for one command, and waits for it if it is locked.
	// release lets others have it.
	Cache(ctx context.Context, c Cache) (dir string, release func() error, err error)
}

// Cache is a cache mount: a directory that later commands and builds find as an
// earlier one left it.
type Cache struct {
	ID      string
	Sharing dockerfile.Sharing
	// Mode and owner are those of a directory that is made.
	Mode     tree.Mode
	UID, GID int
	// Initial is what a directory that is made begins with; nil is nothing.
	Initial *sandbox.Bind
	// Source is the directory wanted within it; empty is all of it.
	Source tree.Path
}

// Remotes fetches what ADD names by URL or as a repository.
type Remotes interface {
	// Fetch makes it readable: at from in a file system lies the file, or the
	// directory with the files of the repository. release frees it.
	Fetch(ctx context.Context, r plan.Remote) (files tree.FS, from tree.Path, release func() error, err error)
}

// errNoHost says that a caller did not think of mounts.
var errNoHost = errors.New("nothing can be mounted here")

// nobody is the Host of a build that has none.
type nobody struct{}

func (nobody) Secret(string) ([]byte, bool, error) { return nil, false, nil }

func (nobody) Agent(string) (func(context.Context, io.ReadWriteCloser), bool) { return nil, false }

func (nobody) Cache(context.Context, Cache) (string, func() error, error) { return "", nil, errNoHost }

// MissingError says that a command requires a secret or an ssh agent that was
// not given.
type MissingError struct {
	Type dockerfile.MountType
	ID   string
}

func (e *MissingError) Error() string {
	if e.Type == dockerfile.MountSSH {
		return fmt.Sprintf("ssh agent %q is required and was not given", e.ID)
	}
	return fmt.Sprintf("secret %q is required and was not given", e.ID)
}

// Hint says how to give it.
func (e *MissingError) Hint() string {
	if e.Type == dockerfile.MountSSH {
		return fmt.Sprintf("give --ssh %s (the agent of SSH_AUTH_SOCK) or --ssh %s=SOCKET or KEYFILE", e.ID, e.ID)
	}
	return fmt.Sprintf("give --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", e.ID, e.ID)
}

// ExitCode is EX_USAGE.
func (e *MissingError) ExitCode() int { return 64 }

// preflight finds what cannot be done here before anything is done, and the
// secrets that no output may show.
func (b *build) preflight(ctx context.Context) error {
	for _, s := range b.order {
		first := true
		for _, w := range s.todo() {
			op, ok := w.Op.(plan.Run)
			if !ok {
				continue
			}
			if b.driver == nil {
				var err error
				if b.driver, err = b.Sandboxes(ctx); err != nil {
					return err
				}
			}
			err := b.checkRun(op)
			if err == nil && first && b.Runs != nil {
				err = b.Runs(ctx, s.plan.Platform) // that of all its commands
			}
			if err != nil {
				return &StepError{Stage: s.plan, Step: w.Step, Err: err}
			}
			first = false
		}
	}
	return nil
}

func (b *build) checkRun(op plan.Run) error {
	if err := b.driver.Check(sandbox.Needs{Offline: op.Offline}); err != nil {
		return err
	}
	for _, m := range op.Mounts {
		switch m.Type {
		case dockerfile.MountSecret:
			value, ok, err := b.Host.Secret(m.ID)
			if err != nil {
				return err
			}
			if !ok && m.Required {
				return &MissingError{m.Type, m.ID}
			}
			b.secrets = append(b.secrets, value)
		case dockerfile.MountSSH:
			if _, ok := b.Host.Agent(m.ID); !ok && m.Required {
				return &MissingError{m.Type, m.ID}
			}
		}
	}
	return nil
}
