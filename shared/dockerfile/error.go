package dockerfile

import (
	"errors"
	"fmt"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Error is a fault in a Dockerfile, and where it is.
type Error struct {
	At     Location
	Err    error
	Advice string // what to do about it; may be empty
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.At, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Hint is what to do about the fault, by its own advice or by that of what it is
// around; it may be empty.
func (e *Error) Hint() string {
	var inner interface{ Hint() string }
	if e.Advice == "" && errors.As(e.Err, &inner) {
		return inner.Hint()
	}
	return e.Advice
}

// UnsupportedError says that a Dockerfile asks for something which this builder
// does not do. Nothing has been run when it is reported.
type UnsupportedError struct {
	Instruction string // "COPY"
	Option      string // "--link", or words for what has no option: "of a URL"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s %s is not supported", e.Instruction, e.Option)
}

func fault(at Location, format string, args ...any) *Error {
	return &Error{At: at, Err: fmt.Errorf(format, args...)}
}

// located gives a parser's error its place. The parser counts some faults from
// the line before, so that the place is never before the first line.
func located(file string, err error) *Error {
	at := Location{File: file, Line: 1, Last: 1}
	var le *parser.LocationError
	if errors.As(err, &le) && len(le.Locations) > 0 && len(le.Locations[0]) > 0 {
		ranges := le.Locations[0]
		at.Line = max(1, ranges[0].Start.Line)
		at.Last = max(at.Line, ranges[len(ranges)-1].End.Line)
	}
	return &Error{At: at, Err: err}
}
