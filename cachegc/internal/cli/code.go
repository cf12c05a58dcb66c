package cli

import (
	"context"
	"errors"

	"github.com/kaniko-suite/kaniko/cachegc/internal/apply"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// The exit codes that are cachegc's own. docs/cachegc.md describes them.
const (
	failed      = 1
	usage       = 2
	refused     = 3
	unsupported = 4
	partial     = 5
	pending     = 10
)

// codedError is an error with the status that the program ends with.
type codedError struct {
	error
	code int
	hint string
}

func (e *codedError) Unwrap() error { return e.error }
func (e *codedError) ExitCode() int { return e.code }

// Hint is that of the error, unless there is a better one.
func (e *codedError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	var inner interface{ Hint() string }
	if errors.As(e.error, &inner) {
		return inner.Hint()
	}
	return ""
}

// errPending is a plan with something in it, for --detailed-exitcode.
var errPending error = &codedError{errors.New("there is something to delete"), pending, "cachegc apply deletes it"}

// judge gives an error its exit code. Of several that count, the first of: something else
// went wrong, the registry does not delete, refused for safety, not all was done.
func (r *runner) judge(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || err == errPending {
		return err // stopped by a signal, which has a code of its own
	}
	worst := 0
	for _, one := range leaves(err) {
		if code := codeOf(one); worst == 0 || rank(code) > rank(worst) {
			worst = code
		}
	}
	coded := &codedError{error: err, code: worst}
	if worst == partial {
		coded.hint = "run it again: what is done is done, and what was learned is kept"
	}
	return coded
}

// leaves are the errors that were joined to one. One that has a code says it for all below.
func leaves(err error) []error {
	if _, coded := err.(interface{ ExitCode() int }); coded {
		return []error{err}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if inner := errors.Unwrap(err); inner != nil && joins(inner) {
			return leaves(inner)
		}
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, leaves(one)...)
	}
	return all
}

// joins tells whether an error is several, or about several.
func joins(err error) bool {
	if _, ok := err.(interface{ Unwrap() []error }); ok {
		return true
	}
	inner := errors.Unwrap(err)
	return inner != nil && joins(inner)
}

func codeOf(err error) int {
	var unsupportedErr *apply.UnsupportedError
	var rest *registry.RestError
	var name *registry.ReferenceError
	var coder interface{ ExitCode() int }
	switch {
	case errors.As(err, &name):
		return usage
	case errors.As(err, &unsupportedErr):
		return unsupported
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &rest):
		return partial
	case errors.As(err, &coder):
		switch code := coder.ExitCode(); code {
		case refused:
			return refused
		case int(command.Usage):
			return usage
		}
	}
	return failed
}

func rank(code int) int {
	for i, c := range []int{partial, refused, unsupported, failed, usage} {
		if c == code {
			return i
		}
	}
	return 0
}
