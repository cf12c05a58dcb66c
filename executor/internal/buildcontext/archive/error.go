package archive

import "fmt"

// An Error is an archive that is no build context.
type Error struct {
	Entry string // the name in the archive that is wrong; empty if it is the archive
	Err   error
	// Empty says that there is nothing wrong but that there is nothing.
	Empty  bool
	Remedy string
}

func (e *Error) Error() string {
	if e.Entry != "" {
		return fmt.Sprintf("read a tar archive: the entry %q: %v", e.Entry, e.Err)
	}
	return fmt.Sprintf("read a tar archive: %v", e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_DATAERR, or EX_NOINPUT for what is empty.
func (e *Error) ExitCode() int {
	if e.Empty {
		return 66
	}
	return 65
}

// Hint says what to do.
func (e *Error) Hint() string { return e.Remedy }
