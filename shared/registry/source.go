package registry

import (
	"context"
	"errors"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// tally counts bytes sent, each once however often it is sent.
//
// A request that failed may still read what it was to send while the next one begins.
type tally struct {
	moved func(int64)

	mu   sync.Mutex
	high int64
}

// sent is how far sending ever came.
func (t *tally) sent() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.high
}

func (t *tally) at(off int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if off > t.high {
		if t.moved != nil {
			t.moved(off - t.high)
		}
		t.high = off
	}
}

// errSpent is what becomes of a request that is sent a second time, as
// go-containerregistry does after renewing its token, when its body cannot be.
var errSpent = errors.New("the request would need the layer a second time")

// sourceError is a layer that cannot be read, for which no registry is to blame.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read layer: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// source is a layer on its way out, through one request or several. It keeps what
// went wrong with reading it apart from what went wrong with sending it.
type source struct {
	r      io.ReadCloser
	tally  *tally
	unbind func() bool

	mu     sync.Mutex
	head   []byte // read already
	off    int64  // of what has been handed out
	err    error
	closed bool
}

// open opens a layer for sending, from an offset on. The end of ctx closes it: net/http
// waits for the body's reader, which may wait for a layer that nobody finishes any more.
func open(ctx context.Context, l v1.Layer, t *tally, off int64) (*source, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, &sourceError{err}
	}
	s := &source{r: r, tally: t, off: off}
	s.unbind = context.AfterFunc(ctx, func() { s.shut() })
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		s.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &sourceError{err}
	}
	return s, nil
}

// piece is the next n bytes as the body of a request; 0 is all there are.
func (s *source) piece(n int64) *piece { return &piece{src: s, left: n, endless: n == 0} }

// more waits until it is known whether there is more to read.
func (s *source) more() (bool, error) {
	s.mu.Lock()
	have := len(s.head)
	s.mu.Unlock()
	if have > 0 {
		return true, nil
	}
	head := make([]byte, 1)
	n, err := io.ReadFull(s.r, head)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = head[:n]
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		s.fail(err)
	}
	return n > 0, err
}

// fail keeps why the layer could not be read, unless we closed it. s.mu is held.
func (s *source) fail(err error) {
	if !s.closed {
		s.err = err
	}
}

// Read reads on, whoever asks.
func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	closed, head := s.closed, s.head
	s.mu.Unlock()
	if closed {
		return 0, errSpent
	}
	var n int
	var err error
	if len(head) > 0 {
		n = copy(p, head)
	} else {
		n, err = s.r.Read(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(head) > 0 {
		s.head = head[n:]
	}
	s.off += int64(n)
	s.tally.at(s.off)
	if err != nil && err != io.EOF {
		if s.closed {
			return n, errSpent
		}
		s.fail(err)
	}
	return n, err
}

func (s *source) offset() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.off
}

// Close lets go of the layer.
func (s *source) Close() error {
	s.unbind()
	return s.shut()
}

func (s *source) shut() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	return s.r.Close()
}

// cause is why sending failed: reading, if that failed first, or else err.
func (s *source) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return &sourceError{s.err}
	}
	return err
}

// piece is what one request takes of a source.
type piece struct {
	src     *source
	endless bool

	mu     sync.Mutex
	watch  *watch // of the request
	left   int64  // bytes
	ended  bool   // the source, with it
	taken  bool   // by a request
	closed bool
}

// take gives the piece to a request; there can be but one.
func (p *piece) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.taken
	p.taken = true
	return !taken
}

// watched has the watch know when the layer is waited for, and when the registry.
func (p *piece) watched(w *watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = w
	w.listen(1)
}

// spent tells whether all of it has been read.
func (p *piece) spent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended || p.left == 0 && !p.endless
}

// Read implements [io.Reader].
func (p *piece) Read(b []byte) (int, error) {
	p.mu.Lock()
	closed, watch := p.closed, p.watch
	if !p.endless {
		b = b[:min(int64(len(b)), p.left)]
	}
	p.mu.Unlock()
	switch {
	case closed:
		return 0, errSpent
	case p.spent():
		return 0, io.EOF
	case len(b) == 0:
		return 0, nil
	}
	if watch != nil {
		watch.talk()
	}
	n, err := p.src.Read(b)
	p.mu.Lock()
	p.left -= int64(n)
	p.ended = p.ended || err == io.EOF
	p.mu.Unlock()
	if watch != nil {
		if p.spent() || err != nil {
			watch.listen(intake)
		} else {
			watch.listen(1)
		}
	}
	return n, err
}

// Close ends a Read under way. A source of which not all was taken that was to be is
// of no more use: nobody knows how much of it arrived.
func (p *piece) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	if p.spent() {
		return nil
	}
	return p.src.shut()
}
