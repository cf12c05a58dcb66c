// Package latency is a TCP proxy that makes a far server of a near one: what is sent arrives later, and as fast as it was sent. It knows no protocol and loses nothing.
package latency

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Proxy listens on a loopback port and passes on what it gets.
type Proxy struct {
	Addr string // host:port

	to       string
	delay    time.Duration // of each direction
	listener net.Listener
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// Start begins to pass connections on to a server. A round trip takes as long as roundTrip besides what it took before, and so does opening a connection.
func Start(to string, roundTrip time.Duration) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{Addr: l.Addr().String(), to: to, delay: roundTrip / 2, listener: l, stop: stop}
	p.running.Go(func() { p.accept(ctx) })
	return p, nil
}

// Close ends all connections.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(ctx, near) })
	}
}

// serve passes one connection on. Its client believes at once that it is open, so what opening takes is added to the first bytes.
func (p *Proxy) serve(ctx context.Context, near net.Conn) {
	defer near.Close()
	if !sleep(ctx, 2*p.delay) {
		return
	}
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	defer far.Close()
	unhook := context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
	defer unhook()
	var both sync.WaitGroup
	both.Go(func() { pass(ctx, far, near, p.delay) })
	both.Go(func() { pass(ctx, near, far, p.delay) })
	both.Wait()
}

// What is under way in one direction is at most inFlight pieces of pieceSize bytes: 8 MB, more than the receive window of most.
const (
	pieceSize = 64 << 10
	inFlight  = 128
)

type piece struct {
	due  time.Time
	data []byte
}

// pass copies from one side to the other, each byte as much later as delay says, and then the end.
func pass(ctx context.Context, to io.WriteCloser, from io.Reader, delay time.Duration) {
	pieces := make(chan piece, inFlight)
	ctx, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(pieces)
		read(ctx, pieces, from, delay)
	})
	for p := range pieces {
		if !sleep(ctx, time.Until(p.due)) {
			break
		}
		if len(p.data) == 0 {
			closeWrite(to)
			break
		}
		if _, err := to.Write(p.data); err != nil {
			// Who sends is told by the end of the connection.
			if c, ok := from.(io.Closer); ok {
				_ = c.Close()
			}
			break
		}
	}
	stop()
	for range pieces {
	}
	reading.Wait()
}

// read puts what arrives into pieces; the last one is empty.
func read(ctx context.Context, pieces chan<- piece, from io.Reader, delay time.Duration) {
	for {
		data := make([]byte, pieceSize)
		n, err := from.Read(data)
		due := time.Now().Add(delay)
		if n > 0 && !put(ctx, pieces, piece{due, data[:n]}) {
			return
		}
		if err != nil {
			put(ctx, pieces, piece{due: due})
			return
		}
	}
}

func put(ctx context.Context, pieces chan<- piece, p piece) bool {
	select {
	case pieces <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// closeWrite ends one direction and leaves the other.
func closeWrite(c io.Closer) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			return
		}
	}
	_ = c.Close()
}

// sleep reports whether it was not interrupted.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
