package dockerfile

import "fmt"

// Location is a place in a Dockerfile.
type Location struct {
	File       string // as the user named it
	Line, Last int    // first and last line, from 1
}

func (l Location) String() string { return fmt.Sprintf("%s:%d", l.File, l.Line) }

// Warning is something in a Dockerfile that builds but is probably not meant.
type Warning struct {
	At   Location
	Rule string // the linter's name for it, such as "StageNameCasing"; may be empty
	Text string
}
