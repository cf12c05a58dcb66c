package objecttest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A Line leads to a server and breaks as often as it is told to.
type Line struct {
	Address string // where it begins
	mu      sync.Mutex
	breaks  []int64 // bytes after which the next connections are cut
	cut     func()  // called before each cut
	cuts    int
	open    []net.Conn // all that ever were
}

// NewLine is a line to the server at an address, until the test is over. Each of
// the breaks is for one connection: it ends after so many bytes from the server. Connections after those are left alone. A cut that is not nil is called
// before each.
func NewLine(t testing.TB, server string, cut func(), breaks ...int64) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := &Line{Address: l.Addr().String(), breaks: breaks, cut: cut}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { line.serve(c, server) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		line.mu.Lock()
		for _, c := range line.open {
			c.Close()
		}
		line.mu.Unlock()
		serving.Wait()
	})
	return line
}

// Cuts is how many connections were cut.
func (l *Line) Cuts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cuts
}

// serve carries one connection.
func (l *Line) serve(client net.Conn, server string) {
	s, err := net.Dial("tcp", server)
	if err != nil {
		client.Close()
		return
	}
	defer s.Close()
	var asking sync.WaitGroup
	asking.Go(func() {
		io.Copy(s, client)
		s.Close()
	})
	defer asking.Wait()
	defer client.Close()
	l.mu.Lock()
	l.open = append(l.open, client, s)
	limit := int64(-1)
	if len(l.breaks) > 0 {
		limit, l.breaks = l.breaks[0], l.breaks[1:]
	}
	l.mu.Unlock()
	if limit < 0 {
		io.Copy(client, s)
		return
	}
	if n, _ := io.CopyN(client, s, limit); n < limit {
		return
	}
	l.mu.Lock()
	l.cuts++
	l.mu.Unlock()
	if l.cut != nil {
		l.cut()
	}
}
