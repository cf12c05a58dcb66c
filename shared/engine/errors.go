package engine

import (
	"fmt"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// StepError is the failure of one step.
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

// BaseError is a stage that could not begin: its base cannot be had, or put in
// place.
type BaseError struct {
	Stage *plan.Stage
	Err   error
}

func (e *BaseError) Error() string { return fmt.Sprintf("%s: FROM: %v", e.Stage.At, e.Err) }

func (e *BaseError) Unwrap() error { return e.Err }

// Location is the stage's FROM.
func (e *BaseError) Location() dockerfile.Location { return e.Stage.At }
