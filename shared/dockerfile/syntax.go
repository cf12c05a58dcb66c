package dockerfile

import (
	"regexp"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// frontend matches the references of the Dockerfile frontend, on Docker's
// registry or in a mirror of it. Its other languages have other names.
var frontend = regexp.MustCompile(`^(?:[a-zA-Z0-9._-]+(?::[0-9]+)?/)?(?:[a-zA-Z0-9._-]+/)*docker/dockerfile(?:-upstream)?(?::([a-zA-Z0-9_][a-zA-Z0-9_.-]*))?(?:@sha256:[0-9a-f]{64})?$`)

// otherMajor matches tags of a version of the language that is not 1.
var otherMajor = regexp.MustCompile(`^(?:0|[2-9]|1[0-9])(?:[.-]|$)`)

// checkSyntax reads the "# syntax=" line. Only the language that is built in can
// be had, so that another one is an error rather than a wrong build.
func checkSyntax(file string, text []byte) (string, error) {
	ref, _, at, ok := parser.DetectSyntax(text)
	if !ok {
		return "", nil
	}
	if m := frontend.FindStringSubmatch(ref); m != nil && !otherMajor.MatchString(m[1]) {
		return ref, nil
	}
	line := 1
	if len(at) > 0 {
		line = max(1, at[0].Start.Line)
	}
	return "", &Error{
		At:     Location{File: file, Line: line, Last: line},
		Err:    &UnsupportedError{Instruction: "syntax", Option: ref},
		Advice: "the frontend is built in; it is what docker/dockerfile:1 names",
	}
}
