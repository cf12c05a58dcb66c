package plan

import (
	"errors"
	"fmt"
	"path"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
)

// agentVariable tells programs where the ssh agent is.
const agentVariable = "SSH_AUTH_SOCK"

// mounts are those of a RUN, their targets absolute.
func (b *builder) mounts(in *dockerfile.Run) ([]Mount, error) {
	parsed, err := in.Mounts(b.word)
	if err != nil {
		return nil, err
	}
	var mounts []Mount
	taken := map[string]bool{}
	for _, m := range parsed {
		out := Mount{
			Type: m.Type, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly, Size: m.Size, ID: m.ID,
			Sharing: m.Sharing, Required: m.Required, Env: m.Env, Mode: m.Mode, UID: m.UID, GID: m.GID,
		}
		if out.Target != "" {
			out.Target = b.absolute(m.Target)
			if err := checkTarget(out.Target, taken); err != nil {
				return nil, fmt.Errorf("--mount=type=%s: %w", m.Type, err)
			}
		}
		if m.From != "" {
			if out.From, err = b.c.source(b.d, mountUse(in, m.From)); err != nil {
				return nil, err
			}
		}
		mounts = append(mounts, out)
	}
	return mounts, nil
}

func checkTarget(target string, taken map[string]bool) error {
	if target == "/" {
		return errors.New("the root itself cannot be the target")
	}
	if taken[path.Clean(target)] {
		return fmt.Errorf("%s is the target of another mount already", target)
	}
	taken[path.Clean(target)] = true
	return nil
}

// setAgent tells a command of the first ssh agent that it has.
func setAgent(env *environ, mounts []Mount) {
	if _, ok := env.get(agentVariable); ok {
		return
	}
	for _, m := range mounts {
		if m.Type == dockerfile.MountSSH {
			env.set(agentVariable, m.Target)
			return
		}
	}
}
