package disk

import "github.com/kaniko-suite/kaniko/shared/tree"

// exitData is the exit code for input that is wrong (EX_DATAERR).
const exitData = 65

// UnfitError says that a layer wants what no directory can have.
type UnfitError struct {
	Path tree.Path // in the layer
	Err  error
}

func (e *UnfitError) Error() string { return "unpack " + e.Path.Abs() + ": " + e.Err.Error() }

func (e *UnfitError) Unwrap() error { return e.Err }

// ExitCode is that of wrong input.
func (e *UnfitError) ExitCode() int { return exitData }

// Hint says what to do about it.
func (e *UnfitError) Hint() string {
	return "the layer itself is wrong, and fetching it again gives the same: have who made the image build it anew"
}
