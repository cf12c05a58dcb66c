//go:build !linux

package reaper

import (
	"context"
	"errors"
)

// Main returns: there is no init on this system.
func Main() {}

// Run refuses: commands run on Linux only.
func Run(context.Context, Spec) error {
	return &SetupError{Step: "run a command", Err: errors.New("RUN works on Linux only")}
}
