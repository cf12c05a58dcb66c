//go:build linux

package conformance

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// agentSocket is where a case's ssh agent listens, from the case's directory.
const agentSocket = "agent.sock"

// startAgent starts an ssh agent without keys if the case's arguments ask for one
// by {{agent}}. It ends with the site.
func (b *Built) startAgent(s *Site) error {
	wanted := false
	for _, a := range b.Args {
		wanted = wanted || strings.Contains(a.Value, "{{agent}}")
	}
	if !wanted {
		return nil
	}
	// A socket's path has room for 108 bytes only, but may lead over a link.
	short, err := os.MkdirTemp("", "agent")
	if err != nil {
		return err
	}
	defer os.RemoveAll(short)
	link := filepath.Join(short, "d")
	if err := os.Symlink(b.Dir, link); err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(link, agentSocket))
	if err != nil {
		return err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the case's directory goes as a whole
	b.names["agent"] = agentSocket
	s.served.Go(func() { s.listen(l) })
	return nil
}

// listen answers until the site closes.
func (s *Site) listen(l net.Listener) {
	defer context.AfterFunc(s.open, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.served.Go(func() {
			defer context.AfterFunc(s.open, func() { c.Close() })()
			answer(c)
		})
	}
}

// answer speaks the agent protocol: that there are no identities, and that all else
// fails.
func answer(c net.Conn) {
	const (
		listRequest = 11
		listAnswer  = 12
		failure     = 5
		maxRequest  = 256 << 10
	)
	defer c.Close()
	for {
		var size uint32
		if err := binary.Read(c, binary.BigEndian, &size); err != nil || size == 0 || size > maxRequest {
			return
		}
		request := make([]byte, size)
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		reply := []byte{0, 0, 0, 1, failure}
		if request[0] == listRequest {
			reply = []byte{0, 0, 0, 5, listAnswer, 0, 0, 0, 0}
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}
