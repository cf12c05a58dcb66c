package cli

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/kaniko-suite/kaniko/inspect/internal/explain"
	"github.com/kaniko-suite/kaniko/inspect/internal/extract"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// The exit codes of inspect beside 0, all of them: programs that ask want few. 4 is
// for a release that is not as it must be. docs/inspect.md has the list for users.
const (
	exitNo     = 1 // the answer is no: two images differ, a digest is another, a base is outdated
	exitTool   = 2 // the command line is wrong, or something did not work
	exitEqual  = 3 // two images differ in nothing that counts, if that is to be told apart
	exitAbsent = 5 // what is asked for is not there, or not to be seen
)

// toolError is an error that says of nothing that was asked for that it is not there.
type toolError struct{ error }

func (e toolError) Unwrap() error { return e.error }

// coded gives an error the exit code that inspect has for it.
type coded struct{ error }

func (e coded) Unwrap() error { return e.error }

// ExitCode is one of the few that inspect has.
func (e coded) ExitCode() int {
	var refused *registry.Error
	var missing *explain.NotFoundError
	var tool toolError
	var write *extract.WriteError
	switch {
	case errors.As(e.error, &tool), errors.As(e.error, &write):
		return exitTool
	case errors.As(e.error, &missing), errors.Is(e.error, cache.ErrMiss), errors.Is(e.error, registry.ErrNotFound), errors.Is(e.error, fs.ErrNotExist):
		return exitAbsent
	case errors.As(e.error, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden):
		return exitAbsent
	}
	return exitTool
}

// answered gives what a command ended with its exit code: an answer has its own.
func answered(err error) error {
	var answer command.Status
	if err == nil || errors.As(err, &answer) {
		return err
	}
	return coded{err}
}
