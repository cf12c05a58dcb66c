package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"sync"
)

// exitData is the exit code for input that is wrong (EX_DATAERR).
const exitData = 65

// DamagedError says that what was read is no layer, or one that no layer can be.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string { return e.Err.Error() }

func (e *DamagedError) Unwrap() error { return e.Err }

// ExitCode is that of wrong input.
func (e *DamagedError) ExitCode() int { return exitData }

// Hint says what to do about it.
func (e *DamagedError) Hint() string {
	return "the archive itself is wrong, and fetching it again gives the same: have who made the image build it anew"
}

// blame makes a [DamagedError] of what is wrong with an archive. Errors of whatever the
// archive is read from stay what they are.
func blame(err error) error {
	for _, fault := range []error{tar.ErrHeader, tar.ErrFieldTooLong, io.ErrUnexpectedEOF} {
		if errors.Is(err, fault) && !tellsCode(err) {
			return &DamagedError{err}
		}
	}
	return err
}

// tellsCode reports whether something in err knows better what it means.
func tellsCode(err error) bool {
	var coder interface {
		error
		ExitCode() int
	}
	return errors.As(err, &coder)
}

// blamed reads a file of an archive.
type blamed struct{ io.Reader }

func (b blamed) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = blame(err)
	}
	return n, err
}

// noting remembers the error that a reader ended with. Decompressors read ahead, in
// goroutines of their own.
type noting struct {
	io.Reader
	mu  sync.Mutex
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
	}
	return got, err
}

// failed is the error that the reader ended with, or nil.
func (n *noting) failed() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// or is the reader's error rather than what a decompressor made of it. What the
// decompressor itself found is damage; io.EOF is none.
func (n *noting) or(err error) error {
	if failed := n.failed(); failed != nil {
		return failed
	}
	if err == io.EOF {
		return err
	}
	return &DamagedError{fmt.Errorf("decompress: %w", err)}
}
