package mountsource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// maxSocketPath is the length in bytes from which on a socket's path does not fit
// into the kernel's sockaddr_un with its zero byte (unix(7)).
const maxSocketPath = 108

// Listen makes the unix socket path, which must not exist and may be of any
// length, and gives each connection to s.Serve until close is called. That removes
// the socket, ends the context of every Serve and waits for all of them; it may be
// called once.
func Listen(ctx context.Context, path string, s *sandbox.Socket) (close func() error, err error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	if err := own(path, s.UID, s.GID, s.Mode); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	clients.Go(func() { accept(ctx, l, s, &clients) })
	return func() error {
		cancel()
		err := l.Close()
		clients.Wait()
		if e := os.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// listen makes the socket with the mode that the umask gives it.
func listen(path string) (*net.UnixListener, error) {
	if len(path) < maxSocketPath {
		return listenAt(path)
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, os.ErrExist
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// The directory by its descriptor, and a short name for the time that the
	// kernel wants to hear it; the socket stays the same when it is renamed.
	made, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(made)
	l, err := listenAt("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(made) + "/s")
	if err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(made, "s"), path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func listenAt(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

// accept gives connections to s until l is closed.
func accept(ctx context.Context, l *net.UnixListener, s *sandbox.Socket, clients *sync.WaitGroup) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			clients.Go(func() { serve(ctx, c, s) })
			continue
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		}
		// Too many open files, or a client that has gone already: others follow.
		const pause = 10 * time.Millisecond
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// serve also ends a Serve that waits for its client only.
func serve(ctx context.Context, c net.Conn, s *sandbox.Socket) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	s.Serve(ctx, c)
}
