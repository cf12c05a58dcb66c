package dockerfile

import "fmt"

// Location is a place in a Dockerfile.
type Location struct {
	File       string // as the user named it
	Line, Last int    // first and last line, from 1; 0 is the file as a whole
}

func (l Location) String() string {
	if l.Line == 0 {
		return l.File
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// Warning is something in a Dockerfile that builds but is probably not meant.
type Warning struct {
	At   Location
	Rule string // the linter's name for it, such as "StageNameCasing"; may be empty
	Text string
}

func (w Warning) String() string {
	if w.Rule == "" {
		return fmt.Sprintf("%s: %s", w.At, w.Text)
	}
	return fmt.Sprintf("%s: %s: %s", w.At, w.Rule, w.Text)
}
