// Package object reads one object of an object store as a stream that outlives
// broken connections, and says in one way for all stores why it could not.
//
// It owns when the rest of an object is asked for again, and that two objects are
// never mixed. How a store is asked is the business of the packages gcs, s3 and
// azblob; what is in the object is nobody's here.
package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
)

// A Part is an object from some byte to its end.
type Part struct {
	Body   io.ReadCloser
	Length int64 // of Body, in bytes; negative if the store did not say
	// Range is the answer's Content-Range, as in RFC 9110; of no consequence for a
	// part that begins with the first byte.
	Range string
	// Version is what tells the object from others of its name, before and after: an
	// ETag or a generation. Without, the rest of the object cannot be asked for.
	Version string
}

// A Source asks a store for an object from a byte on. The version is empty at
// first; later it is the first part's, and what the store has instead must not be
// sent: the error is then a [ReplacedError].
type Source func(ctx context.Context, from int64, version string) (Part, error)

// progress is how many bytes without an interruption make those before forgotten:
// a long object over a poor line arrives, and a line that is none is given up.
const progress = 1 << 20

// Open asks source for the object, and returns a stream of it. If a connection
// breaks off midway the rest is asked for, after a pause and as often as retry
// says. Errors are an [Error]. The address is the object's, as it may be shown.
// The stream ends with ctx.
func Open(ctx context.Context, address string, source Source, retry remote.Retry) (io.ReadCloser, error) {
	part, err := source(ctx, 0, "")
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &Error{Attempt: "open", Address: address, Err: Cause(err)}
	}
	return &stream{ctx: ctx, address: address, source: source, retry: retry.Filled(), part: part, size: part.Length}, nil
}

// stream is an object on its way.
type stream struct {
	ctx     context.Context
	address string
	source  Source
	retry   remote.Retry
	part    Part
	size    int64 // of the object; negative if unknown
	at      int64 // bytes read
	failed  int   // interruptions that are not forgotten
	mark    int64 // where the last one was
	broke   error // what ended part, if anything did
	err     error // what ended the stream
}

func (s *stream) Read(p []byte) (int, error) {
	for s.err == nil {
		if s.broke != nil {
			s.err = s.resume()
			continue
		}
		n, err := s.part.Body.Read(p)
		s.at += int64(n)
		switch {
		case err == io.EOF && s.at < s.size:
			s.broke = io.ErrUnexpectedEOF
		case err == io.EOF:
			s.err = io.EOF
		case err != nil:
			s.broke = err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, s.err
}

// resume puts the rest of the object in the place of a part that broke off.
func (s *stream) resume() error {
	s.part.Body.Close()
	if s.at-s.mark >= progress {
		s.failed = 0
	}
	s.mark = s.at
	s.failed++
	// An error after the last byte is no interruption, but a sum that does not match.
	if s.ctx.Err() != nil || s.failed >= s.retry.Tries || s.part.Version == "" || s.at == s.size {
		return s.fail(s.broke)
	}
	if err := s.retry.Pause(s.ctx, s.failed, 0); err != nil {
		return s.fail(err)
	}
	part, err := s.source(s.ctx, s.at, s.part.Version)
	if err != nil {
		return s.fail(err)
	}
	if err := s.follows(part); err != nil {
		part.Body.Close()
		return s.fail(err)
	}
	s.part, s.broke = part, nil
	return nil
}

// follows checks that part is what was asked for, whatever the store made of it.
func (s *stream) follows(part Part) error {
	if part.Version != s.part.Version {
		return &ReplacedError{}
	}
	from, size, ok := parseRange(part.Range)
	if !ok || from != s.at || s.size >= 0 && size >= 0 && size != s.size {
		return fmt.Errorf("asked for the bytes from %d of %d, the store sent %q", s.at, s.size, part.Range)
	}
	return nil
}

func (s *stream) fail(err error) error {
	if s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return &Error{Attempt: "read", Address: s.address, Err: fmt.Errorf("after %d bytes: %w", s.at, Cause(err))}
}

func (s *stream) Close() error {
	if s.err == nil {
		s.err = errors.New("read of a closed object")
	}
	return s.part.Body.Close()
}

// parseRange reads "bytes FROM-TO/SIZE"; a size of "*" is -1.
func parseRange(text string) (from, size int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	first, rest, ok1 := strings.Cut(text, "-")
	_, total, ok2 := strings.Cut(rest, "/")
	if !ok || !ok1 || !ok2 {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if total == "*" {
		return from, -1, err == nil
	}
	size, err2 := strconv.ParseInt(total, 10, 64)
	return from, size, err == nil && err2 == nil
}

// Name is the bucket and the object of an address SCHEME://BUCKET/OBJECT, and the
// address as it may be shown. An address that says more is refused, for that would
// go unheard.
func Name(u *url.URL) (bucket, object, address string, err error) {
	address = remote.Redact(u.String())
	bucket, object = u.Host, strings.TrimPrefix(u.Path, "/")
	switch {
	case bucket == "" || object == "":
		err = fmt.Errorf("write %s://BUCKET/OBJECT", u.Scheme)
	case u.User != nil:
		err = errors.New("credentials have no place in the address")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		err = errors.New("write %3F for a question mark and %23 for a hash in the object's name")
	}
	if err != nil {
		err = &Error{Attempt: "open", Address: address, Err: err, Code: 64}
	}
	return bucket, object, address, err
}
