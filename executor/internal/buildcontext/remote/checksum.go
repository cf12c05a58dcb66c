package remote

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// checksum is what a file is to have; the zero value asks for nothing.
type checksum struct {
	text string
	make func() hash.Hash
}

// parseChecksum reads an algorithm and its hexadecimal sum, as OCI digests are written.
func parseChecksum(s string) (checksum, error) {
	if s == "" {
		return checksum{}, nil
	}
	algorithm, sum, ok := strings.Cut(s, ":")
	if !ok {
		return checksum{}, &FormatError{Checksum: s}
	}
	c := checksum{text: s}
	switch algorithm {
	case "sha256":
		c.make = sha256.New
	case "sha384":
		c.make = sha512.New384
	case "sha512":
		c.make = sha512.New
	default:
		return checksum{}, &FormatError{Checksum: s}
	}
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != c.make().Size() || sum != strings.ToLower(sum) {
		return checksum{}, &FormatError{Checksum: s}
	}
	return c, nil
}

// CheckChecksum tells whether a text can be the checksum of a file: nil, or a
// [FormatError].
func CheckChecksum(s string) error {
	_, err := parseChecksum(s)
	return err
}

// A FormatError is a checksum that cannot be any file's.
type FormatError struct{ Checksum string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("%q is no checksum of a file", e.Checksum)
}

// ExitCode is EX_DATAERR: checksums are written in Dockerfiles.
func (e *FormatError) ExitCode() int { return 65 }

// Hint says what it looks like.
func (e *FormatError) Hint() string {
	return "write sha256: and 64 lower-case hexadecimal digits, as sha256sum prints them; sha384: and sha512: are possible as well"
}

// sums takes the sums of what is written to it.
type sums struct {
	sha256 hash.Hash
	other  hash.Hash // nil if it is not asked for
	want   checksum
}

func (c checksum) start() *sums {
	s := &sums{sha256: sha256.New(), want: c}
	if c.make != nil && !strings.HasPrefix(c.text, "sha256:") {
		s.other = c.make()
	}
	return s
}

// Write implements [io.Writer]; it cannot fail.
func (s *sums) Write(p []byte) (int, error) {
	s.sha256.Write(p)
	if s.other != nil {
		s.other.Write(p)
	}
	return len(p), nil
}

func (s *sums) digest() string { return "sha256:" + hex.EncodeToString(s.sha256.Sum(nil)) }

// got is the sum that was asked for; empty if none was.
func (s *sums) got() string {
	algorithm, _, _ := strings.Cut(s.want.text, ":")
	switch {
	case s.other != nil:
		return algorithm + ":" + hex.EncodeToString(s.other.Sum(nil))
	case algorithm == "sha256":
		return s.digest()
	}
	return ""
}
