// Package host gives commands what the machine has and no image does: the values
// of --secret, the agents of --ssh, and the directories of cache mounts. It
// implements [engine.Host].
//
// Values are read when the build begins: in place, the files that they are in may
// be gone by the time a command asks for them.
package host

import (
	"context"
	"fmt"
	"io"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// Options say what there is.
type Options struct {
	Secrets []string // as --secret has them
	Agents  []string // as --ssh has them
	// Caches is the directory of the cache mounts; it is made when it is needed.
	Caches string
	// LookupEnv finds variables, for secrets and for the agent.
	LookupEnv func(string) (string, bool)
}

// Host is what the flags give. It is safe for use by several goroutines.
type Host struct {
	secrets map[string][]byte
	agents  map[string]*Agent
	caches  string
}

var _ engine.Host = (*Host)(nil)

// Open reads what the flags name.
func Open(o Options) (*Host, error) {
	h := &Host{secrets: map[string][]byte{}, agents: map[string]*Agent{}, caches: o.Caches}
	for _, text := range o.Secrets {
		s, err := parseSecret(text)
		if err != nil {
			return nil, err
		}
		if _, ok := h.secrets[s.id]; ok {
			return nil, &Error{"--secret", text, fmt.Errorf("there are two with id %q", s.id)}
		}
		if h.secrets[s.id], err = s.value(o.LookupEnv); err != nil {
			return nil, &Error{"--secret", text, err}
		}
	}
	for _, text := range o.Agents {
		a, err := openAgent(text, o.LookupEnv)
		if err != nil {
			return nil, err
		}
		if _, ok := h.agents[a.ID]; ok {
			return nil, &Error{"--ssh", text, fmt.Errorf("there are two with id %q", a.ID)}
		}
		h.agents[a.ID] = a
	}
	return h, nil
}

// Secret implements [engine.Host].
func (h *Host) Secret(id string) ([]byte, bool, error) {
	value, ok := h.secrets[id]
	return value, ok, nil
}

// Agent implements [engine.Host].
func (h *Host) Agent(id string) (func(context.Context, io.ReadWriteCloser), bool) {
	a, ok := h.agents[id]
	if !ok {
		return nil, false
	}
	return a.serve, true
}

// Keep are the paths that must stay where they are for the build.
func (h *Host) Keep() []string {
	var paths []string
	if h.caches != "" {
		paths = append(paths, h.caches)
	}
	for _, a := range h.agents {
		if a.socket != "" {
			paths = append(paths, a.socket)
		}
	}
	return paths
}

// Error is a flag whose value cannot be used. It never says what a secret is.
type Error struct {
	Flag, Value string
	Err         error
}

func (e *Error) Error() string { return fmt.Sprintf("read %s %s: %v", e.Flag, e.Value, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_USAGE.
func (e *Error) ExitCode() int { return 64 }
