//go:build !linux

package host

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

// Cache implements [engine.Host]. Nothing runs here that could ask for it.
func (h *Host) Cache(context.Context, engine.Cache) (string, func() error, error) {
	return "", nil, errors.ErrUnsupported
}
