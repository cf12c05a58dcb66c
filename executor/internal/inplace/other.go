//go:build !linux

package inplace

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// Driver cannot be made on this system.
type Driver struct{ sandbox.Driver }

// New fails: commands of an image run on Linux only.
func New(context.Context, Options) (*Driver, error) {
	return nil, errors.New("build in place: RUN needs Linux")
}
