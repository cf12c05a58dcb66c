//go:build !linux

package isolated

import (
	"context"
	"errors"
	"os"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

var errLinux = errors.New("namespaces are Linux's")

// Main returns nil: no program runs inside a namespace on this system.
func Main() *Grant { return nil }

// Probe refuses.
func Probe(context.Context, []StateDir) (*Grant, error) {
	return nil, &Refused{Attempts: []Attempt{{Method: "mount namespace", Err: errLinux}}}
}

// Exit is how the program inside ended.
type Exit struct{ Status int }

// Leave ends this process as e says.
func (e Exit) Leave() { os.Exit(e.Status) }

// Enter refuses.
func Enter(context.Context, *Grant) (Exit, error) { return Exit{}, errLinux }

// New refuses.
func New(context.Context, *Grant) (sandbox.Driver, error) { return nil, errLinux }
