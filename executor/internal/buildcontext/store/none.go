package store

import (
	"context"
	"io"
	"net/url"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// None are the stores that a slim executor would know if it were not one.
func None(Options) []Store {
	return []Store{{Googles, object.IsGoogles, refuse}, {Amazons, object.IsAmazons, refuse}, {Azures, object.IsAzures, refuse}}
}

func refuse(_ context.Context, u *url.URL) (io.ReadCloser, error) {
	return nil, &object.Error{Attempt: "open", Address: remote.Redact(u.String()), Err: slimError{}}
}

// slimError is a store that was left out.
type slimError struct{}

func (slimError) Error() string { return "this is a slim executor, without object stores" }

// ExitCode is EX_CONFIG.
func (slimError) ExitCode() int { return 78 }

// Hint says what has them.
func (slimError) Hint() string {
	return "use the full executor's image, or fetch the object beforehand and name it by tar:// or on standard input"
}
