package layer

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// exitTryAgain is the exit code for what may go better the next time (EX_TEMPFAIL).
const exitTryAgain = 75

// UnsteadyError says that a file had another length when it was read than it was said
// to have.
type UnsteadyError struct {
	Path tree.Path // in the layer
	Size int64     // as it was said to be, in bytes
	Grew bool      // else it shrank
}

func (e *UnsteadyError) Error() string {
	how := "shrank"
	if e.Grew {
		how = "grew"
	}
	return fmt.Sprintf("%s %s while it was read (%d bytes expected)", e.Path.Abs(), how, e.Size)
}

// ExitCode is that of what may go better the next time.
func (e *UnsteadyError) ExitCode() int { return exitTryAgain }

// Hint says what to do about it.
func (e *UnsteadyError) Hint() string {
	return "something writes to the file meanwhile: end that first, or leave the file out with .dockerignore"
}
