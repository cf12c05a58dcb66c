package buildcontext

import "github.com/kaniko-suite/kaniko/shared/dockerfile"

// Ignore is what the build context leaves out for d; nil is nothing.
func (l Location) Ignore(d Dockerfile) (*dockerfile.Ignore, error) { return l.ignore(d) }
