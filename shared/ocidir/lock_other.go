//go:build !linux

package ocidir

import (
	"errors"
	"os"
)

// flock is not there on other systems: see [Dir.Hold].
func flock(*os.File, bool) error { return errors.ErrUnsupported }
