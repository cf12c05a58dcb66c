package latency

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// By the bubble's own clock, so that the machine's load does not matter.
func TestPass_delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, from := net.Pipe()
		to, out := net.Pipe()
		var passing sync.WaitGroup
		passing.Go(func() { pass(t.Context(), to, from, 25*time.Millisecond) })
		start := time.Now()
		for _, at := range []time.Duration{0, 10 * time.Millisecond} {
			time.Sleep(at - time.Since(start))
			if _, err := in.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []time.Duration{25 * time.Millisecond, 35 * time.Millisecond} {
			if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != want {
				t.Errorf("arrived after %v, want %v", got, want)
			}
		}
		in.Close()
		if n, err := out.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d bytes, %v", n, err)
		}
		passing.Wait()
	})
}

// All bytes come back whole, although one direction ends long before the other.
func TestProxy(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c)
		_, _ = c.Write(all)
	}()
	p, err := Start(server.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 20<<20)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(sent)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(sent), err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Close does not wait for those who keep their connections.
func TestProxy_close(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p, err := Start(server.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
