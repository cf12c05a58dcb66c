package sandbox

import "fmt"

// ExitError says how a command in a sandbox ended, when not with status 0.
type ExitError struct {
	Status int // exit status, or 128 plus the signal's number
	Signal int // the signal that ended it, or 0
	// Help is what can be done, where that is known; it may be empty.
	Help string
}

// Hint is Help.
func (e *ExitError) Hint() string { return e.Help }

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("ended by signal %d", e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}
