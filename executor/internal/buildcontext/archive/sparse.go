package archive

import (
	"crypto/sha256"
	"io"
	"os"
)

// hole is how many zeros in a row are not written, in bytes.
const hole = 4 << 10

// sparse writes files one behind the other, and leaves holes for zeros: what is
// sparse in an archive may be larger than the disk.
type sparse struct {
	file *os.File
	end  int64
	buf  []byte
}

// keep writes size bytes of r, and says where they are and what their sum is.
func (s *sparse) keep(r io.Reader, size int64) (offset int64, sum [sha256.Size]byte, err error) {
	if s.buf == nil {
		s.buf = make([]byte, 64*hole)
	}
	offset, at := s.end, s.end
	h := sha256.New()
	for left := size; left > 0; {
		part := s.buf[:min(left, int64(len(s.buf)))]
		if _, err := io.ReadFull(r, part); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, sum, err
		}
		h.Write(part)
		if err := s.write(part, at); err != nil {
			return 0, sum, &diskError{err}
		}
		at += int64(len(part))
		left -= int64(len(part))
	}
	s.end = at
	h.Sum(sum[:0])
	return offset, sum, nil
}

// write writes what is no hole.
func (s *sparse) write(part []byte, at int64) error {
	for len(part) > 0 {
		n := 0
		for n < len(part) && !isHole(part[n:]) {
			n += min(hole, len(part)-n)
		}
		if n > 0 {
			if _, err := s.file.WriteAt(part[:n], at); err != nil {
				return err
			}
		}
		for n < len(part) && isHole(part[n:]) {
			n += hole
		}
		part, at = part[n:], at+int64(n)
	}
	return nil
}

// isHole reports whether b begins with as many zeros as make a hole.
func isHole(b []byte) bool {
	return len(b) >= hole && [hole]byte(b) == [hole]byte{}
}

// finish makes the file as long as what it stands for: the last thing in it may be a
// hole.
func (s *sparse) finish() error {
	if err := s.file.Truncate(s.end); err != nil {
		return &diskError{err}
	}
	return nil
}

// diskError is what is wrong with the disk, and not with the archive.
type diskError struct{ err error }

func (e *diskError) Error() string { return "keep the files of an archive: " + e.err.Error() }

func (e *diskError) Unwrap() error { return e.err }

// ExitCode is EX_IOERR.
func (e *diskError) ExitCode() int { return 74 }

// Hint says what may help.
func (e *diskError) Hint() string {
	return "the files of a build context need room beside the executor's own: --kaniko-dir names another place"
}
