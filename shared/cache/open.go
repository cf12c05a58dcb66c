package cache

import (
	"fmt"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/registry"
)

// layoutPrefix begins what names an OCI layout.
const layoutPrefix = "oci:"

// Open opens the cache that a user names: a repository, such as
// registry.example/app/cache, or oci: and a directory, which is made if it is not
// there and has to be one that can be written to, unless it is only read. The error is a [SpecError]; nothing is asked of a registry yet.
func Open(spec string, c *registry.Client, o Options) (*Place, error) {
	if dir, ok := strings.CutPrefix(spec, layoutPrefix); ok {
		l, err := openLayout(dir, o.ReadOnly)
		if err != nil {
			return nil, &SpecError{spec, err}
		}
		return &Place{back: l, tool: o.Tool}, nil
	}
	repo, err := c.Repository(spec)
	if err != nil {
		return nil, &SpecError{spec, err}
	}
	return InRepository(c, repo, o), nil
}

// SpecError is a name of a cache that leads nowhere.
type SpecError struct {
	Spec string
	Err  error
}

func (e *SpecError) Error() string { return fmt.Sprintf("open the cache %q: %v", e.Spec, e.Err) }
func (e *SpecError) Unwrap() error { return e.Err }

// ExitCode is that of wrong input.
func (e *SpecError) ExitCode() int { return 65 }

// Hint says what a name of a cache looks like.
func (e *SpecError) Hint() string {
	return "name a repository without a tag, such as registry.example/app/cache, or a directory, such as oci:/var/cache/kaniko"
}
