package engine

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// StepError is the failure of one step. It is the only error type that the
// engine adds to what its parts return.
type StepError struct {
	Stage *plan.Stage
	Step  *plan.Step
	Err   error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Step.At, e.Step.Text, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Location is where the step is in the Dockerfile.
func (e *StepError) Location() dockerfile.Location { return e.Step.At }
