//go:build slim

package store

import (
	"context"
	"io"
	"net/url"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// All are the stores that this executor would know if it were not a slim one.
func All(Options) []Store {
	return []Store{{googles, object.IsGoogles, refuse}, {amazons, object.IsAmazons, refuse}, {azures, object.IsAzures, refuse}}
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
